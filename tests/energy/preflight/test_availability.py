"""What stands in an experiment's way, told without its inference library (CM-10, CFG-08)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from energy.parts import experiment, run_python

from llem_config import ExperimentConfig
from llem_energy import blocking_problems, measure, missing_libraries


def of_folder(folder: str, **changes: Any) -> ExperimentConfig:
    return experiment(model=folder, weights="pretrained", **changes)


def test_nothing_stands_in_the_way_of_a_builtin_model() -> None:
    assert blocking_problems(experiment()) == []
    assert missing_libraries("pytorch") == []


def test_every_obstacle_is_told_at_once(tmp_path: Path) -> None:
    config = of_folder(str(tmp_path / "absent"), dataset=str(tmp_path / "absent.jsonl"))
    model, dataset = blocking_problems(config)
    assert "there is no model folder" in model
    assert "absent.jsonl: cannot be read" in dataset


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    (problem,) = blocking_problems(of_folder(str(tmp_path)))
    assert "has no config.json" in problem


def test_an_unknown_builtin_and_an_unknown_backend_are_told() -> None:
    (problem,) = blocking_problems(experiment(model="builtin:huge"))
    assert "llama-1b, llama-8b, " in problem
    other = {"model": "builtin:tiny-llama", "backend": "vllm"}
    (problem,) = blocking_problems(ExperimentConfig.model_validate(other))
    assert "vllm; installed: pytorch" in problem


def test_text_for_a_builtin_model_is_told(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "one"}\n' * 3)
    (problem,) = blocking_problems(experiment(dataset=str(prompts)))
    assert "no tokenizer" in problem


def test_a_model_that_is_not_cached_is_told_when_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (problem,) = blocking_problems(of_folder("someone/model"))
    assert "not in the local cache" in problem
    own = tmp_path / "hub" / "models--someone--model"
    (own / "snapshots" / "0123").mkdir(parents=True)
    (own / "refs").mkdir()
    (own / "refs" / "main").write_text("0123")
    assert blocking_problems(of_folder("someone/model")) == []
    assert blocking_problems(of_folder("someone/model", pytorch={"revision": "0123"})) == []
    assert len(blocking_problems(of_folder("someone/model", pytorch={"revision": "4567"}))) == 1


def test_a_path_below_the_home_folder_is_found_when_looking_and_when_loading(
    text_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(text_model.folder.parent))
    folder = f"~/{text_model.folder.name}"
    config = of_folder(folder, dataset=f"{folder}/prompts.jsonl", max_input_tokens=64)
    assert blocking_problems(config) == []
    assert measure(config).output_tokens == 3 * 4


def test_looking_loads_no_inference_library() -> None:
    program = (
        "import sys\n"
        "from llem_config import ExperimentConfig\n"
        "from llem_energy import blocking_problems\n"
        "blocking_problems(ExperimentConfig(model='builtin:tiny-llama'))\n"
        "print('torch' in sys.modules)"
    )
    assert run_python(program).strip() == "False"
