"""What a study did, in words: from its files alone, with what must be admitted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fakes import measures
from fakes.studies import only_folder, study
from report.comparison.folders import KnownMeter, make_folder

from llem_report import Methods, describe_methods, methods_tex
from llem_runner import extend_study, resume_study, run_study
from llem_runner.executors import InlineExecutor


def rows(found: Methods) -> dict[str, tuple[str, ...]]:
    return {row.name: row.values for row in found.rows}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(
        tmp_path_factory.mktemp("results"), 1, ns=(1, 2), cycles=3, counter_exactness="unverified"
    )


def test_the_paragraph_says_what_was_done(folder: Path) -> None:
    found = describe_methods(folder)
    text = found.paragraph
    for part in (
        "measured the energy per output token (J/token) of 2 configurations",
        "differ in n (1, 2)",
        "1 to 2 prompts",
        "in each of 3 cycles",
        "in another random order in each cycle (seed 42), without gaps",
        "by nvml (counter)",
        "was median 1 %, at most 1 % of the energy",
        "geometric mean",
    ):
        assert part in text
    assert rows(found)["order"] == ("shuffled, seed 42",)
    assert rows(found)["runs"] == ("6 with the figure of 6 planned",)
    assert rows(found)["blocks"] == ("3",)


def test_every_cycle_of_a_study_that_grew_twice_is_told(folder: Path, tmp_path: Path) -> None:
    grown = Path(shutil.copytree(folder, tmp_path / "grown"))
    options: dict[str, Any] = {"measure": KnownMeter(5, 3), "executor": InlineExecutor()}
    extend_study(grown, study((6,), n_cycles=3, cycle_order="shuffled"), **options)
    extended = describe_methods(grown).paragraph
    assert "1 configuration was added in cycles 4 to 6, in which 2 of the earlier ones" in extended
    assert "was then planned" not in extended
    assert "are multiplied by one factor each" in extended
    resume_study(grown, cycles=7, **options)
    assert "so far was then planned once in cycle 7." in describe_methods(grown).paragraph
    resume_study(grown, cycles=9, **options)
    text = describe_methods(grown).paragraph
    assert "so far was then planned once in each of the cycles 7 to 9." in text
    assert "are multiplied" not in describe_methods(folder).paragraph


def test_a_study_without_a_warm_up_says_so_in_a_sentence_of_its_own(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 1, ns=(1, 2), cycles=3)
    for path in folder.glob("*/result.json"):
        result = json.loads(path.read_text())
        path.write_text(json.dumps(result | {"n_warmup": 0}))
    paragraph = describe_methods(folder).paragraph
    assert "There was no warm-up. Whole passes were repeated for a measured window" in paragraph
    assert "after it" not in paragraph


def test_an_unverified_counter_is_admitted(folder: Path) -> None:
    (sentence,) = (s for s in describe_methods(folder).admissions if "counter" in s)
    assert sentence.startswith("the energy counter was unverified in 6 of 6 runs")


def test_missing_energy_and_failed_runs_are_admitted_and_never_zero(tmp_path: Path) -> None:
    run_study(
        study((1, measures.BAD_N)),
        output=tmp_path / "results",
        measure=measures.fails_at_bad_n,
        executor=InlineExecutor(),
    )
    found = describe_methods(only_folder(tmp_path / "results"))
    text = "\n".join(found.admissions)
    assert "the study is failed" in text
    assert "1 of 2 planned runs have no figure (1 failed)" in text
    assert "1 run failed: " in text
    assert "cycles allow no intervals" in text


def changed(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest.update(changes)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_looks_and_changed_files_of_llem_are_admitted(folder: Path, tmp_path: Path) -> None:
    starts = json.loads((folder / "manifest.json").read_text())["starts"]
    starts[0]["code"] = {"commit": "a" * 40, "is_changed": True, "reason": None}
    found = describe_methods(changed(folder, tmp_path, looks=[3], starts=starts))
    text = "\n".join(found.admissions)
    assert "files of llem were changed against its commit" in text
    assert "cycles were added" in text
    assert "commit aaaaaaaaaaaa, with changed files" in found.paragraph


def test_a_changed_result_is_admitted(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    path = next(copy.glob("0002*/result.json"))
    path.write_text(path.read_text() + " ")
    text = "\n".join(describe_methods(copy).admissions)
    assert "the result of run 2" in text


def test_a_hostile_name_is_no_command_of_latex(folder: Path, tmp_path: Path) -> None:
    copy = changed(folder, tmp_path, study_name="\\input{/etc/passwd} 5 % & _x")
    text = methods_tex(describe_methods(copy))
    assert "\\input{" not in text.replace("% \\input", "")
    assert "\\textbackslash{}input\\{/etc/passwd\\} 5 \\% \\& \\_x" in text
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 1


def test_order_and_cycles_are_known_without_the_package_of_the_backend(
    folder: Path, tmp_path: Path
) -> None:
    """As on the machine of a stranger: the points cannot be read, but how they ran can."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    resolved = copy / "study_resolved.json"
    text = resolved.read_text("utf-8")
    resolved.write_text(text.replace('"backend": "pytorch"', '"backend": "elsewhere"'))
    found = describe_methods(copy)
    assert found.how == describe_methods(folder).how
    assert any("package is not installed here" in each for each in found.admissions)
