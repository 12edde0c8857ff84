"""AMD GPUs, read from a scripted library whose true energy is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from energy.parts import experiment, run_python, with_gpus
from fakes import fake_amd, fake_nvml
from fakes.fake_amd import BUS_IDS
from fakes.fake_nvml import CallFault, FakeGpu, Fault, true_energy_j

GPU = FakeGpu(
    name="Fake MI300X",
    uuid="aaff74a1-0000-1000-80ed-f1f1f1f1f1f1",
    points=((0.0, 200.0), (0.3, 500.0)),
    repeat_s=0.6,
    counter_period_s=0.001,
    temperature_c=61.0,
)
OTHER = FakeGpu(uuid="bbff74a1-0000-1000-80ed-f1f1f1f1f1f1", points=((0.0, 90.0),))

OPEN = """
import ctypes, json, sys
import msgspec
from llem_energy import MeasurementError
from llem_energy._sources.amd import AmdSource
keys, times_s, details = json.loads(sys.argv[1])
try:
    source = AmdSource(keys)
except MeasurementError as error:
    print(json.dumps({"refused": str(error)}))
    raise SystemExit
fake = ctypes.CDLL("libamd_smi.so")
fake.fake_nvml_set_time.argtypes, fake.fake_nvml_set_time.restype = [ctypes.c_double], None
reads = []
for t_s in times_s:
    fake.fake_nvml_set_time(t_s)
    reads.append(source.read(details=details))
