"""The result of a study in a terminal: intervals, comparisons, narrow terminals."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from llem_cli._display.console import print_line
from llem_cli._display.study_result import show_study_result
from llem_runner import StudyResult, read_study_result

DATA = Path(__file__).parents[1] / "runner" / "storage" / "data"


def stored(folder: Path, version: int) -> StudyResult:
    shutil.copy(DATA / f"study_result_v{version}.json", folder / "study_result.json")
    return read_study_result(folder)


def rendered(result: StudyResult, width: int) -> list[str]:
    text = io.StringIO()
    show_study_result(result, Path("results"), console=Console(file=text, width=width))
    return text.getvalue().splitlines()


def test_the_notes_say_which_points_cannot_be_distinguished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rendered(stored(tmp_path, 2), 120)
    (best,) = [line for line in lines if line.endswith(" best") and "x best" not in line]
    assert best.startswith("precision=bf16 pytorch.batch_size=8")
    assert sum("(0.9" in line for line in lines) == 1  # the interval that contains 1
    notes = capsys.readouterr().out.splitlines()
    assert "±: half-width of the 95 % confidence interval of the mean over a point's runs" in notes
    assert "1 of 3 other points cannot be distinguished from the best (95 % confidence)" in notes
    assert [note for note in notes if note.startswith("best: precision=bf16 pytorch.batch_size=8")]
    assert [note for note in notes if note.startswith("run 9 is an outlier: 1.0")]
    assert [note for note in notes if note.startswith("a precision of ± 1 % takes ")]


@pytest.mark.parametrize("width", [100, 80])
def test_a_narrow_terminal_truncates_nothing(tmp_path: Path, width: int) -> None:
    lines = rendered(stored(tmp_path, 2), width)
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines)
    assert sum("±" in line for line in lines) == 4


def test_without_a_comparison_there_is_a_reason_instead_of_a_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = stored(tmp_path, 2)
    compared = result.summary.comparisons
    assert compared is not None
    without = msgspec.structs.replace(compared, points=(), reason="one cycle", left_out=("n=2",))
    summary = msgspec.structs.replace(result.summary, comparisons=without)
    lines = rendered(msgspec.structs.replace(result, summary=summary), 120)
    assert "x best" not in "".join(lines)
    notes = capsys.readouterr().out.splitlines()
    assert "points are not compared: one cycle" in notes
    assert "not compared (too few results): n=2" in notes


def test_correlated_runs_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = stored(tmp_path, 2)
    first, *others = result.summary.points
    assert first.energy_per_output_token_j is not None
    drifting = msgspec.structs.replace(first.energy_per_output_token_j, lag1=0.95)
    first = msgspec.structs.replace(first, energy_per_output_token_j=drifting)
    summary = msgspec.structs.replace(result.summary, points=(first, *others))
    rendered(msgspec.structs.replace(result, summary=summary), 120)
    assert f"the runs of {first.label} are correlated" in capsys.readouterr().out


def test_an_interval_wider_than_the_mean_is_shown_in_words(tmp_path: Path) -> None:
    result = stored(tmp_path, 2)
    first, *others = result.summary.points
    assert first.energy_per_output_token_j is not None
    wide = msgspec.structs.replace(first.energy_per_output_token_j, ci95_low=1e-9, ci95_high=1e9)
    first = msgspec.structs.replace(first, energy_per_output_token_j=wide)
    summary = msgspec.structs.replace(result.summary, points=(first, *others))
    lines = rendered(msgspec.structs.replace(result, summary=summary), 120)
    assert "± over 100 %" in "".join(lines)


def test_a_result_of_format_1_shows_standard_deviations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rendered(stored(tmp_path, 1), 100)
    assert "2 ± 0" in "".join(lines)
    assert "±: standard deviation over the runs of a point" in capsys.readouterr().out


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_wraps_between_words_and_never_within_a_path() -> None:
    terminal = Terminal()
    path = "/scratch/a-user/a-project/results/study_20261128T100000Z"
    print_line(Console(file=terminal, width=40), f"stopped: the time limit is near; see {path} now")
    assert terminal.getvalue() == f"stopped: the time limit is near; see\n{path}\nnow\n"
