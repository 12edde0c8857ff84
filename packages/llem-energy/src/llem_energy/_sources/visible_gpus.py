"""Which GPUs a meter reads if its user names none."""

from __future__ import annotations

import os
from collections.abc import Sequence

from llem_energy._sources.nvml_gpu import snapshot_gpus
from llem_energy._sources.registry import diagnose_source


def gpus_to_meter(
    requested: Sequence[int | str] | None, sources: Sequence[str]
) -> tuple[tuple[int | str, ...], tuple[str, ...]]:
    """Return the GPUs to meter, and what is uncertain about the choice.

    Args:
        requested: by the user; None for every visible one.
        sources: the names of energy sources in order of preference.
    """
    if requested is not None:
        return tuple(requested), ()
    for name in sources:
        if name == "nvml":
            gpus = [(gpu.uuid, gpu.name) for gpu in snapshot_gpus(())]
            if gpus:
                return _visible(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
        elif name not in ("rapl", "none"):
            found = diagnose_source(name).open_with
            if found:
                return found, ()
    return (), ()


def _visible(
    gpus: Sequence[tuple[str, str | None]], variable: str | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the UUIDs that CUDA_VISIBLE_DEVICES leaves visible, and a note if that is uncertain."""
    uuids = tuple(uuid for uuid, _ in gpus)
    if variable is None:
        return uuids, ()
    names = [name.strip() for name in variable.split(",") if name.strip()]
    if names and all(name.startswith(("GPU-", "MIG-")) for name in names):
        chosen = tuple(
            next((uuid for uuid in uuids if uuid.startswith(name)), name) for name in names
        )
        return chosen, ()
    # CUDA puts the fastest GPU first, so its numbers are the driver's only for equal boards.
    is_in_order = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    is_in_order |= len({name for _, name in gpus}) == 1
    if is_in_order and names and all(name.isdigit() and int(name) < len(uuids) for name in names):
        return tuple(uuids[int(name)] for name in names), ()
    note = (
        f"CUDA_VISIBLE_DEVICES={variable} numbers the GPUs in CUDA's order, so all of them were "
        "metered; name those that are used with gpus="
    )
    return uuids, (note,)
