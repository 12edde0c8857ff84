"""`llem-cli study init`: a study file that validates and plans as written, on this kind of machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.conftest import Run
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu, Fault

from llem_config import StudyConfig, load_study
from llem_energy.models import builtin_architecture

MakeDriver = Callable[..., dict[str, str]]


@pytest.fixture
def driver(library: Path, tmp_path: Path) -> MakeDriver:
    """Return a function that gives the variables of a scripted driver with some GPUs."""

    def make(*gpus: FakeGpu) -> dict[str, str]:
        trace = tmp_path / "gpus.trace"
        fake_nvml.write_trace(trace, gpus)
        return fake_nvml.environment(library, trace)

    return make


def planned(llem: Run, folder: Path, **env: str) -> StudyConfig:
    """Return the study of the file as written, which `study plan` accepts."""
    done = llem("study", "plan", "study.yaml", **env)
    assert done.returncode == 0, done.stderr + done.stdout
    study = load_study(folder / "study.yaml")
    assert not study.skipped
    assert study.execution.n_cycles == 5
    assert study.factors
    return study


def local_model(folder: Path) -> Path:
    """Return a folder in the hub's layout with an architecture and no weights."""
    model = folder / "models" / "tiny"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps(builtin_architecture("builtin:tiny-llama")))
    return model


def test_without_a_gpu_the_study_runs_on_the_processor(
    llem: Run, no_meter: dict[str, str], tmp_path: Path
) -> None:
    done = llem("study", "init", "builtin:tiny-llama", **no_meter)
    assert done.returncode == 0, done.stderr
    assert "llem-cli study plan study.yaml" in done.stdout
    study = planned(llem, tmp_path, **no_meter)
    assert {point.pytorch.device for point in study.experiments if point.pytorch} == {"cpu"}
    assert "fp32" in {point.precision for point in study.experiments}
    assert "random tokens" in (tmp_path / "study.yaml").read_text("utf-8")


def test_a_gpu_gets_half_precision_and_the_batches_that_fit(
    llem: Run, tmp_path: Path, driver: MakeDriver
) -> None:
    env = driver(FakeGpu())
    done = llem("study", "init", "builtin:llama-1b", **env)
    assert done.returncode == 0, done.stderr
    study = planned(llem, tmp_path, **env)
    assert {point.precision for point in study.experiments} == {"bf16"}
    batches = [point.pytorch.batch_size for point in study.experiments if point.pytorch]
    assert batches == [1, 8, 32]
    assert "no energy will be measured" not in (tmp_path / "study.yaml").read_text("utf-8")


def test_a_small_gpu_gets_smaller_batches(llem: Run, tmp_path: Path, driver: MakeDriver) -> None:
    env = driver(FakeGpu(memory_bytes=4 << 30))
    assert llem("study", "init", "builtin:llama-1b", **env).returncode == 0
    study = planned(llem, tmp_path, **env)
    batches = [point.pytorch.batch_size for point in study.experiments if point.pytorch]
    assert batches
    assert 32 not in batches


def test_a_gpu_of_unknown_architecture_gets_fp16(
    llem: Run, tmp_path: Path, driver: MakeDriver
) -> None:
    env = driver(FakeGpu(faults=(Fault("nvmlDeviceGetCudaComputeCapability", 3),)))
    assert llem("study", "init", "builtin:llama-1b", **env).returncode == 0
    study = planned(llem, tmp_path, **env)
    assert {point.precision for point in study.experiments} == {"fp16"}


@pytest.mark.parametrize("output", ["study.yaml", "below/study.yaml"])
def test_a_folder_without_weights_gets_random_ones_and_is_found_from_the_file(
    llem: Run, no_meter: dict[str, str], tmp_path: Path, output: str
) -> None:
    local_model(tmp_path)
    (tmp_path / "below").mkdir()
    done = llem("study", "init", "models/tiny", "--output", output, **no_meter)
    assert done.returncode == 0, done.stderr
    plan = llem("study", "plan", output, **no_meter)
    assert plan.returncode == 0, plan.stderr + plan.stdout
    point = load_study(tmp_path / output).experiments[0]
    assert point.weights == "random"
    assert (Path(point.with_full_paths().model) / "config.json").is_file()


def test_a_file_is_replaced_only_with_force(
    llem: Run, no_meter: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("mine\n")
    done = llem("study", "init", "builtin:tiny-llama", **no_meter)
    assert done.returncode == 2
    assert "replace it with --force" in done.stderr
    assert file.read_text() == "mine\n"
    done = llem("study", "init", "builtin:tiny-llama", "--force", **no_meter)
    assert done.returncode == 0, done.stderr
    assert load_study(file).experiments


def test_a_link_to_nowhere_is_not_followed(
    llem: Run, no_meter: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    done = llem("study", "init", "builtin:tiny-llama", **no_meter)
    assert done.returncode == 2
    assert not os.path.lexists(tmp_path / "elsewhere.yaml")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("builtin:tiny-lama", "did you mean 'builtin:tiny-llama'?"),
        ("./missing", "missing"),
        ("no-such-owner/no-such-model", "no-such-owner/no-such-model"),
    ],
)
def test_a_model_that_cannot_run_is_one_sentence_and_no_file(
    llem: Run, no_meter: dict[str, str], tmp_path: Path, model: str, sentence: str
) -> None:
    done = llem("study", "init", model, **no_meter)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "error in llem itself" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "study.yaml").exists()


def test_a_folder_that_does_not_exist_is_a_usage_error(llem: Run, no_meter: dict[str, str]) -> None:
    done = llem("study", "init", "builtin:tiny-llama", "--output", "a/b.yaml", **no_meter)
    assert done.returncode == 2
    assert "a/b.yaml: cannot be written" in done.stderr
