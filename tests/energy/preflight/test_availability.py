"""Pre-flight reports why an experiment cannot start, without its inference library (CM-10, CFG-08)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from energy.parts import checked, experiment, run_python

from llem_config import ExperimentConfig
from llem_energy import measure
from llem_energy.preflight import missing_libraries


def problems(config: ExperimentConfig) -> list[str]:
    """Return why an experiment cannot start."""
    return [finding.message for finding in checked(config).problems]


def of_folder(folder: str, **changes: Any) -> ExperimentConfig:
    return experiment(model=folder, weights="pretrained", **changes)


def test_a_builtin_model_can_start() -> None:
    assert problems(experiment()) == []
    assert missing_libraries("pytorch") == []


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    config = of_folder(str(tmp_path / "absent"), dataset=str(tmp_path / "absent.jsonl"))
    model, dataset = problems(config)
    assert "there is no model folder" in model
    assert "absent.jsonl: cannot be read" in dataset


def test_a_folder_without_a_model_is_reported(tmp_path: Path) -> None:
    (problem,) = problems(of_folder(str(tmp_path)))
    assert "has no config.json" in problem


def test_an_unknown_builtin_and_an_unknown_backend_are_reported() -> None:
    (problem,) = problems(experiment(model="builtin:huge"))
    assert "llama-1b, llama-8b, " in problem
    other = {"model": "builtin:tiny-llama", "backend": "vllm"}
    (problem,) = problems(ExperimentConfig.model_validate(other))
    assert "vllm; installed: pytorch" in problem


def test_text_for_a_builtin_model_is_reported(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "one"}\n' * 3)
    (problem,) = problems(experiment(dataset=str(prompts)))
    assert "no tokenizer" in problem


def test_a_model_that_is_not_cached_is_reported_when_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (problem,) = problems(of_folder("someone/model"))
    assert "not in the local cache" in problem
    repository = tmp_path / "hub" / "models--someone--model"
    (repository / "snapshots" / "0123").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    assert problems(of_folder("someone/model")) == []
    assert problems(of_folder("someone/model", pytorch={"revision": "0123"})) == []
    assert len(problems(of_folder("someone/model", pytorch={"revision": "4567"}))) == 1


def test_checks_and_loading_expand_the_home_folder(
    text_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(text_model.folder.parent))
    folder = f"~/{text_model.folder.name}"
    config = of_folder(folder, dataset=f"{folder}/prompts.jsonl", max_input_tokens=64)
    assert problems(config) == []
    assert measure(config).output_tokens == 3 * 4


def test_the_checks_load_no_inference_library() -> None:
    program = (
        "import sys\n"
        "from llem_config import ExperimentConfig\n"
        "from llem_energy.preflight import check, find_machine\n"
        "check([ExperimentConfig(model='builtin:tiny-llama')], find_machine())\n"
        "print('torch' in sys.modules)"
    )
    assert run_python(program).strip() == "False"
