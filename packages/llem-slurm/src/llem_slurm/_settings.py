"""The settings of a site, `clusters.slurm`: what every array of jobs asks for."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

_OURS = {
    "--array": "-a",
    "--error": "-e",
    "--job-name": "-J",
    "--no-requeue": "",
    "--open-mode": "",
    "--output": "-o",
    "--requeue": "",
    "--signal": "",
    "--time": "-t",
}
"""Options that llem sets itself, with their short forms."""
_ELSEWHERE = ("--clusters", "--cluster")
"""Like `-M`, they submit to another cluster; its jobs are not listed here, and would look ended."""
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+[smhd])+")


def _checked_line(text: str) -> str:
    """Return one option of sbatch as it stands."""
    option = re.split(r"[\s=]", text.strip(), maxsplit=1)[0]
    if not text.isprintable() or not option.startswith("-"):
        raise PydanticCustomError(
            "llem_option", "expected an option of sbatch, such as --mail-type=END, in one line"
        )
    # The value of a short option may follow it without a space.
    ours = next((k for k, v in _OURS.items() if option == k or (v and option[:2] == v)), None)
    if option.startswith("-M") or option in _ELSEWHERE:
        raise PydanticCustomError(
            "llem_option",
            "llem asks the cluster of this machine only; log in to a node of the other cluster",
        )
    if ours is not None:
        raise PydanticCustomError(
            "llem_option", f"llem sets {ours} itself, because it needs its own value; remove it"
        )
    return text.strip()


def _checked_duration(text: object) -> object:
    if not isinstance(text, str) or _DURATION.fullmatch(text) is None or seconds(text) < 60:
        raise PydanticCustomError(
            "llem_duration", "expected a time of at least a minute, such as 90m, 4h or 1d12h"
        )
    return text


def seconds(duration: str) -> int:
    """Return a duration such as `1h30m` in seconds."""
    return sum(int(n) * _UNITS_S[unit] for n, unit in re.findall(r"(\d+)([smhd])", duration))


Word = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\s'\"\\#]+$")]
Line = Annotated[str, Field(min_length=1, pattern=r"^[^\n\r\x00]+$")]
Option = Annotated[str, AfterValidator(_checked_line)]
Duration = Annotated[str, BeforeValidator(_checked_duration)]


class SlurmSettings(BaseModel):
    """What the jobs of every study ask for, and what they do before they start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: Word | None = None
    """Partition; null: the default one of the cluster."""
    account: Word | None = None
    """Account that the jobs are charged to."""
    qos: Word | None = None
    """Quality of service."""
    constraint: Word | None = None
    """Features that a node must have."""
    gpu_type: Word | None = None
    """Type of GPU as in `--gres=gpu:TYPE:N`. A study should use one type."""
    gpus: Annotated[int, Field(ge=0, le=1000)] | None = None
    """GPUs of each job; null: one if a point needs one. Required if a point spreads a model over several."""
    cpus_per_task: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Processors of each job."""
    mem: Word | None = None
    """Memory of each job, such as 64G."""
    time: Duration = "4h"
    """Time limit of each job, longer than `warn_seconds`. A shard that needs longer is started again."""
    at_most: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Jobs of one array that run at the same time; a large study has several arrays."""
    exclusive: bool | None = None
    """Whether a job has its node to itself; null: if a meter of the study counts all programs."""
    max_array: Annotated[int, Field(ge=1, le=4_000_000)] | None = None
    """Largest index of an array of jobs; null: what Slurm reports."""
    extra: tuple[Option, ...] = ()
    """Further options of sbatch, each a line of the batch script."""
    prologue: tuple[Line, ...] = ()
    """Commands before the shard starts, such as `module load cuda`."""
    excluded_nodes: tuple[Word, ...] = ()
    """Nodes that no job may use."""
    variables: tuple[Word, ...] = ()
    """Further environment variables that the jobs get from the shell of the submission."""
    python: Line | None = None
    """Python on the nodes; null: the one that submits, which the nodes must see at the same path."""
    container: Line | None = None
    """What is put before Python, such as `apptainer exec --nv image.sif`."""
    warn_seconds: Annotated[int, Field(ge=5, le=3600)] = 120
    """Time before its limit at which a job gets a signal, in seconds; Slurm may be a minute early."""
