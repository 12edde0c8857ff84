"""`llem-cli calibrate`: the gain of a board's sensor, from the log of an external power meter."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.metered_runs import metered_runs, study_folders
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import usage_error
from llem_cli._display.calibration import calibration_json, show_calibration
from llem_cli._display.console import show_json
from llem_config import load_settings
from llem_config.settings import gains_path
from llem_config.text import shortened
from llem_energy.gain import (
    LogFormat,
    Supply,
    calibrate_gains,
    implausible_gain,
    read_meter_log,
    save_gains,
)

MeterFile = Annotated[
    Path,
    Parameter(help="Log of the meter: CSV with a column of times and one of power or energy."),
]
Studies = Annotated[
    tuple[Path, ...],
    Parameter(
        name="--study",
        negative=(),
        help="Folder of a study that ran meanwhile; repeatable (default: all studies in the folder "
        "for results).",
    ),
]
Unit = Annotated[
    Literal["mW", "W", "kW", "mJ", "J", "kJ", "Wh", "kWh"] | None,
    Parameter(help="Unit of the readings (default: from the name of their column)."),
]
Column = Annotated[str | None, Parameter(help="Name of the column (default: found by its name).")]
Zone = Annotated[
    str | None,
    Parameter(help="Time zone of times without one: UTC, Europe/Berlin, +02:00."),
]
Shift = Annotated[float, Parameter(help="Seconds to add to all times of the log (default: 0).")]
MaxLag = Annotated[
    float,
    Parameter(
        help="Largest difference in s between the clocks of meter and machine (default: 60)."
    ),
]
Efficiency = Annotated[
    float | None,
    Parameter(
        help="Share of an additional watt at the meter that reaches the board, such as 0.94 for a power "
        "supply; 1 for a meter in the supply lines of the board. Needed to store the gain."
    ),
]
EfficiencyError = Annotated[
    float, Parameter(help="Half of the 95 % interval of the efficiency (default: 0.02).")
]
Name = Annotated[str | None, Parameter(help="Name of the meter (default: the name of its file).")]
DryRun = Annotated[bool, Parameter(negative=(), help="Show the gain, and do not store it.")]


def calibrate(
    *,
    meter: MeterFile,
    study: Studies = (),
    unit: Unit = None,
    time_column: Column = None,
    value_column: Column = None,
    time_zone: Zone = None,
    shift: Shift = 0.0,
    max_lag: MaxLag = 60.0,
    efficiency: Efficiency = None,
    efficiency_error: EfficiencyError = 0.02,
    name: Name = None,
    dry_run: DryRun = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Fit the gain of each board's sensor to the log of a meter, and store it for later results."""
    del verbose  # read where errors are explained
    _check("--efficiency", efficiency if efficiency is not None else 1.0, 0.0, 1.0)
    _check("--efficiency-error", efficiency_error, -1e-9, 0.5)
    _check("--max-lag", max_lag, 0.0, 3600.0)
    _check("--shift", shift, -1e9, 1e9)
    log_format = LogFormat(unit, time_column, value_column, _zone(time_zone), shift)
    folders = study_folders(study, load_settings())
    log = read_meter_log(meter, log_format)
    metered = metered_runs(folders)
    supply = Supply(
        shortened(name or meter.name, 80),
        1.0 if efficiency is None else efficiency,
        efficiency_error,
    )
    reports = calibrate_gains(log, metered.runs, supply, drivers=metered.drivers, max_lag_s=max_lag)
    path = None
    if efficiency is not None and not dry_run:
        path = gains_path()
        save_gains(path, [report.calibration for report in reports])
    # Without the efficiency, the slope is not yet a gain.
    found = [implausible_gain(each.calibration) for each in reports if efficiency is not None]
    warnings = [sentence for sentence in found if sentence is not None]
    if json_:
        show_json(calibration_json(reports, path, metered.notes, warnings))
    else:
        show_calibration(
            reports, path, metered.notes, warnings, has_efficiency=efficiency is not None
        )
    return OK


def _check(flag: str, value: float, above: float, at_most: float) -> None:
    """Raise ConfigError if a number is not in (above, at_most]."""
    if not (math.isfinite(value) and above < value <= at_most):
        low = f"above {above:g}" if above >= 0 else f"of {above:.0f} or more"
        raise usage_error(flag, f"expected a number {low}, up to {at_most:g}, found {value:g}")


def _zone(text: str | None) -> tzinfo | None:
    """Return a time zone by its name or its offset.

    Raises:
        ConfigError: there is none.
    """
    if text is None:
        return None
    try:
        if text[:1] in "+-":
            offset = datetime.strptime(text, "%z").utcoffset()
            return timezone(offset or timedelta())
        return ZoneInfo(text)
    except (ValueError, OSError, LookupError) as error:  # also a name that is a path
        problem = f"expected a time zone such as UTC, Europe/Berlin or +02:00, found {shortened(text, 40)!r}"
        raise usage_error("--time-zone", problem) from error
