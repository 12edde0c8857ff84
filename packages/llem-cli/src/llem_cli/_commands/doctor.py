"""`llem-cli doctor`: what this machine can measure, how accurately, and what prevents it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import FAILED, OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import usage_error
from llem_cli._display.console import note, say, show_json
from llem_cli._display.doctor import show_diagnosis
from llem_config import load_settings
from llem_config.carbon import country_of_time_zone, grid_intensity
from llem_config.settings import MeasurementSettings, cache_path
from llem_config.text import shortened
from llem_energy.doctor import check_gpu as check_one_gpu
from llem_energy.doctor import diagnose
from llem_energy.sources import BoardCheck, gpu_uuids, load_board_checks, save_board_checks
from llem_runner.records import encode_json

CheckGpu = Annotated[
    str | None,
    Parameter(
        help="First load this NVIDIA GPU for about 80 s, and check whether its energy counter is exact: an "
        "index, a UUID, or all. Needs torch with CUDA, and a GPU that nothing else uses."
    ),
]
Check = Annotated[Callable[..., BoardCheck], Parameter(parse=False)]


def doctor(
    *,
    check_gpu: CheckGpu = None,
    json_: Json = False,
    verbose: Tracebacks = False,
    check: Check = check_one_gpu,
) -> int:
    """Show what this machine can measure, how accurately, and what prevents it.

    Reads every meter for one second, or up to six seconds if it updates slowly. Returns 0 if
    energy can be measured, and 1 if no energy source can be read.
    """
    del verbose  # read where errors are explained
    if check_gpu is not None:
        _check(check_gpu, check)
    settings = load_settings()
    diagnosis = diagnose(
        settings,
        on_stage=lambda stage: note(f"{stage} ..."),
        board_checks=load_board_checks(cache_path()),
    )
    if json_:
        show_json(encode_json(diagnosis))
    else:
        show_diagnosis(diagnosis)
        if hint := country_hint(settings.measurement):
            say(hint)
    return OK if diagnosis.measurable else FAILED


def country_hint(measurement: MeasurementSettings) -> str | None:
    """Return how to set the country that the time zone of this machine tells.

    Returns:
        A sentence; None if a country or an intensity is set, or if the time zone tells none.
    """
    if measurement.country is not None or measurement.carbon_intensity_gco2_kwh is not None:
        return None
    code = country_of_time_zone()
    if code is None:
        return None
    with contextlib.suppress(ValueError):  # a territory that the table does not have
        grid = grid_intensity(code)
        return (
            "results will have no emissions, because no country is set; the time zone is one of "
            f"{grid.name}: `llem-cli config set measurement.country {grid.code}`"
        )
    return None


def _check(wanted: str, check: Callable[..., BoardCheck]) -> None:
    """Check one GPU or all, and keep each outcome for later results."""
    path = cache_path()
    for gpu in _gpus(wanted):
        found = check(gpu, on_stage=lambda stage: note(f"{stage} ..."))
        if not save_board_checks(path, [found]):
            note(f"the outcome could not be kept in {path}; correct its permissions")


def _gpus(wanted: str) -> tuple[int | str, ...]:
    """Return the GPUs that a user names.

    Raises:
        ConfigError: it is no index, no UUID and not `all`.
    """
    if wanted == "all":
        uuids = gpu_uuids()
        if not uuids:
            problem = "found no NVIDIA GPU that responds; `llem-cli doctor` shows the reason"
            raise usage_error("--check-gpu", problem)
        return uuids
    if wanted.isascii() and wanted.isdigit():
        return (int(wanted),)
    if wanted.startswith("GPU-"):
        return (wanted,)
    raise usage_error(
        "--check-gpu",
        f"expected the index of a GPU, its UUID, or all, found {shortened(wanted, 40)!r}",
    )
