"""`llem-cli study run --gpus`: the runs of a study on several GPUs of this machine at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from llem_cli._display.gpu_progress import GpuProgress
from llem_cli._signals import controlled_by_terminal
from llem_config import ConfigError, Fault, Settings, StudyConfig
from llem_energy.preflight import shown_gpus
from llem_runner import StudyResult
from llem_runner.executors import Measure
from llem_runner.parallel import resume_on_gpus, run_on_gpus

Gpus = Annotated[
    str | None,
    Parameter(
        help="Run on several GPUs at once, each run on one: `all`, or numbers or UUIDs such as 0,1. The "
        "cycles are divided among them."
    ),
]

_MAX_DIGITS = 9


def parse_gpus(text: str, *, wait: bool) -> Literal["all"] | tuple[int | str, ...]:
    """Return the GPUs that a flag names.

    Args:
        text: the value of the flag.
        wait: whether the flag --wait is given too.

    Raises:
        ConfigError: it names none, or the study is also to wait for a GPU.
    """
    if wait:
        raise _wrong("--wait", "expected either --wait or --gpus, found both; leave out --wait")
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise _wrong("--gpus", f"expected `all`, or numbers or UUIDs such as 0,1, found {text!r}")
    if names == ["all"]:
        return "all"
    return tuple(int(name) if _is_number(name) else name for name in names)


def _is_number(name: str) -> bool:
    """Return whether a name is a number of a GPU; superscripts are digits too, but no number."""
    return name.isascii() and name.isdigit() and len(name) <= _MAX_DIGITS


def measure_on_gpus(
    study: StudyConfig,
    gpus: Literal["all"] | tuple[int | str, ...],
    *,
    output: Path | None,
    measure: Measure,
    settings: Settings,
    retry: int,
    time_limit_s: float | None,
    quiet: bool,
) -> tuple[StudyResult, Path]:
    """Run a study on several GPUs, and return its result and its folder."""
    progress = GpuProgress([gpu.uuid for gpu in shown_gpus()], quiet=quiet)
    with controlled_by_terminal() as control:
        result = run_on_gpus(
            study,
            gpus=gpus,
            output=output,
            on_event=progress,
            control=control,
            measure=measure,
            settings=settings,
            retry=retry,
            time_limit_s=time_limit_s,
        )
    assert progress.folder is not None  # the study has run
    return result, progress.folder


def resume_measured_on_gpus(
    folder: Path,
    gpus: Literal["all"] | tuple[int | str, ...],
    *,
    even_if_running: bool,
    retry_failed: bool,
    measure: Measure,
    retry: int,
    time_limit_s: float | None,
    quiet: bool,
) -> StudyResult:
    """Run what is left of a divided study on several GPUs, and return its result."""
    progress = GpuProgress([gpu.uuid for gpu in shown_gpus()], quiet=quiet)
    with controlled_by_terminal() as control:
        return resume_on_gpus(
            folder,
            gpus=gpus,
            even_if_running=even_if_running,
            retry_failed=retry_failed,
            on_event=progress,
            control=control,
            measure=measure,
            retry=retry,
            time_limit_s=time_limit_s,
        )


def _wrong(flag: str, problem: str) -> ConfigError:
    return ConfigError([Fault("<command line>", 0, 0, flag, problem)])
