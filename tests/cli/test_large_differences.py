"""A study that can only tell large differences says so as a factor, in every place in the same words."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from cli.conftest import Run
from report.comparison.folders import make_folder

from llem_runner import read_study_result
from llem_runner.repeats import difference_words


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.0, "0 %"),
        (1.0123, "1.2 %"),
        (1.994, "99 %"),
        (1.999, "100 %"),
        (2.0, "a factor of 2"),
        (123.75, "a factor of 124"),
        (98_765.4, "a factor of 98765"),
        (1.2e29, "a factor of 1.2e+29"),
    ],
)
def test_a_difference_is_a_percentage_below_twice_and_a_factor_from_there(
    ratio: float, words: str
) -> None:
    assert difference_words(ratio) == words


def test_every_command_says_the_same_factor(llem: Run, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "results", 1, ns=(1, 2), cycles=3, noise=1.5)
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
