"""The gain of a board's sensor, from the log of an external power meter.

    from llem_energy.gain import Supply, calibrate_gains, read_board_run, read_meter_log
    log = read_meter_log(Path("meter.csv"))
    runs = [read_board_run(folder / "timeseries.parquet", "GPU-...") for folder in folders]
    reports = calibrate_gains(log, runs, Supply("PDU 7", efficiency=0.94), drivers={})

`llem-cli calibrate` does the same. docs/calibrate.md has the assumptions.
"""

from llem_energy._gain.board_run import BoardRun, read_board_run
from llem_energy._gain.calibrate import GainReport, Supply, calibrate_gains
from llem_energy._gain.clock_lag import Lag
from llem_energy._gain.meter_log import (
    UNITS_OF_ENERGY,
    UNITS_OF_POWER,
    LogFormat,
    MeterLog,
    read_meter_log,
)
from llem_energy._gain.plausible_gain import implausible_gain
from llem_energy._metering.gain_store import GainCalibration, load_gains, save_gains

__all__ = [
    "UNITS_OF_ENERGY",
    "UNITS_OF_POWER",
    "BoardRun",
    "GainCalibration",
    "GainReport",
    "Lag",
    "LogFormat",
    "MeterLog",
    "Supply",
    "calibrate_gains",
    "implausible_gain",
    "load_gains",
    "read_board_run",
    "read_meter_log",
    "save_gains",
]
