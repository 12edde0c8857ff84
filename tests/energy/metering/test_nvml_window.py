"""The meter on scripted GPUs through the real binding (CM-11 to CM-16, CM-26 to CM-34, RES-06).

All scripts run in one process, each metered by its own source and sampler, in one window of two
seconds: a fault of one GPU must not affect another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from energy.parts import run_python, with_gpus
from fakes.fake_nvml import FakeGpu, Fault, Throttle, true_energy_j

LOST, NOT_SUPPORTED = 15, 3
STEADY = ((0.0, 300.0),)
SQUARE = ((0.0, 100.0), (0.4, 600.0))
RAMP = ((0.0, 100.0), (2.0, 700.0))
NO_COUNTER = (
    Fault("field:83", NOT_SUPPORTED),
    Fault("nvmlDeviceGetTotalEnergyConsumption", NOT_SUPPORTED),
)

NO_METER = (
    *NO_COUNTER,
    Fault("field:186", NOT_SUPPORTED),
    Fault("field:185", NOT_SUPPORTED),
    Fault("nvmlDeviceGetPowerUsage", NOT_SUPPORTED),
)

METER = """
import contextlib, json, os, sys, time
import msgspec
from llem_energy._measurement.baseline import idle_power
from llem_energy._metering.calibration import calibrate
from llem_energy._measurement.idle import IdleSpan
from llem_energy._estimation.window_energy import energy_figures
from llem_energy._sources.nvml import NvmlSource
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.window import MeasuredSpan

# The script of the GPUs begins now, not when this process did.
epoch = time.monotonic()
os.environ["LLEM_FAKE_NVML_EPOCH"] = repr(epoch)
groups = {name: NvmlSource(indices) for name, indices in json.loads(sys.argv[1]).items()}
def wait_until(t_s):
    time.sleep(max(0.0, epoch + t_s - time.perf_counter()))
recorders = {name: Recorder(None) for name in groups}
def read_all():
    for sampler in samplers.values():
        sampler.read()
with contextlib.ExitStack() as stack:
    samplers = {
        n: stack.enter_context(Sampler(s, 0.05, recorders[n])) for n, s in groups.items()
    }
    wait_until(0.1)
    everything = NvmlSource(sorted(i for indices in json.loads(sys.argv[1]).values() for i in indices))
    calibration = calibrate(everything, min_duration_s=0.3, timeout_s=0.7)
    everything.close()
    wait_until(1.0)
    read_all(); start = time.perf_counter(); read_all()
    wait_until(3.0)
    read_all(); end = time.perf_counter(); read_all()
    wait_until(3.8)
