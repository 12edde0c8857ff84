"""What a flag says about other processes on a metered GPU, and what to do about them."""

from __future__ import annotations

from energy.estimation.test_sensor_gain import Boards

from llem_energy._measurement.gpu_sharing import GpuSharing
from llem_energy._measurement.idle import Idles
from llem_energy._measurement.tenancy_flags import Tenancy, tenancy_flags
from llem_energy._metering.window import MeasuredSpan


def flags(sharing: GpuSharing) -> tuple[str, ...]:
    tenancy = Tenancy(
        source=Boards("GPU-1"),
        between=lambda *_: [],
        idles=Idles(),
        sharing={"GPU-1": sharing},
        indices={"GPU-1": 3},
    )
    return tenancy_flags(tenancy, MeasuredSpan(0.0, 2.0, 0.0, 1, 0.0))


def test_other_processes_have_a_sentence_that_says_what_to_do() -> None:
    doctor = "(`llem-cli doctor` lists the process ids)"
    assert flags(GpuSharing(1, 2)) == (
        "1 other process was on GPU 3 at the start; stop it, a desktop counts too, or use another "
        f"GPU {doctor}",
        "2 other processes were on GPU 3 later in the run; stop them, a desktop counts too, or use "
        f"another GPU {doctor}",
    )


def test_a_gpu_of_the_run_alone_has_no_flag() -> None:
    assert flags(GpuSharing(0, 0)) == ()
