"""What a machine can measure, and the advice about it (CM-11, CM-12, RES-06)."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest
from energy.parts import run_python, with_gpus
from fakes.fake_nvml import FakeGpu, Fault, Process
from fakes.powercap import add_domain

from llem_config import Settings
from llem_energy._machine.doctor_advice import problems
from llem_energy.doctor import DiagnosedDomain, DiagnosedGpu, DiagnosedSource, Diagnosis
from llem_energy.sources import Calibration

LOST, NOT_SUPPORTED = 15, 3
NO_COUNTER = (
    Fault("field:83", NOT_SUPPORTED),
    Fault("field:191", NOT_SUPPORTED),
    Fault("nvmlDeviceGetTotalEnergyConsumption", NOT_SUPPORTED),
)
NO_POWER = (Fault("field:185", NOT_SUPPORTED), Fault("field:186", NOT_SUPPORTED))

DIAGNOSE = """
import json, sys
started = []
watched = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec")
sys.addaudithook(lambda event, args: started.append(event) if event in watched else None)
import msgspec
from llem_config import Settings
from llem_energy.doctor import diagnose
stages = []
diagnosis = diagnose(Settings(), on_stage=stages.append)
heavy = sorted({"torch", "transformers", "numpy", "pyarrow"} & set(sys.modules))
print(json.dumps([msgspec.to_builtins(diagnosis), stages, started, heavy]))
"""


@pytest.fixture(autouse=True)
def no_processor_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLEM_POWERCAP", str(tmp_path / "absent"))


@pytest.fixture
def no_driver(tmp_path: Path) -> dict[str, str]:
    # No library, even on a machine that has one: the loader stops at this empty file.
    (tmp_path / "libnvidia-ml.so.1").touch()
    return {"LD_LIBRARY_PATH": str(tmp_path)}


def test_a_machine_without_a_meter_is_diagnosed_without_a_calibration(
    no_driver: dict[str, str],
) -> None:
    diagnosis, stages, started, heavy = json.loads(run_python(DIAGNOSE, env=no_driver))
    assert not diagnosis["measurable"]
    assert [source["available"] for source in diagnosis["sources"]] == [False, False, False]
    assert (diagnosis["gpus"], diagnosis["domains"], diagnosis["versions"]["driver"]) == (
        [],
        [],
        None,
    )
    driver, everything = diagnosis["problems"]
    assert "make `nvidia-smi` work first" in driver
    assert "no energy can be measured" in everything
    # No stage: no meter is calibrated.
    assert (stages, started, heavy) == ([], [], [])


MACHINE = [
    FakeGpu(uuid="GPU-good", name="Good", power_limit_w=450.0, temperature_c=61.0),
    FakeGpu(uuid="GPU-mig", mig=True),
    FakeGpu(uuid="GPU-lost", faults=(Fault("*", LOST),)),
    FakeGpu(uuid="GPU-power", faults=NO_COUNTER),
    FakeGpu(
        uuid="GPU-nothing",
        faults=(*NO_COUNTER, *NO_POWER, Fault("nvmlDeviceGetPowerUsage", NOT_SUPPORTED)),
    ),
    FakeGpu(
        uuid="GPU-old",
        counter_period_s=0.02,
        faults=(Fault("field:83", NOT_SUPPORTED),),
        application_mhz=(1410, 3201, 1980, 3201),
    ),
    FakeGpu(
        uuid="GPU-shared",
        persistence=False,
        virtualization=2,
        processes=(Process(4242), Process(4343, graphics=True)),
        module_w=200.0,
    ),
]


@pytest.fixture(scope="module")
def diagnosed(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("machine")
    return with_gpus(DIAGNOSE, library, MACHINE, folder, env={"LLEM_POWERCAP": str(folder)})


@pytest.fixture(scope="module")
def machine(diagnosed: Any) -> dict[str, Any]:
    report: dict[str, Any] = diagnosed[0]
    return report


def gpu_of(machine: dict[str, Any], uuid: str) -> dict[str, Any]:
    (match,) = [gpu for gpu in machine["gpus"] if gpu["uuid"] == uuid]
    assert isinstance(match, dict)
    return match


def advice_for(machine: dict[str, Any], index: int) -> list[str]:
    return [problem for problem in machine["problems"] if f"GPU {index}" in problem]


def test_a_diagnosis_starts_no_process_and_reports_its_stage(diagnosed: Any) -> None:
    _, stages, started, heavy = diagnosed
    assert stages == ["calibrating GPUs: 4 of 6"]
    assert (started, heavy) == ([], [])


def test_a_good_gpu_is_described_by_its_period_and_error_bound(
    machine: dict[str, Any],
) -> None:
    good = gpu_of(machine, "GPU-good")
    assert machine["measurable"]
    assert (good["index"], good["name"]) == (0, "Good")
    assert (good["refusal"], good["counter_problem"]) == (None, None)
    assert good["calibration"]["counter_period_s"] == pytest.approx(0.1, rel=0.05)
    assert good["bound_10s_share"] == pytest.approx(0.011, rel=0.05)
    assert good["bound_10s_p95_share"] == pytest.approx(0.019, rel=0.05)
    assert good["window_1_percent_s"] == pytest.approx(11, rel=0.05)
    assert good["window_1_percent_p95_s"] == pytest.approx(19, rel=0.05)
    assert good["supported_fields"] == [74, 75, 83, 185, 186, 191]
    assert (good["mig"], good["persistence_mode"], good["other_pids"]) == (False, True, [])
    assert (good["power_limit_w"], good["power_limit_default_w"]) == (450, 700)
    assert (good["temperature_c"], good["module_power"]) == (61, False)
    assert good["virtualization"] == "none"
    assert advice_for(machine, 0) == []


def test_a_gpu_with_mig_is_refused_with_the_command_that_turns_it_off(
    machine: dict[str, Any],
) -> None:
    split = gpu_of(machine, "GPU-mig")
    assert split["mig"]
    assert "MIG" in split["refusal"]
    assert (split["calibration"], split["bound_10s_share"]) == (None, None)
    (problem,) = advice_for(machine, 1)
    assert "`sudo nvidia-smi -i 1 -mig 0`" in problem


def test_a_gpu_that_does_not_respond_is_reported_but_not_listed(
    machine: dict[str, Any],
) -> None:
    assert "GPU-lost" not in {gpu["uuid"] for gpu in machine["gpus"]}
    (silent,) = machine["silent_gpus"]
    assert "GPU is lost" in silent
    (problem,) = advice_for(machine, 2)
    assert problem.startswith(silent)
    assert "reboot" in problem


def test_a_missing_energy_counter_is_detected_by_reading_it(machine: dict[str, Any]) -> None:
    counterless = gpu_of(machine, "GPU-power")
    assert counterless["refusal"] is None
    assert counterless["counter_problem"] == "Not Supported"
    assert counterless["supported_fields"] == [74, 75, 185, 186]
    assert counterless["bound_10s_share"] is None
    (problem,) = advice_for(machine, 3)
    assert "(Not Supported), so its energy will be an integral of power without a bound" in problem


def test_a_gpu_without_counter_and_power_cannot_be_measured(machine: dict[str, Any]) -> None:
    assert "neither energy nor power" in gpu_of(machine, "GPU-nothing")["refusal"]
    (problem,) = advice_for(machine, 4)
    assert "GPU 4 cannot be measured" in problem


def test_a_counter_that_only_the_older_function_can_read_is_used(machine: dict[str, Any]) -> None:
    old = gpu_of(machine, "GPU-old")
    assert old["counter_problem"] is None
    assert 83 not in old["supported_fields"]
    assert old["calibration"]["counter_period_s"] == pytest.approx(0.02, rel=0.1)
    assert advice_for(machine, 5) == []


def test_clocks_that_a_user_set_are_shown_and_are_no_problem(machine: dict[str, Any]) -> None:
    good, old = gpu_of(machine, "GPU-good"), gpu_of(machine, "GPU-old")
    assert (good["clocks_locked"], good["sm_clock_mhz"], good["sm_clock_max_mhz"]) == (
        None,
        1980,
        1980,
    )
    assert "not report a lock" in good["clocks_locked_reason"]
    assert (old["clocks_locked"], old["application_sm_clock_mhz"]) == (True, 1410)
    assert "SM 1410 MHz instead of 1980" in old["clocks_locked_reason"]
    assert [line for line in machine["problems"] if "clock" in line] == []


def test_a_shared_gpu_without_persistence_mode_is_reported(machine: dict[str, Any]) -> None:
    shared = gpu_of(machine, "GPU-shared")
    assert (shared["persistence_mode"], shared["virtualization"]) == (False, "vgpu")
    assert (shared["other_pids"], shared["module_power"]) == ([4242, 4343], True)
    advice = advice_for(machine, 6)
    assert len(advice) == 3
    assert "shared by a hypervisor (vgpu)" in advice[0]
    assert "`sudo nvidia-smi -i 6 -pm 1`" in advice[1]
    assert "used by other processes (4242, 4343)" in advice[2]


def test_versions_are_those_of_driver_libraries_and_llem(machine: dict[str, Any]) -> None:
    versions = machine["versions"]
    assert (versions["driver"], versions["nvml"], versions["cuda driver"]) == (
        *("580.00.01", "13.580.00.01"),
        "13.0",
    )
    for package in ("llem-config", "llem-energy", "llem-runner", "llem-cli", "torch"):
        assert versions[package] == version(package)
    assert versions["python"].startswith("3.")


def test_slow_and_stalled_counters_are_observed_for_five_seconds(
    library: Path, tmp_path: Path
) -> None:
    gpus = [
        FakeGpu(uuid="GPU-slow", counter_period_s=0.5),
        FakeGpu(uuid="GPU-stalled", stalls=((0.0, 1000.0),)),
    ]
    diagnosis, *_ = with_gpus(DIAGNOSE, library, gpus, tmp_path)
    slow = gpu_of(diagnosis, "GPU-slow")
    assert slow["calibration"]["counter_period_s"] == pytest.approx(0.5, rel=0.02)
    assert slow["window_1_percent_p95_s"] == pytest.approx(95, rel=0.02)
    (problem,) = diagnosis["problems"]
    assert problem.startswith("the energy counter of GPU 1 moved 0 times in 5.0 s")


def test_a_driver_without_a_gpu_is_reported(library: Path, tmp_path: Path) -> None:
    diagnosis, stages, *_ = with_gpus(DIAGNOSE, library, [], tmp_path)
    reasons = {source["name"]: source["reason"] for source in diagnosis["sources"]}
    assert reasons["nvml"] == "the driver shows no GPU"
    assert diagnosis["versions"]["driver"] == "580.00.01"
    assert stages == []


TICKING = """
import os, threading, time
from pathlib import Path
file = Path(os.environ["LLEM_POWERCAP"]) / "intel-rapl:0" / "energy_uj"
def tick():
    n = 1_000_000
    while True:
        n += 50_000
        scratch = file.with_suffix(".new")
        scratch.write_text(str(n))
        scratch.replace(file)
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()
"""


def test_counters_of_the_processor_are_calibrated_and_one_that_does_not_move_is_reported(
    tmp_path: Path, no_driver: dict[str, str]
) -> None:
    file = add_domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    add_domain(tmp_path, "intel-rapl:0:0", "dram", 1_000_000)
    env = {**no_driver, "LLEM_POWERCAP": str(tmp_path)}
    diagnosis, stages, *_ = json.loads(run_python(TICKING + DIAGNOSE, env=env))
    assert diagnosis["measurable"]
    assert stages == ["calibrating the counters of the processor"]
    package, memory = diagnosis["domains"]
    assert (package["name"], package["file"], package["readable"]) == ("package-0", str(file), True)
    assert package["permission_command"] is None
    assert 0.009 < package["calibration"]["counter_period_s"] < 0.03
    assert memory["calibration"]["counter_period_s"] is None
    assert len(diagnosis["problems"]) == 2
    assert "package-0-dram did not move in 0.5 s" in diagnosis["problems"][1]


def calibration(**changes: Any) -> Calibration:
    example = Calibration(
        device="GPU-0", counter_period_s=0.1, counter_jitter_s=0.0, counter_step_j=3.0,
        power_period_s=None, call_p50_s=1e-5, call_p99_s=2e-5, n_updates=9, duration_s=1.0,
        boot_id=None, driver="580", binding="13", made_at="2026-01-31T12:00:00+00:00",
    )  # fmt: skip
    return msgspec.structs.replace(example, **changes)


def gpu(**changes: Any) -> DiagnosedGpu:
    example = DiagnosedGpu(
        index=3, uuid="GPU-3", name="H200", refusal=None, counter_problem=None,
        calibration=calibration(), bound_10s_share=0.011, bound_10s_p95_share=0.019,
        window_1_percent_s=11.0, window_1_percent_p95_s=19.0, supported_fields=(83,),
        module_power=False, mig=False, virtualization="none", persistence_mode=True,
        other_pids=(), power_limit_w=700.0, power_limit_default_w=700.0, temperature_c=40.0,
    )  # fmt: skip
    return msgspec.structs.replace(example, **changes)


def advice(
    *gpus: DiagnosedGpu, domains: tuple[DiagnosedDomain, ...] = (), **devices: Any
) -> tuple[str, ...]:
    sources = tuple(
        DiagnosedSource(name=name, available=name == "nvml", reason=None)
        for name in ("nvml", "rapl")
    )
    diagnosis = Diagnosis(
        measurable=True, sources=sources, gpus=gpus, silent_gpus=(), domains=domains,
        versions={}, problems=(),
    )  # fmt: skip
    return problems(diagnosis, Settings.model_validate({"devices": devices}))


def test_a_gpu_without_problems_gets_no_advice() -> None:
    assert advice(gpu()) == ()
    silent = gpu(virtualization=None, persistence_mode=None, other_pids=None, mig=None)
    assert advice(silent, gpu(virtualization="passthrough")) == ()


@pytest.mark.parametrize(
    ("changes", "cause", "next_step"),
    [
        (
            {"persistence_mode": False},
            "persistence mode of GPU 3 is off",
            "`sudo nvidia-smi -i 3 -pm 1`",
        ),
        ({"other_pids": (12, 345)}, "other processes (12, 345)", "stop them"),
        ({"virtualization": "vgpu"}, "shared by a hypervisor (vgpu)", "on bare metal"),
        ({"calibration": calibration(call_p99_s=0.02)}, "takes up to 20 ms", "other load"),
        ({"calibration": calibration(counter_period_s=None, n_updates=1)}, "1 times", "reload"),
    ],
)
def test_each_problem_of_a_gpu_is_one_sentence_with_its_next_step(
    changes: dict[str, Any], cause: str, next_step: str
) -> None:
    (problem,) = advice(gpu(**changes))
    assert "GPU 3" in problem
    assert cause in problem
    assert next_step in problem


def test_a_gpu_that_the_settings_name_must_exist() -> None:
    assert advice(gpu(), gpus=(3, "GPU-3")) == ()
    (problem,) = advice(gpu(), gpus=(3, "GPU-9"))
    assert "devices.gpus names GPU GPU-9, which this machine does not have" in problem
    assert "config.yaml" in problem
