"""Which GPUs a meter reads if its user names none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from llem_energy._sources.gpu_choice import choose_gpus
from llem_energy._sources.registry import diagnose_source


class GpusToMeter(NamedTuple):
    """The GPUs to meter."""

    gpus: tuple[int | str, ...]
    notes: tuple[str, ...] = ()
    """What is uncertain about the choice."""
    is_hidden: bool = False
    """Whether a driver shows GPUs, but this process may use none of them."""


def gpus_to_meter(requested: Sequence[int | str] | None, sources: Sequence[str]) -> GpusToMeter:
    """Return the GPUs to meter.

    Args:
        requested: by the user; None for every visible one.
        sources: the names of energy sources in order of preference.
    """
    if requested is not None:
        return GpusToMeter(tuple(requested))
    for name in sources:
        if name == "nvml":
            from llem_energy._sources.shown_gpus import shown_gpus  # loads the driver's binding

            gpus = shown_gpus()
            if gpus:
                choice = choose_gpus(gpus, os.environ)
                note = f"{choice.problem}; all of these GPUs were metered, or name them with gpus="
                notes = (note,) if choice.problem and choice.uuids else ()
                return GpusToMeter(choice.uuids, notes, is_hidden=not choice.uuids)
        elif name not in ("rapl", "none"):
            found = diagnose_source(name).open_with
            if found:
                return GpusToMeter(found)
    return GpusToMeter(())
