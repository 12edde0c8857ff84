"""Where energy readings come from: one protocol, and the choice among what this machine has.

A source is cumulative: each reading carries the joules of a device since some start of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from llem_energy._errors import MeasurementError
from llem_energy._sources.protocol import EnergySource


def open_source(
    names: Sequence[str], gpus: Sequence[int | str]
) -> tuple[EnergySource | None, list[str]]:
    """Return the first source of `names` that this machine can read, and why others cannot.

    Args:
        names: of `nvml`, `rapl`, `none`, in order of preference.
        gpus: NVML indices or UUIDs of the GPUs to meter.
    """
    reasons: list[str] = []
    for name in names:
        if name == "none":
            reasons.append("the experiment asks for no energy source")
            break
        try:
            return _OPENERS[name](gpus), reasons
        except MeasurementError as error:
            reasons.append(f"{name}: {error}")
    return None, reasons


def missing_meters(names: Sequence[str], gpus: Sequence[int | str]) -> list[str]:
    """Return why none of the sources can be read here; [] if one can, or if `none` is asked for.

    Args:
        names: as in `open_source`.
        gpus: as in `open_source`.
    """
    source, reasons = open_source(names, gpus)
    if source is not None:
        source.close()
    return [] if source is not None or "none" in names else reasons


def _open_nvml(gpus: Sequence[int | str]) -> EnergySource:
    from llem_energy._sources.nvml import NvmlSource  # it imports this module

    return NvmlSource(gpus)


def _open_rapl(gpus: Sequence[int | str]) -> EnergySource:
    from llem_energy._sources.rapl import RaplSource  # it imports this module

    del gpus  # it meters the processor
    return RaplSource()


_OPENERS = {"nvml": _open_nvml, "rapl": _open_rapl}
