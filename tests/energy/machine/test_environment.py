"""The snapshot of the machine, and what importing costs (RES-16, CM-30..34)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from energy.parts import experiment, run_python, with_gpus
from fakes.fake_nvml import FakeGpu, Fault

import llem_energy
from llem_config import ExperimentConfig
from llem_energy import BackendError
from llem_energy._backends.registry import find_backend
from llem_energy.backends import backend_names

SNAPSHOT = """
import json, sys
import msgspec
from llem_energy._machine.environment import snapshot_environment
started = []
watched = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec")
sys.addaudithook(lambda event, args: started.append(event) if event in watched else None)
snapshot = snapshot_environment(())
print(json.dumps([msgspec.to_builtins(snapshot), started]))
"""


def test_the_snapshot_is_complete_and_starts_no_process() -> None:
    env = {"OMP_NUM_THREADS": "2", "SECRET_TOKEN": "hidden"}
    snapshot, started = json.loads(run_python(SNAPSHOT, env=env))
    assert started == []
    assert snapshot["python"].startswith("3.")
    assert snapshot["platform"]
    assert snapshot["cpu_model"]
    assert snapshot["n_cpus"] >= 1
    assert snapshot["memory_bytes"] > 2**28
    assert {"torch", "transformers", "llem-energy", "nvidia-ml-py"} <= set(snapshot["packages"])
    assert snapshot["environment"]["OMP_NUM_THREADS"] == "2"
    assert "hidden" not in json.dumps(snapshot)


def test_the_snapshot_names_every_gpu_and_the_driver(library: Path, tmp_path: Path) -> None:
    gpus = [FakeGpu(uuid="GPU-a", mig=True), FakeGpu(uuid="GPU-b", power_limit_w=450.0)]
    snapshot, started = with_gpus(SNAPSHOT, library, gpus, tmp_path)
    assert started == []
    assert snapshot["driver"]
    assert snapshot["nvml"]
    first, second = snapshot["gpus"]
    assert (first["index"], first["uuid"], first["mig"]) == (0, "GPU-a", True)
    assert (second["power_limit_w"], second["power_limit_default_w"]) == (450, 700)
    assert second["memory_bytes"] == 141 * 2**30
    assert second["n_other_processes"] == 0
    assert second["temperature_c"] == 45


def test_a_gpu_that_does_not_respond_leaves_the_others_in_the_snapshot(
    library: Path, tmp_path: Path
) -> None:
    gpus = [FakeGpu(uuid="GPU-a", faults=(Fault("*", 15),)), FakeGpu(uuid="GPU-b")]
    snapshot, _ = with_gpus(SNAPSHOT, library, gpus, tmp_path)
    assert snapshot["driver"]
    assert [gpu["uuid"] for gpu in snapshot["gpus"]] == ["GPU-b"]


def test_a_gpu_that_does_not_respond_is_left_out_of_the_lists(
    library: Path, tmp_path: Path
) -> None:
    gpus = [FakeGpu(uuid="GPU-a", faults=(Fault("*", 15),)), FakeGpu(uuid="GPU-b")]
    program = (
        "import json\n"
        "from llem_energy.sources import gpu_temperatures_c, gpu_uuids\n"
        "print(json.dumps([gpu_uuids(), gpu_temperatures_c()]))"
    )
    assert with_gpus(program, library, gpus, tmp_path) == [["GPU-b"], [45]]


def test_importing_loads_neither_inference_library_nor_driver() -> None:
    program = (
        "import sys, llem_energy, pynvml\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "print(sorted(heavy), pynvml.nvmlLib)"
    )
    assert run_python(program).split("\n")[0] == "[] None"


def test_every_public_name_exists() -> None:
    assert sorted(llem_energy.__all__) == sorted(set(llem_energy.__all__))
    assert all(hasattr(llem_energy, name) for name in llem_energy.__all__)


def test_an_unknown_backend_is_an_error_that_lists_the_installed_backends() -> None:
    assert "pytorch" in backend_names()
    config = ExperimentConfig.model_validate({"model": "builtin:tiny-llama", "backend": "vllm"})
    with pytest.raises(BackendError, match="provides the backend vllm; installed: pytorch"):
        find_backend(config)


@pytest.mark.slow
def test_nothing_large_is_imported_once_a_run_has_begun(tmp_path: Path) -> None:
    """An import after the window costs as much time as before it, and no gap hides it."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from llem_config import ExperimentConfig\n"
        "from llem_energy import measure\nfrom llem_energy.backends import preload\n"
        "config = ExperimentConfig.model_validate_json(sys.argv[1])\n"
        "preload(config)\n"
        "before = set(sys.modules)\n"
        "measure(config, timeseries=Path(sys.argv[2]))\n"
        "print(*(set(sys.modules) - before))"
    )
    late = run_python(program, experiment().model_dump_json(), str(tmp_path / "t.parquet")).split()
    assert (tmp_path / "requests.parquet").exists()
    assert [name for name in late if name.startswith(("pyarrow", "pandas", "numpy"))] == []
    assert len(late) < 50, late


@pytest.mark.slow
def test_preloading_imports_the_model_and_touches_no_gpu() -> None:
    program = (
        "import sys\n"
        "from llem_config import ExperimentConfig\n"
        "from llem_energy.backends import preload\n"
        "preload(ExperimentConfig.model_validate_json(sys.argv[1]))\n"
        "import torch\n"
        "print('transformers.models.llama.modeling_llama' in sys.modules,"
        " torch.cuda.is_initialized())"
    )
    assert run_python(program, experiment().model_dump_json()).split() == ["True", "False"]
