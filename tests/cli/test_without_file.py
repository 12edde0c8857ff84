"""A first look without a file: `experiment run --model`, `study run --model --sweep`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Run
from fakes.studies import only_folder

from llem_config import load_study

QUICK = [
    f"--set={field}"
    for field in (
        *("n=2", "max_input_tokens=8", "max_output_tokens=4", "pytorch.device=cpu"),
        *("warmup.enabled=false", "energy.min_window_seconds=0"),
    )
]
MODEL = "--model=builtin:tiny-llama"


def test_an_experiment_runs_without_a_file(llem: Run) -> None:
    done = llem("experiment", "run", MODEL, *QUICK, "--set=pytorch.batch_size=2", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["config"]["model"] == "builtin:tiny-llama"
    assert result["config"]["pytorch"]["batch_size"] == 2


def test_a_study_without_a_file_writes_the_file_that_it_stands_for(
    llem: Run, tmp_path: Path
) -> None:
    sweep = "--sweep=pytorch.batch_size=1,2"
    flags = [*QUICK, "--cycles=1", "--no-gaps", "--quiet", "--output=results"]
    done = llem("study", "run", MODEL, sweep, *flags)
    assert done.returncode == 0, done.stderr
    folder = only_folder(tmp_path / "results")
    assert folder.name.startswith("tiny-llama_")
    study = load_study(folder / "study.yaml")
    assert [p.pytorch.batch_size for p in study.experiments if p.pytorch] == [1, 2]
    assert study.execution.n_cycles == 1
    resolved = json.loads((folder / "study_resolved.json").read_text("utf-8"))
    assert resolved["study_design_hash"] == study.study_design_hash
    same = llem("study", "resume", folder, "--study", folder / "study.yaml", "--quiet")
    assert same.returncode == 0, same.stderr


def test_a_dry_run_lists_the_points(llem: Run, tmp_path: Path) -> None:
    done = llem("study", "run", MODEL, "--sweep=precision=fp32,bf16", *QUICK, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["points"]) == 2
    assert list(tmp_path.glob("results*")) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "expected a study file or --model MODEL, found neither"),
        (["x.yaml", MODEL], "expected a study file or --model, found both"),
        (["x.yaml", "--sweep=n=1,2"], "expected --model with --sweep, found the file x.yaml"),
        ([MODEL, "--sweep=n"], "expected --sweep KEY=VALUE,VALUE, found 'n'"),
        ([MODEL, "--sweep=n=1", "--sweep=n=2"], "expected each field once, found n twice"),
        ([MODEL, "--sweep=presicion=fp32"], "did you mean 'precision'?"),
        ([MODEL, "--sweep=n=[1"], "not valid YAML"),
    ],
)
def test_wrong_flags_are_one_sentence_and_usage(
    llem: Run, arguments: list[str], sentence: str
) -> None:
    done = llem("study", "run", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "error in llem itself" not in done.stderr


def test_an_experiment_needs_a_file_or_a_model(llem: Run) -> None:
    done = llem("experiment", "run")
    assert done.returncode == 2
    assert "expected an experiment file or --model MODEL, found neither" in done.stderr


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("model", "model: expected a study file, found the folder of a model; use --model model"),
        ("gpt2", "gpt2: expected a study file, found no such file; if it is a model, use --model gpt2"),
        ("old", "found the folder of a study; continue it with `llem-cli study resume old`"),
        ("absent.yaml", "absent.yaml: no such file"),
    ],
)  # fmt: skip
def test_what_is_no_study_file_is_named_with_what_to_do(
    llem: Run, tmp_path: Path, path: str, sentence: str
) -> None:
    for folder, name in (("model", "config.json"), ("old", "manifest.json")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("{}")
    done = llem("study", "run", path)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_command_of_studies_without_its_group_is_suggested(llem: Run) -> None:
    done = llem("run", "study.yaml")
    assert done.returncode == 2
    assert "Use `llem-cli study run`." in done.stderr
