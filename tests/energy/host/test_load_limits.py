"""Which load is too high, for a model on the CPU and on a GPU."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from energy.parts import experiment

from llem_config import Settings
from llem_energy._host.host_load import HostLoad, WindowStops
from llem_energy._host.load_limits import other_load_problem
from llem_energy._machine.doctor_advice import problems
from llem_energy._machine.machine import MachineGpu
from llem_energy._measurement.load_flags import load_flags, shared_meter_flags
from llem_energy._metering.window import MeasuredSpan
from llem_energy.doctor import Diagnosis
from llem_energy.preflight import Machine, check

QUIET = HostLoad(
    duration_s=10.0, n_cpus=16, family_cpu_s=80.0, other_cores=0.1, other_usable_cores=0.1,
    resolution_cores=0.016, stolen_s=0.0, cpu_pressure_s=9.0, cpu_limit_s=0.0, n_cpu_limit_stops=0,
    swapped_in_bytes=0,
)  # fmt: skip
RUNNING = WindowStops(
    thread_waited_s=0.01,
    stopped_s=0.0,
    suspended_s=0.0,
    n_preemptions=9,
    n_yields=9,
    n_page_loads=0,
)


def load(**changes: Any) -> HostLoad:
    return msgspec.structs.replace(QUIET, **changes)


def flags(*, on_gpu: bool = False, stops: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return the reasons of a window of ten seconds, as one text."""
    stopped = msgspec.structs.replace(RUNNING, **(stops or {}))
    span = MeasuredSpan(0.0, 10.0, 80.0, 1, 0.0, load(**changes), stopped)
    return "; ".join(load_flags(span, on_gpu=on_gpu))


def test_a_quiet_machine_has_no_flags() -> None:
    assert flags() == flags(on_gpu=True) == ""


def test_a_busy_loop_disturbs_a_model_on_the_cpu_and_not_one_on_a_gpu() -> None:
    assert "other processes kept 1 of the 16 CPUs busy" in flags(other_usable_cores=1.0)
    assert flags(other_usable_cores=1.0, on_gpu=True) == ""


def test_load_below_the_resolution_of_the_kernels_ticks_is_not_reported() -> None:
    assert (
        other_load_problem(load(other_usable_cores=1.0, resolution_cores=0.5), on_gpu=False) is None
    )


def test_a_model_on_a_gpu_is_disturbed_if_its_thread_waits_for_a_cpu() -> None:
    waiting = {"thread_waited_s": 0.5}
    assert "waited for a CPU for 0.5 s" in flags(on_gpu=True, stops=waiting)
    unknown = {"thread_waited_s": None}
    assert flags(on_gpu=True, stops=unknown, other_usable_cores=14.0) == ""
    busy = flags(on_gpu=True, stops=unknown, other_usable_cores=16.0)
    assert "kept 16 of the 16 CPUs busy" in busy


def test_an_unknown_load_is_no_flag() -> None:
    unknown = flags(other_usable_cores=None, stolen_s=None, cpu_limit_s=None, swapped_in_bytes=None)
    assert unknown == ""
    assert flags(on_gpu=True, stops={"thread_waited_s": None}, other_usable_cores=None) == ""


@pytest.mark.parametrize(
    ("changes", "stops", "reason"),
    [
        ({"stolen_s": 8.0}, {}, "the hypervisor withheld 5.0% of the CPU time"),
        ({"cpu_limit_s": 2.0, "n_cpu_limit_stops": 7}, {}, "control group stopped the run 7 times"),
        ({"swapped_in_bytes": 50_000_000}, {"n_page_loads": 99}, "50 MB were read back from swap"),
        ({}, {"stopped_s": 3.0}, "was stopped for 3 s of the window of 10 s"),
        ({}, {"suspended_s": 3600.0}, "suspended for 3.6e+03 s"),
    ],
)
@pytest.mark.parametrize("on_gpu", [False, True])
def test_each_disturbance_is_one_reason(
    changes: dict[str, Any], stops: dict[str, Any], reason: str, on_gpu: bool
) -> None:
    text = flags(on_gpu=on_gpu, stops=stops, **changes)
    assert reason in text
    assert ";" not in text


def test_a_meter_of_the_cpu_shows_the_energy_of_all_processes() -> None:
    def shared(**changes: Any) -> tuple[str, ...]:
        return shared_meter_flags(MeasuredSpan(0.0, 10.0, 80.0, 1, 0.0, load(**changes)))

    assert shared() == ()
    (reason,) = shared(other_cores=4.0)
    assert "other processes, which used 4 CPUs, while the run used 8" in reason
    assert shared(other_cores=None) == ()


def test_a_study_that_begins_on_a_busy_machine_has_a_warning() -> None:
    busy = load(other_usable_cores=1.9, n_cpus=2)
    on_cpu, on_gpu = experiment(), experiment(pytorch={"device": "auto"})
    warnings = check([on_cpu, on_gpu], Machine(settings=Settings(), load=busy)).warnings
    (warning,) = [w for w in warnings if "busy" in w.message]
    assert warning.points == (0, 1)  # without a GPU both run on the CPU
    assert "other processes kept 1.9 of the 2 CPUs busy just now; stop them" in warning.message
    half_free = Machine(
        settings=Settings(),
        gpus=(MachineGpu("GPU-1", None),),
        visible_gpus=("GPU-1",),
        load=load(other_usable_cores=1.0, n_cpus=2),
    )
    (warning,) = [w for w in check([on_cpu, on_gpu], half_free).warnings if "busy" in w.message]
    assert warning.points == (0,)
    quiet = Machine(settings=Settings(), load=QUIET)
    assert not any("busy" in w.message for w in check([on_cpu], quiet).warnings)


def test_doctor_reports_other_load_with_the_next_step() -> None:
    diagnosis = Diagnosis(
        measurable=True, sources=(), gpus=(), silent_gpus=(), domains=(), versions={}, problems=(),
        load=load(other_usable_cores=3.0),
    )  # fmt: skip
    (problem,) = problems(diagnosis, Settings())
    assert "other processes kept 3 of the 16 CPUs busy just now" in problem
    assert "stop them" in problem