limits = [source.power_limit_w(device) for device in source.devices]
answer = {"devices": source.devices, "reads": reads, "versions": source.versions(), "limits": limits}
source.close(), source.close()
print(msgspec.json.encode(answer).decode())
"""
DIAGNOSE = """
import msgspec
from llem_energy._sources.registry import diagnose_source
print(msgspec.json.encode(diagnose_source("amd")).decode())
"""
MEASURE = """
import os, sys
import msgspec
from llem_config import ExperimentConfig, Settings
from llem_energy import measure
settings = Settings.model_validate({"devices": {"gpus": [1]}})
result = measure(ExperimentConfig.model_validate_json(sys.argv[1]), settings=settings)
answer = {"result": result, "epoch": float(os.environ["LLEM_FAKE_NVML_EPOCH"])}
print(msgspec.json.encode(answer).decode())
"""

MACHINE = """
import json, sys
import msgspec
from llem_config import ExperimentConfig
from llem_energy._machine.environment import snapshot_environment
from llem_energy._measurement.memory_report import memory_report
from llem_energy.preflight import check, find_machine
config = ExperimentConfig.model_validate_json(sys.argv[1])
machine, snapshot = find_machine(), snapshot_environment(())
report = check([config], machine)
print(msgspec.json.encode({
    "visible": machine.visible_gpus, "problems": [f.message for f in report.problems],
    "snapshot": snapshot, "report": memory_report(config, snapshot, (snapshot.gpus[1].bus_id,), None),
}).decode())
"""


@pytest.fixture(scope="module")
def amd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return fake_amd.build(tmp_path_factory.mktemp("fake-amd"))
    except FileNotFoundError as error:
        pytest.skip(str(error))


def opened(
    amd: Path,
    folder: Path,
    gpus: Sequence[FakeGpu],
    keys: Sequence[int | str] = (0,),
    times_s: Sequence[float] = (1.0,),
    *,
    details: bool = False,
) -> Any:
    """Return what a process reads from the source at these times, or why it cannot open it."""
    arguments = f"[{_json(keys)}, {_json(times_s)}, {str(details).lower()}]"
    return with_gpus(OPEN, amd, gpus, folder, arguments, env={"LLEM_PCI_DEVICES": str(folder)})


def _json(values: Sequence[Any]) -> str:
    return str(list(values)).replace("'", '"')


def test_the_counter_is_the_true_energy_though_its_resolution_is_rounded(
    amd: Path, tmp_path: Path
) -> None:
    reads = opened(amd, tmp_path, [GPU], times_s=(1.0, 601.0))["reads"]
    counted_j = reads[1][0]["energy_j"] - reads[0][0]["energy_j"]
    assert counted_j == pytest.approx(true_energy_j(GPU, 1.0, 601.0), abs=0.003)


@pytest.mark.parametrize("key", [1, BUS_IDS[1], OTHER.uuid, f"GPU-{OTHER.uuid.upper()}"])
def test_a_gpu_is_found_by_index_bus_and_uuid(amd: Path, tmp_path: Path, key: int | str) -> None:
    found = opened(amd, tmp_path, [GPU, OTHER], [key, 1])
    assert found["devices"] == [OTHER.uuid]  # named twice, metered once
    assert [len(samples) for samples in found["reads"]] == [1]


def test_state_and_power_are_read(amd: Path, tmp_path: Path) -> None:
    folder = tmp_path / BUS_IDS[0] / "hwmon" / "hwmon3"
    folder.mkdir(parents=True)
    powers = {"power1_input": "431000000", "power1_average": "402000000", "power1_cap": "750000000"}
    for name, text in powers.items():
        (folder / name).write_text(f"{text}\n")
    found = opened(amd, tmp_path, [GPU, OTHER], [0, 1], details=True)
    first, second = found["reads"][0]
    assert (first["power_w"], first["power_average_w"]) == (431, 402)
    assert (second["power_w"], second["power_average_w"]) == (None, None)
    assert found["limits"] == [750, None]
    assert (first["temperature_c"], first["memory_temperature_c"]) == (61, None)
    assert (first["sm_clock_mhz"], first["memory_clock_mhz"]) == (2100, 1300)
    assert first["utilisation"] == pytest.approx(0.71, abs=0.01)  # 500 W of 700 W
    assert first["memory_used_bytes"] == 0
    assert first["throttle_reasons"] is None  # not read: see docs/energy.md
    assert first["pids"] is None
    assert found["versions"][1] == "26.0.2"


def test_a_counter_that_fails_later_gives_a_sample_without_energy(
    amd: Path, tmp_path: Path
) -> None:
    gpu = FakeGpu(uuid=GPU.uuid, faults=(Fault("amdsmi_get_energy_count", 14, 1e5, 2e5),))
    trace = [gpu, OTHER]
    reads = opened(amd, tmp_path, trace, [0, 1], times_s=(1e5 - 1, 1.5e5, 2e5))["reads"]
    assert [sample["energy_j"] is None for sample, _ in reads] == [False, True, False]
    assert all(sample["energy_j"] is not None for _, sample in reads)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"call_faults": (CallFault("amdsmi_init", 34, 1, 9),)}, "amdgpu is not loaded"),
        ({"call_faults": (CallFault("amdsmi_init", 10, 1, 9),)}, "groups `render` and `video`"),
        ({"missing": ("amdsmi_get_energy_count",)}, "energy counter of GPU"),
        ({"faults": (Fault("amdsmi_get_energy_count", 2),)}, "does not support it"),
        ({"faults": (Fault("amdsmi_get_energy_count", 10),)}, "groups `render` and `video`"),
        ({"faults": (Fault("*", 7),)}, "status 7 of the library"),
        ({"mig": True}, "set the compute partition to SPX"),
    ],
)
def test_a_gpu_that_cannot_be_metered_is_refused_with_the_reason(
    amd: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    gpu = FakeGpu(uuid=GPU.uuid, **changes)
    assert message in opened(amd, tmp_path, [gpu])["refused"]


@pytest.mark.parametrize("keys", [[], [7], ["0000:99:00.0"]])
def test_no_gpu_and_an_unknown_gpu_are_refused(
    amd: Path, tmp_path: Path, keys: list[int | str]
) -> None:
    refused = opened(amd, tmp_path, [GPU], keys)["refused"]
    assert refused == "the experiment uses no GPU" or BUS_IDS[0] in refused


def test_a_library_without_the_functions_is_too_old(library: Path, tmp_path: Path) -> None:
    """The fake of the other maker under this name loads, but has none of the functions."""
    (tmp_path / "libamd_smi.so").symlink_to(library / "libnvidia-ml.so.1")
    refused = opened(tmp_path, tmp_path, [GPU])["refused"]
    assert "is too old: expected the function amdsmi_init" in refused


def test_a_machine_without_the_library_is_told_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "libamd_smi.so").touch()
    program = OPEN.replace('ctypes.CDLL("libamd_smi.so")', "None")
    env = {"LD_LIBRARY_PATH": str(tmp_path), "ROCM_PATH": str(tmp_path)}
    output = run_python(program, "[[0], [], false]", env=env)
    if "refused" in output:  # a machine with ROCm has the library elsewhere
        assert "amd-smi-lib" in output or "driver" in output


def test_the_diagnosis_has_every_gpu(amd: Path, tmp_path: Path) -> None:
    fails = FakeGpu(uuid=OTHER.uuid, faults=(Fault("amdsmi_get_energy_count", 2),))
    found = with_gpus(DIAGNOSE, amd, [GPU, fails], tmp_path)
    assert found["open_with"] == [GPU.uuid]
    assert [gpu["snapshot"]["name"] for gpu in found["gpus"]] == ["Fake MI300X", "Fake H200"]
    assert [gpu["refusal"] is None for gpu in found["gpus"]] == [True, False]


def test_import_does_not_load_the_library() -> None:
    program = (
        "import sys, llem_energy, llem_energy.sources;"
        "print([name for name in sys.modules if 'amd' in name.rsplit('.', 1)[-1]])"
    )
    assert run_python(program).strip() == "[]"


def test_torch_on_rocm_names_a_gpu_by_its_place_on_the_bus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HIP_VISIBLE_DEVICES and ROCR_VISIBLE_DEVICES change torch's numbers, not the place."""
    import torch

    from llem_energy._backends.pytorch.introspection import gpu_uuid

    board = SimpleNamespace(pci_domain_id=0, pci_bus_id=0xC2, pci_device_id=0, uuid="6161-6666")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: board)
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert gpu_uuid(0) == BUS_IDS[1]
    monkeypatch.setattr(torch.version, "hip", None)
    assert gpu_uuid(0) == "GPU-6161-6666"


