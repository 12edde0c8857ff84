"""A study that can only tell large differences says so as a factor, in every place in the same words."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from cli.conftest import Run
from report.comparison.folders import make_folder

from llem_cli._display.comparison_notes import _told
from llem_runner import read_study_result
from llem_runner.repeats import difference_words, interval_text, possible_difference


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.0, "0 %"),
        (1.0123, "1.2 %"),
        (1.994, "99 %"),
        (1.999, "100 %"),
        (2.0, "a factor of 2"),
        (123.75, "a factor of 124"),
        (1000.0, "a factor of 1000"),
        (98_765.4, "a factor of more than 1,000"),
        (1.2e29, "a factor of more than 1,000"),
    ],
)
def test_a_difference_is_a_percentage_below_twice_and_a_factor_from_there(
    ratio: float, words: str
) -> None:
    assert difference_words(ratio) == words


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.98, 1.02, "0.98-1.02"),
        (0.0, 1.2, "<0.001 to 1.20"),
        (0.5, 4.5e19, "0.50 to >1,000"),
        (1e-20, 4.5e19, "<0.001 to >1,000"),
        (0.004, 0.9, "0.004-0.90"),
        (1400.0, 1600.0, "1400.00-1600.00"),
        (0.0002, 0.0004, "0.0002-0.0004"),
    ],
)
def test_an_end_of_an_interval_that_says_nothing_is_cut(low: float, high: float, text: str) -> None:
    assert interval_text(low, high, lambda end: f"{end:.2f}") == text


@pytest.mark.parametrize(
    ("low", "high", "is_above", "text"),
    [
        (0.9, 1.1, True, "at most 10 % above it"),
        (0.9, 1.1, False, "at most 10 % below it"),
        (0.1, 1.1, False, "at most a factor of 10 below it"),
        (0.0, 4.5e19, False, "even a factor of 1,000 below it is possible"),
        (0.0, 4.5e19, True, "even a factor of 1,000 above it is possible"),
    ],
)
def test_how_far_a_point_may_be_is_never_a_hundred_percent(
    low: float, high: float, is_above: bool, text: str
) -> None:
    assert possible_difference(low, high, is_above=is_above) == text


def test_no_place_has_a_number_that_cannot_be_read(llem: Run, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "results", 2, ns=(1, 2), cycles=3, noise=15.0)
    comparisons = read_study_result(folder).summary.comparisons
    assert comparisons is not None
    assert comparisons.points[0].ci95_high > 1e6
    shown = llem("study", "show", folder, COLUMNS="80").stdout
    assert "(<0.001 to >1,000)" in shown
    assert "even a factor of 1,000 above it is possible" in shown
    assert "no effect found; even x 1,000 is possible" in shown
    assert "may still be x 1,000 or more." in shown
    page = tmp_path / "report.html"
    assert llem("study", "report", folder, "--output", page).returncode == 0
    table = page.read_text("utf-8").replace("\N{NO-BREAK SPACE}", " ")
    assert "(&lt;0.001 to &gt;1,000)" in table or "(&lt;0.001 to >1,000)" in table
    assert llem("study", "archive", folder, "--output", tmp_path / "a.zip").returncode == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        readme = packed.read(f"{folder.name}/README.md").decode()
        points = packed.read(f"{folder.name}/data/tables/points.csv").decode()
    assert "(<0.001 to >1,000)" in readme
    for text in (shown, readme):
        assert not re.search(r"\d{8}\.|\d{3} \d{3} \d{3} \d{3} \d{3}", text)
    assert f"{comparisons.points[0].ci95_high:.6g}"[:4] in points  # exact in the exported tables


def test_every_command_says_the_same_factor(llem: Run, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "results", 1, ns=(1, 2), cycles=3, noise=0.5)
    comparisons = read_study_result(folder).summary.comparisons
    assert comparisons is not None
    assert comparisons.detectable_ratio is not None
    assert comparisons.detectable_ratio > 2
    least = difference_words(comparisons.detectable_ratio)
    shown = llem("study", "show", folder).stdout
    assert f"this study can tell differences of {least}\n" in shown
    assert "at most a factor of" in shown
    methods = " ".join(llem("study", "methods", folder).stdout.split())
    assert f"differ by less than {least} cannot be told apart" in methods
    page = tmp_path / "report.html"
    assert llem("study", "report", folder, "--output", page).returncode == 0
    header = page.read_text("utf-8").partition("</header>")[0].replace("\N{NO-BREAK SPACE}", " ")
    assert f"differ by less than {least} cannot be told apart" in header
    assert llem("study", "archive", folder, "--output", tmp_path / "a.zip").returncode == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        readme = packed.read(f"{folder.name}/README.md").decode()
    assert f"differ by less than {least} cannot be told apart" in readme


def test_a_study_that_can_tell_nothing_does_not_say_that_it_can() -> None:
    assert _told(1e9) == "this study cannot even tell differences of a factor of 1,000"
    assert _told(124.0) == "this study can tell differences of a factor of 124"
