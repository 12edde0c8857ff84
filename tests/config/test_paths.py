"""Relative paths in a study file count from the file's folder; hashes keep them as written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llem_config import (
    ConfigError,
    ExperimentConfig,
    StudyConfig,
    load_experiment,
    load_study,
    measurement_config_hash,
)

Faults = Callable[..., list[str]]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of studies, with a model and a data set; the working directory is another."""
    work = tmp_path / "work"
    (work / "models" / "mine").mkdir(parents=True)
    (work / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return work


def opened(config: ExperimentConfig) -> list[str | None]:
    config = config.with_full_paths()
    return [
        config.model,
        config.dataset.source,
        config.lora.adapter if config.lora else None,
        config.pytorch.assistant_model if config.pytorch else None,
    ]


def test_relative_paths_count_from_the_folder_of_the_study_file(work: Path) -> None:
    path = work / "study.yaml"
    path.write_text(
        "model: models/mine\ndataset: prompts.jsonl\nlora: {adapter: ./adapter}\n"
        "pytorch.assistant_model: ../draft\n"
    )
    (config,) = load_study(path).experiments
    assert opened(config) == [
        f"{work}/models/mine",
        f"{work}/prompts.jsonl",
        f"{work}/adapter",
        f"{work}/../draft",
    ]
    assert (config.model, config.dataset.source) == ("models/mine", "prompts.jsonl")


def test_a_relative_path_of_a_study_file_counts_too(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "study.yaml").write_text("model: ./models/mine\n")
    monkeypatch.chdir(work.parent)
    (config,) = load_study("work/study.yaml").experiments
    monkeypatch.chdir("/")
    assert opened(config)[0] == f"{work}/models/mine"


def test_a_name_below_an_existing_folder_is_a_path_also_if_it_is_mistyped(work: Path) -> None:
    path = work / "study.yaml"
    path.write_text("experiments: [{model: models/nosuch}, {model: other/nosuch}]\n")
    first, second = load_study(path).experiments
    assert opened(first)[0] == f"{work}/models/nosuch"
    assert opened(second)[0] == "other/nosuch"  # a hub id


@pytest.mark.parametrize("key", ["model", "dataset", "dataset.source"])
def test_every_value_of_an_axis_counts_from_the_file(work: Path, key: str) -> None:
    path = work / "study.yaml"
    path.write_text(f"model: builtin:tiny-llama\nsweep: {{{key}: [./a, ./b]}}\n")
    if key == "model":
        path.write_text("sweep: {model: [./a, ./b]}\n")
    study = load_study(path)
    assert [sorted((config.paths or {}).values()) for config in study.experiments] == [
        [f"{work}/a"],
        [f"{work}/b"],
    ]


def test_entries_and_groups_count_from_the_file(work: Path) -> None:
    path = work / "study.yaml"
    path.write_text("experiments: [{model: ./a}, {model: ./b, dataset: {source: p.csv}}]\n")
    first, second = load_study(path).experiments
    assert opened(first)[0] == f"{work}/a"
    assert opened(second)[:2] == [f"{work}/b", f"{work}/p.csv"]
    path.write_text("sweep: {kind: [{model: ./a}, {model: ./b}]}\n")
    assert [opened(config)[0] for config in load_study(path).experiments] == [
        f"{work}/a",
        f"{work}/b",
    ]


def test_a_base_file_has_its_own_folder(work: Path) -> None:
    shared = work / "shared"
    shared.mkdir()
    (shared / "base.yaml").write_text("model: ./mine\ndataset: prompts.jsonl\n")
    path = work / "study.yaml"
    path.write_text("base: shared/base.yaml\ndataset: prompts.jsonl\n")
    (config,) = load_study(path).experiments
    assert opened(config)[:2] == [f"{shared}/mine", f"{work}/prompts.jsonl"]


def test_a_flag_counts_from_the_working_directory(work: Path) -> None:
    path = work / "study.yaml"
    path.write_text("model: ./models/mine\ndataset: prompts.jsonl\n")
    (config,) = load_study(path, overrides={"model": "./other"}).experiments
    assert opened(config)[:2] == [f"{Path.cwd()}/other", f"{work}/prompts.jsonl"]


def test_the_file_of_one_experiment_counts_like_a_study(work: Path) -> None:
    path = work / "experiment.yaml"
    path.write_text("model: ./models/mine\n")
    assert opened(load_experiment(path))[0] == f"{work}/models/mine"


@pytest.mark.parametrize(
    "name", ["org/model", "gpt2", "builtin:tiny-llama", "/models/mine", "~/models/mine"]
)
def test_a_name_that_is_no_relative_path_stays_as_it_is(work: Path, name: str) -> None:
    path = work / "study.yaml"
    path.write_text(f"model: {name}\n")
    (config,) = load_study(path).experiments
    assert config.paths is None
    assert opened(config)[0] == name


def test_a_folder_of_the_working_directory_is_not_taken_for_one_beside_the_file(
    work: Path,
) -> None:
    (Path.cwd() / "mine").mkdir()
    path = work / "study.yaml"
    path.write_text("model: mine\n")
    (config,) = load_study(path).experiments
    assert opened(config)[0] == f"{work}/mine"


def test_the_hash_is_of_the_path_as_written(work: Path, tmp_path: Path) -> None:
    text = "model: ./models/mine\ndataset: prompts.jsonl\n"
    written = ExperimentConfig.model_validate(
        {"model": "./models/mine", "dataset": {"source": "prompts.jsonl"}}
    )
    for folder in (work, tmp_path):
        (folder / "study.yaml").write_text(text)
        study = load_study(folder / "study.yaml")
        assert study.config_hashes == (measurement_config_hash(written),)


def test_a_stored_study_finds_its_files_from_every_working_directory(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = work / "study.yaml"
    path.write_text("model: ./models/mine\n")
    study = load_study(path)
    stored = StudyConfig.model_validate_json(study.model_dump_json())
    monkeypatch.chdir("/")
    assert opened(stored.experiments[0])[0] == f"{work}/models/mine"
    assert stored.study_design_hash == study.study_design_hash


def test_a_study_without_relative_paths_is_stored_as_before(work: Path) -> None:
    path = work / "study.yaml"
    path.write_text("model: builtin:tiny-llama\n")
    assert '"paths"' not in load_study(path).model_dump_json()


def test_a_file_cannot_set_the_full_paths(faults: Faults) -> None:
    (fault,) = faults("model: m\npaths: {model: /x}\n")
    assert fault.startswith("study.yaml:2:1: paths: unknown key 'paths'")


def test_one_relative_path_with_two_meanings_is_a_mistake(work: Path) -> None:
    shared = work / "shared"
    shared.mkdir()
    (shared / "base.yaml").write_text("model: ./mine\n")
    path = work / "study.yaml"
    path.write_text("base: shared/base.yaml\nexperiments: [{n: 3}, {n: 3, model: ./mine}]\n")
    with pytest.raises(ConfigError) as caught:
        load_study(path)
    assert str(caught.value) == (
        f"{path}: the same relative path names several files: {work}/mine, {shared}/mine; "
        "write the full path in one of the layers"
    )


def test_an_experiment_in_python_counts_from_the_working_directory() -> None:
    config = ExperimentConfig(model="./mine")
    assert config.with_full_paths() is config


@pytest.mark.parametrize("written", ["mine.jinja", "templates/chatml", "./auto"])
def test_a_chat_template_that_is_no_keyword_is_a_path(work: Path, written: str) -> None:
    path = work / "study.yaml"
    path.write_text(f"model: m\ndataset: {{source: prompts.jsonl, chat_template: {written}}}\n")
    (config,) = load_study(path).experiments
    assert config.dataset.chat_template == written
    assert config.with_full_paths().dataset.chat_template == str(work / written)


@pytest.mark.parametrize("keyword", ["auto", "none"])
def test_a_keyword_is_no_path_even_if_such_a_file_exists(work: Path, keyword: str) -> None:
    (work / keyword).write_text("{{ messages }}")
    path = work / "study.yaml"
    path.write_text(f"model: m\ndataset: {{source: prompts.jsonl, chat_template: {keyword}}}\n")
    (config,) = load_study(path).experiments
    assert config.with_full_paths().dataset.chat_template == keyword