figures = {
    name: energy_figures(
        source,
        recorders[name].between(0.0, 1e9),
        MeasuredSpan(start, end, 0.0, 1, 0.0),
        calibration,
    )
    for name, source in groups.items()
}
idle = IdleSpan(epoch + 0.4, start)
steady = groups["steady20"], recorders["steady20"].between
idle_w = idle_power(*steady, idle, calibration)
window = (start - epoch, end - epoch)
print(msgspec.json.encode({"figures": figures, "window": window, "idle_w": idle_w}).decode())
"""

GROUPS: dict[str, tuple[FakeGpu, ...]] = {
    "steady20": (FakeGpu(points=STEADY, counter_period_s=0.02),),
    "steady100": (FakeGpu(points=STEADY, counter_period_s=0.1, counter_phase_s=0.03),),
    "square20": (FakeGpu(points=SQUARE, repeat_s=0.8, counter_period_s=0.02),),
    "square100": (FakeGpu(points=SQUARE, repeat_s=0.8, counter_phase_s=0.07),),
    "ramp20": (FakeGpu(points=RAMP, repeat_s=3.0, linear=True, counter_period_s=0.02),),
    "ramp100": (FakeGpu(points=RAMP, repeat_s=3.0, linear=True, counter_phase_s=0.05),),
    "no counter": (FakeGpu(points=STEADY, faults=NO_COUNTER),),
    "lost": (FakeGpu(points=STEADY, faults=(Fault("*", LOST, 2.0),)),),
    "pair": (FakeGpu(points=STEADY), FakeGpu(points=STEADY, faults=(Fault("*", LOST, 2.0),))),
    "average only": (
        FakeGpu(points=STEADY, faults=(*NO_COUNTER, Fault("field:186", NOT_SUPPORTED))),
    ),
    "lying": (FakeGpu(points=STEADY, stalls=((1.5, 2.4),), counter_gain=0.5),),
    "spike": (FakeGpu(points=STEADY, latency_spikes=((500_000, 1.8, 1.81),)),),
    "stall": (FakeGpu(points=STEADY, stalls=((2.0, 1000.0),)),),
    "short stall": (FakeGpu(points=SQUARE, repeat_s=0.8, stalls=((1.5, 2.3),)),),
    "reset": (FakeGpu(points=STEADY, resets=(2.0,)),),
    "hiccup": (FakeGpu(points=SQUARE, repeat_s=0.8, faults=(Fault("*", 999, 1.7, 2.1),)),),
    "gap": (FakeGpu(points=STEADY, faults=(*NO_COUNTER, Fault("field:186", LOST, 1.2, 2.8))),),
    "braked": (FakeGpu(points=STEADY, throttles=(Throttle(1.0, 3.0, 0x80),)),),
    "throttled": (
        FakeGpu(
            points=STEADY,
            temperature_c=83.0,
            power_limit_w=450.0,
            # The second is too short for any sample to see it.
            throttles=(Throttle(1.2, 2.8, 0x4), Throttle(2.011, 2.013, 0x40)),
        ),
    ),
}


def numbered() -> Iterator[tuple[str, FakeGpu]]:
    everything = [(name, gpu) for name, gpus in GROUPS.items() for gpu in gpus]
    for i, (name, gpu) in enumerate(everything):
        changes = {f: getattr(gpu, f) for f in gpu.__slots__} | {"uuid": f"GPU-{i:04d}"}
        yield name, FakeGpu(**changes)


@pytest.fixture(scope="module")
def metered(library: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    gpus = list(numbered())
    groups = {name: [i for i, (of, _) in enumerate(gpus) if of == name] for name in GROUPS}
    folder = tmp_path_factory.mktemp("meter")
    answers: dict[str, Any] = with_gpus(
        METER, library, [gpu for _, gpu in gpus], folder, json.dumps(groups)
    )
    return answers


def of(metered: dict[str, Any], name: str) -> tuple[dict[str, Any], float]:
    """Return the values of one script and the true joules of its first GPU."""
    gpu = GROUPS[name][0]
    return metered["figures"][name], true_energy_j(gpu, *metered["window"])


def reasons(figures: dict[str, Any]) -> str:
    return " | ".join(figures["total"]["reasons"])


@pytest.mark.parametrize("shape", ["steady", "square", "ramp"])
@pytest.mark.parametrize("period", [20, 100])
def test_the_true_energy_is_within_the_reported_bound(
    metered: dict[str, Any], shape: str, period: int
) -> None:
    figures, truth = of(metered, f"{shape}{period}")
    assert abs(figures["total_j"] - truth) <= figures["bound_j"] + 0.002  # a millijoule at each end
    assert figures["budget"]["edge_bound_j"] < 0.2 * truth
    assert figures["uncertainty_j"] <= figures["bound_j"]
    assert figures["total_j"] == pytest.approx(truth, rel=0.1)
    assert figures["method"].startswith("energy counter")


def test_counter_and_integral_of_a_constant_load_agree(metered: dict[str, Any]) -> None:
    figures, truth = of(metered, "steady20")
    assert figures["integrated_j"] == pytest.approx(truth, rel=1e-3)
    assert abs(figures["disagreement"]) < 0.05
    idle_w = metered["idle_w"]  # wider on a busy machine
    assert idle_w["power_w"] == pytest.approx(300, abs=idle_w["uncertainty_w"])
    assert idle_w["uncertainty_w"] < 15
    assert figures["total"] == {"status": "ok", "reasons": []}


def test_without_a_counter_the_power_integral_replaces_it_and_is_flagged(
    metered: dict[str, Any],
) -> None:
    figures, truth = of(metered, "no counter")
    assert figures["total_j"] == pytest.approx(truth, rel=0.01)
    assert figures["counter_j"] is None
    assert figures["bound_j"] is None
    assert figures["method"].startswith("integral")
    assert "replaced by the integral of instant power" in reasons(figures)
    assert figures["total"]["status"] == "flagged"
    assert figures["budget"]["edge_bound_j"] is None
    assert figures["budget"]["sampling_j"] is not None


def test_a_gpu_lost_during_the_window_has_no_energy(metered: dict[str, Any]) -> None:
    figures, _ = of(metered, "lost")
    assert figures["total_j"] is None
    assert figures["devices"][0]["energy_j"] is None
    assert figures["total"]["status"] == "missing"
    assert "no integral of power can replace the counter" in reasons(figures)


def test_when_one_of_two_gpus_is_lost_there_is_no_total(metered: dict[str, Any]) -> None:
    figures, truth = of(metered, "pair")
    assert figures["total_j"] is None
    assert figures["counter_j"] is None
    assert figures["bound_j"] is None
    first, second = figures["devices"]
    assert first["energy_j"] == pytest.approx(truth, rel=0.1)
    assert second["energy_j"] is None
    assert second["device"] in reasons(figures)
    assert figures["total"]["status"] == "missing"


@pytest.mark.parametrize("script", ["stall", "reset"])
def test_a_counter_that_stops_or_is_reset_is_replaced_by_the_integral(
    metered: dict[str, Any], script: str
) -> None:
    figures, truth = of(metered, script)
    assert figures["counter_j"] is None
    assert figures["total_j"] == pytest.approx(truth, rel=0.01)
    assert figures["total"]["status"] == "flagged"
    assert "the energy counter" in reasons(figures)


@pytest.mark.parametrize("script", ["short stall", "hiccup"])
def test_a_disturbance_before_the_end_of_the_window_does_not_affect_the_counter(
    metered: dict[str, Any], script: str
) -> None:
    figures, truth = of(metered, script)
    assert abs(figures["total_j"] - truth) <= figures["bound_j"] + 0.002
    assert figures["method"].startswith("energy counter")


def test_a_stalled_counter_is_flagged_even_if_it_caught_up(metered: dict[str, Any]) -> None:
    figures, _ = of(metered, "short stall")
    assert figures["total"]["status"] == "flagged"
    assert "the energy counter was not updated for 0." in reasons(figures)


def test_a_stalled_counter_that_power_contradicts_is_not_used(
    metered: dict[str, Any],
) -> None:
    figures, truth = of(metered, "lying")
    assert figures["counter_j"] == pytest.approx(truth / 2, rel=0.1)
    assert figures["total_j"] == pytest.approx(truth, rel=0.01)
    assert figures["method"].startswith("integral")
    assert "counter and integrated power disagree by +" in reasons(figures)


def test_two_seconds_of_the_drivers_average_power_give_no_energy(metered: dict[str, Any]) -> None:
    figures, _ = of(metered, "average only")
    assert figures["total_j"] is None
    assert figures["total"]["status"] == "missing"


def test_a_call_that_hangs_for_half_a_second_does_not_change_the_energy(
    metered: dict[str, Any],
) -> None:
    figures, truth = of(metered, "spike")
    assert abs(figures["total_j"] - truth) <= figures["bound_j"] + 0.002
    assert figures["integrated_j"] == pytest.approx(truth, rel=0.01)


def test_every_applicable_estimator_is_in_the_result(metered: dict[str, Any]) -> None:
    figures, truth = of(metered, "steady100")
    (device,) = figures["devices"]
    methods = [estimate["method"] for estimate in device["estimates"]]
    assert methods == [
        "energy counter, interpolated",
        "energy counter, edge read",
        "integral of instant power",
    ]
    assert device["estimates"][0]["energy_j"] == figures["total_j"]
    assert abs(device["estimates"][0]["energy_j"] - truth) < 0.01 * truth


def test_power_is_not_guessed_while_a_gpu_does_not_respond(metered: dict[str, Any]) -> None:
    figures, _ = of(metered, "gap")
    assert figures["total_j"] is None
    assert figures["integrated_j"] is None


def test_throttling_clocks_and_temperature_are_reported_for_the_window(
    metered: dict[str, Any],
) -> None:
    figures, _ = of(metered, "throttled")
    (device,) = figures["devices"]
    assert device["throttled_power_s"] == pytest.approx(1.6, abs=1e-6)
    assert device["throttled_thermal_s"] == pytest.approx(0.002, abs=1e-6)
    assert "software power cap" in device["throttle_reasons"]
    assert device["power_limit_w"] == 450
    assert device["temperature_start_c"] == device["temperature_max_c"] == 83
    assert 990 <= device["sm_clock_mean_mhz"] < 1980
    assert "throttled by temperature" in reasons(figures)


def test_an_external_power_brake_is_flagged_and_the_power_limit_is_not(
    metered: dict[str, Any],
) -> None:
    figures, _ = of(metered, "braked")
    assert "slowed down by its hardware" in reasons(figures)
    assert figures["devices"][0]["throttle_reasons"] == ["power brake"]
    figures, _ = of(metered, "throttled")
    assert "slowed down by its hardware" not in reasons(figures)


def test_an_undisturbed_gpu_has_no_throttling(metered: dict[str, Any]) -> None:
    figures, _ = of(metered, "steady20")
    (device,) = figures["devices"]
    assert (device["throttled_power_s"], device["throttled_thermal_s"]) == (0, 0)
    assert device["throttle_reasons"] == []
    assert device["sm_clock_mean_mhz"] == 1980


ASK = """
import json, sys
import msgspec
from llem_energy._sources.registry import open_source
source, reasons = open_source(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
answer = {"reasons": reasons, "devices": None}
if source is not None:
    answer["devices"] = source.devices
    answer["samples"] = msgspec.to_builtins(source.read(details=True))
    source.close()
    source.close()
print(json.dumps(answer))
"""
FIRST, SECOND = "GPU-first", "GPU-second"


def test_gpus_are_found_by_uuid_and_by_index_in_the_given_order(
    library: Path, tmp_path: Path
) -> None:
    gpus = [FakeGpu(uuid=FIRST), FakeGpu(uuid=SECOND)]
    requested = f'["{SECOND}", 0]'
    answer = with_gpus(ASK, library, gpus, tmp_path, '["nvml"]', requested)
    assert answer["devices"] == [SECOND, FIRST]


def test_milli_units_become_joules_and_watts(library: Path, tmp_path: Path) -> None:
    gpu = FakeGpu(points=((0.0, 250.0),), counter_initial_mj=5_000_000_000)
    (sample,) = with_gpus(ASK, library, [gpu], tmp_path, '["nvml"]', "[0]")["samples"]
    assert sample["power_w"] == pytest.approx(250.0)
    assert 5_000_000 < sample["energy_j"] < 5_000_000 + 250 * 60
    assert sample["memory_used_bytes"] == 2 * 2**30
    assert sample["utilisation"] == pytest.approx(250 / 700, abs=0.01)
    assert sample["memory_clock_mhz"] == 3201


def test_throttle_reasons_are_read_from_older_drivers_too(library: Path, tmp_path: Path) -> None:
    gpu = FakeGpu(
        throttles=(Throttle(0.0, math.inf, 0x4),),
        missing=("nvmlDeviceGetCurrentClocksEventReasons",),
    )
    (sample,) = with_gpus(ASK, library, [gpu], tmp_path, '["nvml"]', "[0]")["samples"]
    assert sample["throttle_reasons"] == ["software power cap"]


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        (FakeGpu(mig=True), "split by MIG"),
        (FakeGpu(faults=(Fault("*", LOST),)), "GPU 0: "),
        (FakeGpu(faults=NO_METER), "neither energy nor power"),
    ],
    ids=["mig", "lost", "no meter"],
)
def test_a_gpu_that_cannot_be_metered_is_refused_with_its_reason(
    library: Path, tmp_path: Path, gpu: FakeGpu, reason: str
) -> None:
    answer = with_gpus(ASK, library, [gpu], tmp_path, '["nvml"]', "[0]")
    assert answer["devices"] is None
    assert answer["reasons"][0].startswith("nvml: ")
    assert reason in answer["reasons"][0]


def test_a_gpu_that_does_not_exist_is_refused(library: Path, tmp_path: Path) -> None:
    answer = with_gpus(ASK, library, [FakeGpu()], tmp_path, '["nvml"]', "[7]")
    assert answer["devices"] is None
    assert "GPU 7" in answer["reasons"][0]


def test_without_a_driver_the_source_is_unavailable_and_says_why(tmp_path: Path) -> None:
    # No library, even on a machine that has one: the loader stops at this empty file.
    (tmp_path / "libnvidia-ml.so.1").touch()
    out = run_python(ASK, '["nvml"]', "[0]", env={"LD_LIBRARY_PATH": str(tmp_path)})
    assert '"devices": null' in out
    assert "nvml: the NVIDIA driver cannot be used" in out


def test_a_gpu_that_is_named_twice_is_metered_once(library: Path, tmp_path: Path) -> None:
    requested = f'[0, 0, "{FIRST}"]'
    answer = with_gpus(ASK, library, [FakeGpu(uuid=FIRST)], tmp_path, '["nvml"]', requested)
    assert answer["devices"] == [FIRST]


def test_a_mig_instance_named_by_its_uuid_is_refused(library: Path, tmp_path: Path) -> None:
    answer = with_gpus(ASK, library, [FakeGpu()], tmp_path, '["nvml"]', '["MIG-1234"]')
    assert answer["devices"] is None
    assert "split by MIG" in answer["reasons"][0]


def test_a_driver_may_fail_its_first_reads(library: Path, tmp_path: Path) -> None:
    gpu = FakeGpu(uuid=FIRST, faults=tuple(Fault(f.function, 999, 0.0, 0.15) for f in NO_METER))
    late = ASK.replace("import json, sys", "import json, os, sys, time\n"
                       "os.environ['LLEM_FAKE_NVML_EPOCH'] = repr(time.monotonic())")  # fmt: skip
    answer = with_gpus(late, library, [gpu], tmp_path, '["nvml"]', "[0]")
    assert answer["devices"] == [FIRST]
