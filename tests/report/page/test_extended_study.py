"""A study to which points were added: every page says what was measured when, and counts runs."""

from __future__ import annotations

import html
import zipfile
from pathlib import Path

import pytest
from fakes.studies import study
from report.comparison.folders import KnownMeter, make_folder

from llem_cli._display.comparison_notes import comparison_lines
from llem_report import analyse, archive_study, describe_methods, write_report
from llem_runner import extend_study, read_study_result
from llem_runner.executors import InlineExecutor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_folder(tmp_path_factory.mktemp("results"), 1, ns=(2, 3, 4, 5), cycles=3)
    extend_study(
        folder,
        study((1,), n_cycles=3, cycle_order="shuffled"),
        measure=KnownMeter(5, 3),
        executor=InlineExecutor(),
    )
    return folder


def test_every_page_says_which_points_ran_in_which_cycles(folder: Path, tmp_path: Path) -> None:
    comparisons = read_study_result(folder).summary.comparisons
    assert comparisons is not None
    (sentence,) = (each for each in comparisons.caveats if "n=1 in cycles 4 to 6 (" in each)
    assert analyse(folder).caveats.count(sentence) == 1
    assert list(describe_methods(folder).admissions).count(sentence) == 1
    page = html.unescape(write_report(folder, tmp_path / "report.html").read_text("utf-8"))
    assert sentence in page.replace("\N{NO-BREAK SPACE}", " ")


def test_every_page_counts_points_and_runs(folder: Path, tmp_path: Path) -> None:
    page = write_report(folder, tmp_path / "report.html").read_text("utf-8")
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    assert "5 points, 21 runs in 6 cycles" in page.partition("</header>")[0]
    assert "), 5 points, 21 runs in 6 cycles, measured on" in page
    archive = tmp_path / "study.zip"
    archive_study(folder, archive)
    with zipfile.ZipFile(archive) as packed:
        readme = packed.read(f"{folder.name}/README.md").decode()
    assert ": 5 configurations, 21 runs in 6 cycles, measured on" in readme


def test_the_best_point_has_the_cycles_in_which_it_ran(folder: Path) -> None:
    result = read_study_result(folder)
    assert result.summary.comparisons is not None
    assert result.summary.comparisons.reference_label == "n=1"
    lines = list(comparison_lines(result))
    assert "best: n=1 (lowest J/output token over 3 cycles)" in lines
