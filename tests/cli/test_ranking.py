"""The ranking in `study show`: a line per choice, or why it cannot be told."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import msgspec
import pytest
from cli.conftest import Run
from report.analysis.truths import Truth, study, too_noisy_for_shares
from rich.console import Console

from llem_cli._display.ranking import show_ranking
from llem_config import ExperimentConfig
from llem_report import analyse
from llem_report.records import Analysis

SWEEP = "sweep: {precision: [fp32, bf16], pytorch.batch_size: [1, 2, 4], n: [1, 2]}\n"


def crossing(config: ExperimentConfig) -> float:
    """Reverse the effect of `n` between the precisions."""
    sign = 1 if config.precision == "fp32" else -1
    return math.exp(sign * (0.05 if config.n == 1 else -0.05))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    truth = Truth(
        {"pytorch.batch_size": {1: 1.8, 2: 1.3}, "precision": {"fp32": 1.3}}, also=crossing
    )
    return study(tmp_path_factory.mktemp("study"), SWEEP, truth)


def rows(analysis: Analysis, width: int = 120) -> list[str]:
    """Return the lines of the table."""
    text = io.StringIO()
    show_ranking(analysis, console=Console(file=text, width=width))
    return text.getvalue().splitlines()


def test_the_ranking_stands_below_the_table(llem: Run, folder: Path) -> None:
    done = llem("study", "show", folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    finding = next(i for i, line in enumerate(lines) if " matters most: " in line)
    assert lines[finding].startswith(
        "pytorch.batch_size matters most: at 1, the energy per output "
    )
    table = lines[finding + 1 :]
    assert [row.split()[:2] for row in table[2:5]] == [
        ["1", "pytorch.batch_size"],
        ["2", "precision"],
        ["3", "n"],
    ]
    assert "1 over 4; falls at every step" in table[2]
    assert "no effect found; at most x 1.0" in table[4]
    flip = next(line for line in lines if line.startswith("depends on another choice: n: "))
    assert "2 is better than 1 at precision fp32 (x 0.9" in flip
    assert lines[-1].startswith("results: ")


def test_json_has_the_analysis(llem: Run, folder: Path) -> None:
    shown = json.loads(llem("study", "show", folder, "--json").stdout)
    decoded = msgspec.convert(shown["analysis"], Analysis)
    assert decoded == analyse(folder)


def test_the_figure_and_the_choices_can_be_chosen(llem: Run, folder: Path) -> None:
    arguments = ("--figure", "tokens_per_second", "--by", "field", "--json")
    shown = json.loads(llem("study", "show", folder, *arguments).stdout)
    assert (shown["analysis"]["figure"], shown["analysis"]["by"]) == ("tokens_per_second", "field")


@pytest.mark.parametrize(
    ("figure", "code", "problem"),
    [
        (
            "joules",
            2,
            "--figure: expected the name of a figure, found 'joules'; use energy_per_output_token_j, ",
        ),
        ("tokens-per-second", 2, "; did you mean tokens_per_second? All names: "),
        ("power_limited_share", 2, "--figure: points cannot be ranked by power_limited_share"),
        ("inter_token_latency_s", 1, "no run has inter_token_latency_s; the runs have "),
    ],
)
def test_a_figure_that_is_not_there_is_one_sentence(
    llem: Run, folder: Path, figure: str, code: int, problem: str
) -> None:
    done = llem("study", "show", folder, "--figure", figure)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert problem in line


def test_a_wrong_way_to_find_choices_is_a_wrong_flag(llem: Run, folder: Path) -> None:
    assert llem("study", "show", folder, "--by", "row").returncode == 2


@pytest.mark.parametrize("width", [120, 80])
def test_a_narrow_terminal_truncates_nothing(folder: Path, width: int) -> None:
    lines = rows(analyse(folder), width)
    assert all(len(line) <= width for line in lines)
    assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(lines)
    assert "pytorch.batch_size" in "".join(lines)


def test_without_intervals_the_ratios_stand_below_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    analysis = analyse(study(tmp_path, SWEEP, Truth({"precision": {"fp32": 1.3}}), n_cycles=1))
    lines = rows(analysis)
    assert "rank" not in lines[0]
    assert [line.split()[:3] for line in lines[1:2]] == [["precision", "x", "1.3"]]
    text = capsys.readouterr().out
    assert "Which choice matters most cannot be told: only one cycle, and the 12 points" in text
    assert "ratios without intervals, which may be noise or drift:" in text


def test_a_share_above_100_percent_is_a_reason_and_no_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rows(analyse(too_noisy_for_shares(tmp_path)))
    assert "share" not in lines[0]
    assert "%" not in "".join(lines)
    text = capsys.readouterr().out
    assert "the shares of variance are not known: one part would have 107% of the variance" in text


def test_a_study_of_one_point_has_no_ranking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rows(analyse(study(tmp_path, "", Truth({})))) == []
    assert capsys.readouterr().out == ""


def test_many_choices_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    analysis = analyse(folder)
    many = msgspec.structs.replace(analysis, factors=analysis.factors * 3)
    assert len([line for line in rows(many) if " x " in line]) == 5
    assert "and 4 more choices; `study show --json` lists all" in capsys.readouterr().out


def test_caveats_that_stand_above_are_not_repeated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    analysis = msgspec.structs.replace(analyse(folder), caveats=("first", "second"))
    show_ranking(analysis, shown=("first",), console=Console(file=io.StringIO()))
    lines = capsys.readouterr().out.splitlines()
    assert "caveat: second" in lines
    assert "caveat: first" not in lines
