"""`study compare`: exit codes for CI, and its three outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Run
from report.comparison.folders import make_folder

from llem_cli._commands.study.compare import parse_share
from llem_config import ConfigError


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def base(results: Path) -> Path:
    return make_folder(results, 1)


@pytest.fixture(scope="module")
def worse(results: Path) -> Path:
    return make_folder(results, 2, factor=1.05)


@pytest.fixture(scope="module")
def single(results: Path) -> Path:
    """A study of one cycle, which allows no interval."""
    return make_folder(results, 3, cycles=1)


def test_0_if_the_studies_are_the_same_or_no_gate_is_given(
    llem: Run, base: Path, worse: Path
) -> None:
    same = llem("study", "compare", base, base, "--fail-above", "2%", "--strict", "--each-point")
    assert same.returncode == 0
    assert "both folders hold the same runs" in same.stdout
    without_gate = llem("study", "compare", base, worse)
    assert without_gate.returncode == 0
    assert without_gate.stdout.startswith("test against test: worse")


def test_1_if_nothing_can_be_compared(llem: Run, results: Path, base: Path) -> None:
    other = make_folder(results, 4, ns=(9,), cycles=2)
    done = llem("study", "compare", base, other)
    assert done.returncode == 1
    assert "have no common point with results. The nearest points are" in done.stderr
    assert "which differ in n (" in done.stderr
    (results / "damaged").mkdir(exist_ok=True)
    (results / "damaged" / "manifest.json").write_text("{")
    done = llem("study", "compare", base, results / "damaged")
    assert done.returncode == 1
    assert "manifest.json is damaged" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--fail-above", "2"], "expected a percentage such as 2%, found '2'"),
        (["--each-point"], "expected --fail-above beside it; add e.g. --fail-above 2%"),
        (["--json", "--markdown"], "expected --markdown or --json, found both; leave one out"),
        (["--figure", "joules"], "--figure: expected the name of a figure, found 'joules'"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_2_if_a_flag_is_wrong(
    llem: Run, base: Path, worse: Path, arguments: list[str], problem: str
) -> None:
    done = llem("study", "compare", base, worse, *arguments)
    assert done.returncode == 2
    assert problem in done.stderr


def test_2_if_a_folder_does_not_exist_or_none_is_given(
    llem: Run, base: Path, tmp_path: Path
) -> None:
    done = llem("study", "compare", base, tmp_path / "absent")
    assert done.returncode == 2
    assert "absent: expected the folder of a study, found no such folder" in done.stderr
    done = llem("study", "compare", base, base / "manifest.json")
    assert done.returncode == 2
    assert "expected the folder of a study, found a file" in done.stderr
    done = llem("study", "compare", base)
    assert done.returncode == 2
    assert "expected at least one later study, found none" in done.stderr


def test_3_only_for_a_worsening_that_is_shown(
    llem: Run, base: Path, worse: Path, single: Path
) -> None:
    done = llem("study", "compare", base, worse, "--fail-above", "2%")
    assert done.returncode == 3
    assert "worse by more than 2.0 %" in done.stdout
    assert llem("study", "compare", base, worse, "--fail-above", "20%").returncode == 0
    assert llem("study", "compare", worse, base, "--fail-above", "2%").returncode == 0
    assert llem("study", "compare", base, single, "--fail-above", "2%").returncode == 0
    several = llem("study", "compare", base, single, worse, "--fail-above", "2%")
    assert several.returncode == 3


def test_3_for_a_single_point_if_each_point_counts(llem: Run, results: Path, base: Path) -> None:
    other = make_folder(results, 5, factors={3: 1.2, 1: 0.9, 2: 0.95, 4: 0.97})
    assert llem("study", "compare", base, other, "--fail-above", "5%").returncode == 0
    done = llem("study", "compare", base, other, "--fail-above", "5%", "--each-point")
    assert done.returncode == 3


def test_4_if_it_cannot_be_told_and_that_matters(llem: Run, base: Path, single: Path) -> None:
    done = llem("study", "compare", base, single, "--strict")
    assert done.returncode == 4
    assert "an interval needs at least 2 of each study; use 5 cycles" in done.stdout
    assert llem("study", "compare", base, single).returncode == 0


def test_json_is_one_object_with_a_list_of_comparisons(llem: Run, base: Path, worse: Path) -> None:
    done = llem("study", "compare", base, worse, base, "--fail-above", "2%", "--json")
    assert done.returncode == 3
    first, second = json.loads(done.stdout)["comparisons"]
    assert (first["verdict"], second["verdict"]) == ("worse", "same")
    assert first["gate"] == 0.02
    assert first["ratio"]["ci95_low"] > 1.02
    assert second["ratio"] == {"ratio": 1.0, "ci95_low": 1.0, "ci95_high": 1.0}
    assert len(first["points"]) == 4


def test_the_text_begins_with_what_differs_between_the_machines(
    llem: Run, results: Path, base: Path
) -> None:
    other = make_folder(results, 6, energy_per_device_j={"GPU-2": 1.0})
    lines = llem("study", "compare", base, other).stdout.splitlines()
    differs = lines.index("differs between the studies:")
    (devices,) = [n for n, line in enumerate(lines) if line.startswith("metered devices")]
    (overall,) = [n for n, line in enumerate(lines) if line.startswith("all 4 paired points:")]
    assert differs < devices < overall
    assert lines[devices].split() == ["metered", "devices", "GPU-1", "GPU-2"]


def test_markdown_shows_text_of_a_study_as_code_only(llem: Run, results: Path, base: Path) -> None:
    hostile = "| @all ![x](http://x) `</td><script>"
    other = make_folder(results, 7, energy_per_device_j={hostile: 1.0})
    done = llem("study", "compare", base, other, "--markdown")
    assert done.stdout.startswith("### ")
    (row,) = [line for line in done.stdout.splitlines() if "metered devices" in line]
    assert row == "| `metered devices` | `GPU-1` | `\\| @all ![x](http://x) '</td><script>` |"
    assert "| point | new/base | over all points | runs | verdict |" in done.stdout


def test_figures_of_different_meters_are_not_shown(llem: Run, results: Path, base: Path) -> None:
    other = make_folder(results, 8, energy_source="rapl")
    done = llem("study", "compare", base, other, "--strict")
    assert done.returncode == 4
    assert "metered by nvml and the new study by rapl" in done.stdout
    assert "new/base" not in done.stdout
    markdown = llem("study", "compare", base, other, "--markdown").stdout
    assert "**J/token: not compared**" in markdown
    assert "new/base" not in markdown


@pytest.mark.parametrize(
    ("text", "share"), [("2%", 0.02), ("0.5 %", 0.005), ("0%", 0.0), ("12.5%", 0.125)]
)
def test_a_share_is_written_in_per_cent(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["2", "0.02", "-1%", "nan%", "5000%", ""])
def test_other_texts_are_no_share(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a percentage such as 2%"):
        parse_share(text)


def test_the_effects_of_factors_are_side_by_side(llem: Run, base: Path, worse: Path) -> None:
    lines = llem("study", "compare", base, worse).stdout.splitlines()
    start = lines.index("effect of each factor, worst level over best:")
    assert lines[start + 1].split() == ["factor", "base", "new", "best", "changed"]
    key, *_, best, not_, shown = lines[start + 2].split()
    assert (key, best, not_, shown) == ("n", "1", "not", "shown")
    faster = llem("study", "compare", base, worse, "--figure", "tokens_per_second").stdout
    assert "effect of each factor, best level over worst:" in faster
    markdown = llem("study", "compare", base, worse, "--markdown").stdout
    assert "| factor (worst level over best) | base | new | best | changed |" in markdown
    assert "| `n` | 3.994 (" in markdown
