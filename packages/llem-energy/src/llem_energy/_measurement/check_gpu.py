"""The check of a GPU of this machine."""

from __future__ import annotations

from collections.abc import Callable

from llem_energy._backends.pytorch.full_load import CudaLoad
from llem_energy._board_check.bench import Load, LoadedBoard
from llem_energy._board_check.check import PLACE_S, STEPS_S, check_board
from llem_energy._errors import GpuError
from llem_energy._host.family import Family
from llem_energy._metering.board_check import BoardCheck
from llem_energy._sources.nvml import NvmlSource
from llem_energy._sources.nvml_gpu import Gpu


def check_gpu(
    gpu: int | str,
    *,
    load: Load | None = None,
    steps_s: float = STEPS_S,
    place_s: float = PLACE_S,
    on_stage: Callable[[str], None] | None = None,
) -> BoardCheck:
    """Load an NVIDIA GPU for about 80 s, and return whether its energy counter is exact at its updates.

    The outcome holds for this board and this version of the driver. `save_board_checks` keeps it.

    Args:
        gpu: NVML index or UUID; nothing else may use it.
        load: what loads it; None computes matrix products with torch.
        steps_s: about, for the steps of the load.
        place_s: about, for each of the 16 places of the load within the period of the counter.
        on_stage: called at the beginning of each step of the check.

    Raises:
        SourceUnavailable: it reports no energy, or is split by MIG.
        GpuError: there is no such GPU, another process uses it, or it cannot be loaded or read.
    """
    source = NvmlSource([gpu])
    try:
        (uuid,) = source.devices
        others = Gpu(uuid).other_pids(Family().pids())
        if others:
            pids = ", ".join(map(str, others))
            raise GpuError(
                f"GPU {gpu} is used by other processes ({pids}), whose power the check would measure too; "
                "stop them and check again"
            )
        bench = LoadedBoard(source, CudaLoad(uuid) if load is None else load)
        return check_board(bench, steps_s=steps_s, place_s=place_s, on_stage=on_stage)
    finally:
        source.close()
