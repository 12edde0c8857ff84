"""The flags of the commands that give shards to a cluster."""

# No annotations as text: cyclopts would look up their names in the modules of the classes that inherit.
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

from cyclopts import Parameter
from cyclopts.validators import Number

from llem_cli._commands.options import WHOLE
from llem_cli._commands.study.folder import usage_error
from llem_runner.clusters import Cluster, find_cluster

NONE = "none"

On = Annotated[
    str | None,
    Parameter(help="Give the shards to this cluster, e.g. slurm, instead of running them here."),
]
DryRun = Annotated[
    bool, Parameter(negative=(), help="Print what would be submitted; write and submit nothing.")
]

_ADD_ON = "expected --on with this flag, e.g. --on slurm"
_INSTEAD = {
    "--gpus": "the settings of the cluster say which GPUs each job gets",
    "--model": "a study that is divided has a file; write one, e.g. with `llem-cli study init`",
    "--report": "the command does not wait for the runs; use `llem-cli study report FOLDER` at the end",
    "--time-limit": "each job has a time limit of its own; use --time-per-shard",
    "--timeout": "the file says it; use --set execution.timeout_seconds=N",
    "--wait": "jobs wait in the queue of the cluster",
}
"""Flags of runs on this machine, and why they have no meaning on a cluster."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ClusterFlags:
    """Which jobs a cluster makes of shards."""

    of_runs: ClassVar[frozenset[str]] = frozenset()
    """The fields that have a meaning also for runs on this machine."""
    time_per_shard: Annotated[
        str | None,
        Parameter(
            help="Time limit of each shard, e.g. 4h (default: that of the cluster's settings)."
        ),
    ] = None
    at_most: Annotated[
        int | None,
        WHOLE,
        Parameter(
            validator=Number(gte=1),
            help="Shards of one array that run at the same time (default: no limit of llem).",
        ),
    ] = None
    sbatch: Annotated[
        tuple[str, ...],
        Parameter(
            name="--sbatch",
            negative=(),
            help="Further option of sbatch, e.g. --sbatch=--mail-type=END; repeatable.",
        ),
    ] = ()

    def cluster(self, name: str) -> Cluster | None:
        """Return a cluster with these options; None for `none`.

        Raises:
            StudyError: no installed package provides it.
            ConfigError: an option needs a cluster, or is wrong.
        """
        given = {
            "time": self.time_per_shard,
            "at_most": self.at_most,
            "extra": list(self.sbatch) or None,
        }
        options: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        if name != NONE:
            return find_cluster(name, options)
        for flag, key in (("--at-most", "at_most"), ("--sbatch", "extra")):
            if key in options:
                raise usage_error(flag, "expected a cluster with this option; add --on slurm")
        return None

    def check_unused(self, *, allowed: Collection[str] = (), instead: str = _ADD_ON) -> None:
        """Return if no flag was given that needs a cluster, because the runs are made here.

        Args:
            allowed: fields that the command also has a meaning for.
            instead: what was expected, for the message.

        Raises:
            ConfigError: one was.
        """
        for field in fields(self):
            is_given = getattr(self, field.name) != field.default
            if is_given and field.name not in self.of_runs and field.name not in allowed:
                flag = f"--{field.name.replace('_', '-')}"
                raise usage_error(flag, instead)


def check_of_cluster(given: Mapping[str, Any]) -> None:
    """Return if no flag was given that has a meaning only for runs on this machine.

    Args:
        given: value by flag; one that is None or false was not given.

    Raises:
        ConfigError: one was.
    """
    for flag, value in given.items():
        if value is not None and value is not False:
            raise usage_error(flag, f"expected no {flag} with --on, because {_INSTEAD[flag]}")
