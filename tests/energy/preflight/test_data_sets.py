"""Data sets are checked before anything runs, each once for all experiments (CM-19, CFG-08)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from energy.parts import checked, experiment

from llem_config import ExperimentConfig
from llem_energy import measure
from llem_energy.preflight import check, check_datasets, find_machine


def with_prompts(path: Path, n: int) -> ExperimentConfig:
    return experiment(dataset=str(path), n=n)


def prompts_file(folder: Path, *texts: object) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    return path


def test_a_problem_concerns_the_points_that_use_its_row(tmp_path: Path) -> None:
    path = prompts_file(tmp_path, "a", "", "c", 4)
    points = [with_prompts(path, n) for n in (1, 2, 4, 9)]
    (data,) = check_datasets(points)
    assert (data.where, data.column, data.n_checked) == (str(path), "prompt", 4)
    assert [(finding.message, finding.points) for finding in data.problems] == [
        (f"{path}: row 2 (line 2): the prompt is empty; remove the row", (1, 2, 3)),
        (f"{path}: row 4 (line 4): expected text in the column 'prompt', found a number", (2, 3)),
        (f"{path}: expected at least n = 9 prompts, found 4; lower `n` or add rows", (3,)),
    ]
    assert set(data.problems) <= set(check(points, find_machine()).problems)


def test_a_data_set_is_read_once_for_all_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = prompts_file(tmp_path, "a", "b"), tmp_path / "other.csv"
    other.write_text("prompt\na\n")
    opened = []
    real = Path.open

    def counting(self: Path, *args: object, **options: object) -> object:
        opened.append((self.name, options.get("encoding")))
        return real(self, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", counting)
    points = [with_prompts(path, n) for n in (1, 2, 1)] + [with_prompts(other, 1)]
    assert [data.problems for data in check_datasets(points)] == [(), ()]
    assert opened.count(("prompts.jsonl", "utf-8-sig")) == 1


def test_an_absurd_number_of_synthetic_prompts_is_refused_before_the_run() -> None:
    config = experiment().model_copy(update={"n": 10**20})
    (problem,) = checked(config).problems
    assert problem.message.startswith("expected up to 1,000,000,000 synthetic tokens")
    assert check_datasets([experiment()])[0].problems == ()


def test_the_result_names_the_column_that_was_chosen(text_model: object, tmp_path: Path) -> None:
    folder = str(text_model.folder)  # type: ignore[attr-defined]
    path = prompts_file(tmp_path, "a red fox", "the sea")
    config = experiment(model=folder, weights="pretrained", n=2, dataset=str(path))
    note = f"the prompts are the column 'prompt' of {path}"
    assert note in measure(config).reproducibility_notes
    named = experiment(
        model=folder,
        weights="pretrained",
        n=2,
        dataset={"source": str(path), "column": "prompt"},
    )
    assert note not in measure(named).reproducibility_notes