@pytest.mark.slow  # starts a process that imports torch
def test_a_whole_measurement_is_within_its_bound(amd: Path, tmp_path: Path) -> None:
    energy = {"sources": ["amd"], "min_window_seconds": 1.5}
    config = experiment(n=5, energy=energy).model_dump_json()
    env = {"LLEM_PCI_DEVICES": str(tmp_path)}
    answer = with_gpus(MEASURE, amd, [OTHER, GPU], tmp_path, config, env=env)
    result, epoch = answer["result"], answer["epoch"]
    span = result["steady_state_window"]
    truth = true_energy_j(GPU, span["start_s"] - epoch, span["end_s"] - epoch)
    assert result["energy_source"] == "amd"
    assert abs(result["energy_total_j"] - truth) <= result["energy_bound_j"] + 0.002
    assert result["error_budget"]["edge_bound_j"] < 0.1 * truth
    # This GPU never idles, so its counter may lag.
    assert result["error_budget"]["lag_j"] < 0.5 * truth


def test_the_machine_and_its_memory_check_know_amd_gpus(amd: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "libnvidia-ml.so.1").touch()  # no GPU of the other maker
    config = experiment(model="builtin:llama-1b", precision="fp32", pytorch={"device": "cuda"})
    boards = [
        FakeGpu(uuid=GPU.uuid, name="Fake MI300X", memory_bytes=1 << 30, temperature_c=61.0),
        FakeGpu(uuid=OTHER.uuid, memory_bytes=2 << 30),
    ]
    (tmp_path / "libamd_smi.so").symlink_to(amd / "libamd_smi.so")
    folders = f"{tmp_path / 'empty'}:{tmp_path}"
    fake_nvml.write_trace(tmp_path / "gpus.trace", boards)
    env = fake_nvml.environment(amd, tmp_path / "gpus.trace") | {"LD_LIBRARY_PATH": folders}
    found = json.loads(run_python(MACHINE, config.model_dump_json(), env=env))
    assert found["visible"] == [GPU.uuid, OTHER.uuid]
    (problem,) = [text for text in found["problems"] if "for its weights alone" in text]
    assert "but the device has 2.15 GB" in problem  # the larger of the two
    assert not any("no NVIDIA GPU was found" in text for text in found["problems"])
    first, second = found["snapshot"]["gpus"]
    assert (first["name"], first["memory_bytes"], first["temperature_c"]) == (
        "Fake MI300X", 1 << 30, 61,
    )  # fmt: skip
    assert (first["bus_id"], second["bus_id"]) == BUS_IDS
    assert found["snapshot"]["amd_smi"] == "26.0.2"
    assert found["snapshot"]["amd_driver"]
    assert (found["snapshot"]["driver"], found["snapshot"]["nvml"]) == (None, None)
    assert "the device has 2.15 GB" in found["report"]  # torch names the GPU by its place
