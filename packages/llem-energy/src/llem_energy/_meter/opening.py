"""Opens the sources of a meter, calibrates them, and starts to sample."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from llem_energy._meter.parts import Metered, calibrated, known_checks, known_gains
from llem_energy._meter.synchronise import synchronise_imported
from llem_energy._meter.window_ledger import WindowLedger
from llem_energy._metering.calibration import Calibration
from llem_energy._sources.protocol import EnergySource
from llem_energy._sources.registry import open_sources
from llem_energy._sources.unseen_gpus import unmetered_gpu
from llem_energy._sources.visible_gpus import gpus_to_meter


def opened_ledger(
    gpus: int | str | Sequence[int | str] | None,
    sources: str | Sequence[str],
    synchronize: Callable[[], object] | Literal[False] | None,
    sample_period_s: float,
    timeseries: Path | str | None,
) -> WindowLedger:
    """Return the ledger of a meter that samples, or one with the reasons why nothing is metered.

    The arguments are those of `EnergyMeter`.
    """
    names = (sources,) if isinstance(sources, str) else sources
    requested = (gpus,) if isinstance(gpus, int | str) else gpus
    found, notes, is_hidden = gpus_to_meter(requested, names)
    knows_gpus = bool(found) or is_hidden or requested is not None
    # Without a GPU, the error of the driver for the first one is the reason.
    tried = found if knows_gpus else (0,)
    hidden = None if knows_gpus else unmetered_gpu(names)
    if hidden is not None:  # the joules of the processor are not those of a GPU
        notes = (*notes, hidden)
    opened = open_sources(names, tried, on_gpu=bool(found or hidden))
    ready = [_calibrated(each) for each in (opened.source, opened.host)]
    unread = [each for each in ready if isinstance(each, str)]
    wait = synchronise_imported if synchronize is None else synchronize or _nothing
    ledger = WindowLedger(wait, (*opened.reasons, *unread, *notes), notes)
    calibration, host_calibration = ready
    if opened.source is not None and isinstance(calibration, tuple):
        ledger.metered = Metered(
            opened.source, calibration, known_gains(), known_checks(opened.source), sample_period_s,
            ledger.relieve, Path(timeseries) if timeseries else None,
        )  # fmt: skip
    if opened.host is not None and isinstance(host_calibration, tuple):
        ledger.host = Metered(
            opened.host, host_calibration, (), (), sample_period_s, _nothing, None
        )
    return ledger


def _calibrated(source: EnergySource | None) -> tuple[Calibration, ...] | str | None:
    """Return the calibration of a source; if it cannot be read, close it and return the reason."""
    if source is None:
        return None
    try:
        return calibrated(source)
    except Exception as error:  # noqa: BLE001  # the program must not end because of its meter
        with contextlib.suppress(Exception):
            source.close()
        return f"{source.name}: it could not be calibrated ({type(error).__name__}: {error})"


def _nothing() -> None:
    """Wait for nothing."""
