"""Gains of sensors that an external meter has shown, on disk.

They are in one small JSON file beside the settings of the user. Unlike the calibrations of counters,
which each boot repeats, they cannot be measured again without the meter. So a damaged file is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from llem_config.foreign_files import ForeignFileError, read_bytes, replace_file
from llem_config.text import one_line
from llem_energy._errors import MeasurementError

_FORMAT = 1
_MAX_BYTES = 2**24


class GainCalibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gain of the sensor of one board: true power = `gain` x the power that it reports.

    Over windows of constant conditions, power at the meter = `slope` x reported power + `offset_w`,
    and `gain` = `slope` x `efficiency`.
    """

    device: str
    """GPU UUID."""
    gain: float
    """True power over reported power; 1 for an exact sensor."""
    gain_error: float
    """Half of the 95 % interval of `gain`; includes `efficiency_error`."""
    slope: float
    """Watts at the meter per reported watt."""
    slope_se: float
    """Standard error of `slope`, from the residuals of the fit."""
    offset_w: float
    """Power at the meter that does not depend on the board, such as fans and idle processors."""
    offset_se_w: float
    """Standard error of `offset_w`."""
    residual_sd_w: float
    """Standard deviation of the residuals, with n - 2 degrees of freedom."""
    n_windows: int
    """Windows in the fit, without outliers."""
    n_outliers: int
    """Windows that were left out of the fit."""
    board_min_w: float
    """Lowest mean power of a window, as the sensor reports it."""
    board_max_w: float
    """Highest mean power of a window, likewise."""
    lag_s: float
    """The meter's clock minus the clock of the machine."""
    lag_correlation: float
    """Correlation of the two series of power at this lag."""
    efficiency: float
    """Share of the power at the meter that reaches the board, as the user states it."""
    efficiency_error: float
    """Half of its 95 % interval, as the user states it."""
    meter: str
    """Name of the meter."""
    log_sha256: str
    """Of the log of the meter."""
    driver: str | None
    """Version of the driver that reported the power."""
    made_at: str
    """UTC, ISO 8601."""

    @property
    def reading_error(self) -> float:
        """Maximum error of what the sensor reports, as a share of it (95 %)."""
        return abs(self.gain - 1) + self.gain_error


class _Store(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    schema_version: int
    gains: tuple[GainCalibration, ...]


def load_gains(path: Path) -> tuple[GainCalibration, ...]:
    """Return the gain of every calibrated board, of any machine; () if there is no file.

    Raises:
        MeasurementError: the file is damaged or of another version, or cannot be read.
    """
    if not path.exists():
        return ()
    try:
        store = msgspec.json.decode(read_bytes(path, max_bytes=_MAX_BYTES), type=_Store)
    except ForeignFileError as error:
        raise MeasurementError(str(error)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        problem = one_line(str(error), 200)
        raise MeasurementError(
            f"{path}: expected calibrated gains, found a damaged file ({problem}); delete it and "
            "calibrate again"
        ) from error
    if store.schema_version != _FORMAT:
        raise MeasurementError(
            f"{path}: expected format {_FORMAT}, found format {store.schema_version}; update llem"
        )
    return store.gains


def save_gains(path: Path, gains: Iterable[GainCalibration]) -> None:
    """Add gains to the file; they replace older ones of the same board.

    Raises:
        MeasurementError: the file is damaged, or cannot be written.
    """
    kept = {each.device: each for each in (*load_gains(path), *gains)}
    data = msgspec.json.encode(_Store(schema_version=_FORMAT, gains=tuple(kept.values())))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.format(data, indent=2) + b"\n")
    except OSError as error:
        raise MeasurementError(
            f"{path}: the gains cannot be written: {error.strerror}; free space or correct the "
            "permissions"
        ) from error
