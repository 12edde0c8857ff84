"""The result of a study in a terminal: intervals, comparisons, narrow terminals."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from fakes.swept_study import Measured, run_swept_study
from report.examples import metered
from rich.console import Console

from llem_cli._display.console import print_line
from llem_cli._display.study_result import show_study_result
from llem_energy.records import ErrorBudget
from llem_report.records import PointPhase
from llem_runner import StudyResult, read_study_result
from llem_runner.records import Drift, Statistics

DATA = Path(__file__).parents[1] / "runner" / "storage" / "data"


def stored(folder: Path, version: int) -> StudyResult:
    shutil.copy(DATA / f"study_result_v{version}.json", folder / "study_result.json")
    return read_study_result(folder)


def rendered(result: StudyResult, width: int) -> list[str]:
    text = io.StringIO()
    show_study_result(result, Path("results"), console=Console(file=text, width=width))
    return text.getvalue().splitlines()


def notes_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_the_first_point_is_the_best_only_if_all_others_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rendered(stored(tmp_path, 2), 120)
    assert lines[3].startswith("precision=bf16 pytorch.batch_size=8")
    assert lines[3].endswith(" 1")
    assert "best" not in "".join(lines)
    assert sum("(0.9" in line for line in lines) == 1  # the interval that contains 1
    notes = notes_of(capsys)
    (first,) = [note for note in notes if note.startswith("lowest J/output token over 5 cycles: ")]
    assert first.endswith("pytorch.batch_size=8; it is not shown to be the best")
    assert [note for note in notes if note.startswith("1 of 3 other points cannot be disting")]
    outlier = (
        "run 9 is an outlier once differences between cycles are removed: as measured, it is 1.0"
    )
    assert [note for note in notes if note.startswith(outlier)]
    assert [note for note in notes if note.startswith("a precision of ± 1 % takes ")]


def test_a_point_that_differs_from_all_others_is_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rendered(run_swept_study(tmp_path), 150)
    assert lines[3].startswith("bf16       8       sdpa+torch_compile")
    assert lines[3].endswith(" best")
    notes = notes_of(capsys)
    assert [note for note in notes if note.startswith("best: precision=bf16 ")]
    assert "7 of 7 other points can be distinguished from it (95 % confidence)" in notes


def test_each_factor_has_a_column(tmp_path: Path) -> None:
    lines = rendered(run_swept_study(tmp_path), 150)
    assert lines[2].split()[:4] == ["precision", "size", "attention", "runs"]
    assert all(line[:4] in ("bf16", "fp32") for line in lines[3:])


def test_cells_ratios_and_order_are_of_the_same_means(tmp_path: Path) -> None:
    result = run_swept_study(tmp_path)
    rows = [line.split() for line in rendered(result, 150)[3:]]
    means = [float(row[4]) for row in rows]
    ratios = [1.0, *(float(row[-2]) for row in rows[1:])]
    assert means == sorted(means)
    for mean, ratio in zip(means, ratios, strict=True):
        assert mean / means[0] == pytest.approx(ratio, rel=1e-3)


def test_80_columns_have_all_factors_and_figures_in_two_tables(tmp_path: Path) -> None:
    lines = rendered(run_swept_study(tmp_path), 80)
    assert all(len(line) <= 80 for line in lines)
    text = "\n".join(lines)
    assert text.count("attention") == 2
    for name in ("J/output", "x lowest", "error", "tokens/s", "token ms"):
        assert text.count(name) == 1
    assert text.count("sdpa+torch_compile") == 8


@pytest.mark.parametrize("width", [100, 80, 60])
def test_a_narrow_terminal_truncates_nothing(tmp_path: Path, width: int) -> None:
    lines = rendered(stored(tmp_path, 2), width)
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines)
    # Eight or, divided into two tables, four rows with the ± of energy.
    assert sum("±" in line for line in lines) in (4, 8)


def test_80_columns_have_the_factors_and_intervals_of_a_very_noisy_study(tmp_path: Path) -> None:
    result = run_swept_study(tmp_path, Measured(log_sd=2.0))
    lines = rendered(result, 80)
    assert all(len(line) <= 80 for line in lines)
    text = "\n".join(lines)
    assert text.count("sdpa+torch_compile") == 8  # in both tables, and no list of points
    assert text.count(" ± >100 %") == 16
    ratio = r"  [\d.]+ \(<?[\d.]+( to |-)>?[\d.,]+\)$"
    assert len(re.findall(ratio, text, flags=re.MULTILINE)) == 7
    assert " to >1,000)" in text


def test_80_columns_have_every_cell_of_a_crowded_table_whole(tmp_path: Path) -> None:
    measured = Measured(log_sd=2.0, nll_of_bf16=2.6, energy_per_output_token_with_host_j=2.75)
    result = run_swept_study(tmp_path, measured)
    crowded = tuple(
        msgspec.structs.replace(p, n_completed=3, n_failed=1, n_other_machine=2, n_flagged=2)
        for p in result.summary.points
    )
    summary = msgspec.structs.replace(result.summary, points=crowded)
    result = msgspec.structs.replace(result, summary=summary)
    narrow, wide = rendered(result, 80), rendered(result, 500)
    assert all(len(line) <= 80 for line in narrow)
    for row in wide[3:]:
        for cell in re.split(" {2,}", row.strip())[3:]:  # without the factors
            assert cell in "\n".join(narrow), cell


def test_flagged_figures_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_swept_study(tmp_path)
    flagged = tuple(
        msgspec.structs.replace(point, n_flagged=2)
        if point.levels["precision"] == "fp32"
        else point
        for point in result.summary.points
    )
    summary = msgspec.structs.replace(result.summary, points=flagged)
    lines = rendered(msgspec.structs.replace(result, summary=summary), 150)
    assert [" *" in line for line in lines[3:]] == [line.startswith("fp32") for line in lines[3:]]
    (legend,) = [note for note in notes_of(capsys) if note.startswith("*: ")]
    assert "flagged in 8 runs" in legend


def test_a_point_that_did_not_run_is_not_missing(tmp_path: Path) -> None:
    result = run_swept_study(tmp_path)
    first, second, third, *others = result.summary.points
    none: dict[str, None] = dict.fromkeys(
        ("energy_per_output_token_j", "tokens_per_second", "time_to_first_token_s", "compared")
    )
    waiting = msgspec.structs.replace(first, n_completed=0, **none)
    failed = msgspec.structs.replace(second, n_completed=0, n_failed=4, **none)
    unmeasured = msgspec.structs.replace(third, **none)
    points = (waiting, failed, unmeasured, *others)
    summary = msgspec.structs.replace(result.summary, points=points, comparisons=None)
    lines = rendered(msgspec.structs.replace(result, summary=summary), 150)
    assert lines[3].count("not run yet") == 3
    assert "0 of 4" in lines[3]
    assert "0 of 4 (4 failed)" in lines[4]
    assert lines[4].count(" failed") == 4
    assert "missing" in lines[5]
    assert "missing" not in lines[3] + lines[4]


def test_a_modelled_energy_is_shown_only_where_nothing_was_measured(tmp_path: Path) -> None:
    assert "modelled" not in "".join(
        rendered(run_swept_study(tmp_path, Measured(energy_estimated_j=5.0)), 150)
    )
    (tmp_path / "modelled").mkdir()
    modelled = Measured(energy_per_output_token_j=None, energy_estimated_j=5.0)
    lines = rendered(run_swept_study(tmp_path / "modelled", modelled), 150)
    assert "modelled" in "".join(lines)
    assert "J/output" not in "".join(lines)
    assert "x highest" in "".join(lines)


def test_a_drift_is_reported_only_if_its_interval_excludes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_swept_study(tmp_path)
    for is_clear in (True, False):
        drift = Drift(
            figure="energy_per_output_token_j", ratio=1.03, ci95_low=1.02, ci95_high=1.04,
            distinguishable=is_clear,
        )  # fmt: skip
        summary = msgspec.structs.replace(result.summary, drift=drift)
        rendered(msgspec.structs.replace(result, summary=summary), 150)
        sentence = "J/output token changed by +3.00 % from the first run to the last"
        assert (sentence in capsys.readouterr().out) is is_clear


def test_a_large_drift_is_said_as_a_factor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_swept_study(tmp_path)
    drift = Drift(
        figure="energy_per_output_token_j", ratio=182.7158, ci95_low=84.2136, ci95_high=396.4332,
        distinguishable=True,
    )  # fmt: skip
    summary = msgspec.structs.replace(result.summary, drift=drift)
    rendered(msgspec.structs.replace(result, summary=summary), 150)
    assert (
        "J/output token changed by a factor of 183 from the first run to the last (a factor of 84.2 to "
        "a factor of 396, 95 % confidence)"
    ) in capsys.readouterr().out


def test_a_point_that_spreads_more_than_the_others_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_swept_study(tmp_path)
    compared = result.summary.comparisons
    assert compared is not None
    noisy = compared.points[-1]
    spreads = {point.config_hash: 0.003 for point in result.summary.points}
    spreads[noisy.config_hash] = 0.05
    compared = msgspec.structs.replace(compared, residual_cv=0.003, residual_cvs=spreads)
    summary = msgspec.structs.replace(result.summary, comparisons=compared)
    rendered(msgspec.structs.replace(result, summary=summary), 150)
    (line,) = [note for note in notes_of(capsys) if note.startswith("wider intervals: ")]
    assert line.endswith(f"the runs of {noisy.label} spread by 5 %, most others by 0.3 %")


def test_the_number_of_runs_needed_is_a_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_swept_study(tmp_path)
    first, *others = result.summary.points
    first = msgspec.structs.replace(
        first,
        runs_needed={"0.5%": 60, "1%": 18, "2%": 7},
        runs_needed_high={"0.5%": None, "1%": None, "2%": 20},
    )
    summary = msgspec.structs.replace(result.summary, points=(first, *others))
    rendered(msgspec.structs.replace(result, summary=summary), 150)
    (precision,) = [note for note in notes_of(capsys) if note.startswith("a precision of ")]
    assert "± 1 % takes 18 to more than 1000 runs" in precision
    assert "± 2 % takes 7 to 20 runs" in precision


def test_without_a_comparison_there_is_a_reason_instead_of_a_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = stored(tmp_path, 2)
    compared = result.summary.comparisons
    assert compared is not None
    without = msgspec.structs.replace(compared, points=(), reason="one cycle", left_out=("n=2",))
    summary = msgspec.structs.replace(result.summary, comparisons=without)
    lines = rendered(msgspec.structs.replace(result, summary=summary), 120)
    assert "x lowest" not in "".join(lines)
    notes = capsys.readouterr().out.splitlines()
    assert "points are not compared: one cycle" in notes
    assert "not compared (too few results): n=2" in notes
    many = msgspec.structs.replace(without, left_out=tuple(f"n={n}" for n in range(50)))
    summary = msgspec.structs.replace(result.summary, comparisons=many)
    rendered(msgspec.structs.replace(result, summary=summary), 120)
    notes = capsys.readouterr().out.splitlines()
    assert sum("too few results" in note for note in notes) == 10
    assert "and 40 other points of this kind" in notes


@pytest.mark.parametrize(("n", "is_reported"), [(5, False), (10, True)])
def test_correlated_runs_are_reported_from_ten_runs_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n: int, is_reported: bool
) -> None:
    result = stored(tmp_path, 2)
    first, *others = result.summary.points
    assert first.energy_per_output_token_j is not None
    drifting = msgspec.structs.replace(first.energy_per_output_token_j, n=n, lag1=0.95)
    first = msgspec.structs.replace(first, energy_per_output_token_j=drifting)
    summary = msgspec.structs.replace(result.summary, points=(first, *others))
    rendered(msgspec.structs.replace(result, summary=summary), 120)
    sentence = f"the runs of {first.label} are correlated"
    assert (sentence in capsys.readouterr().out) is is_reported


def test_an_interval_wider_than_the_mean_is_shown_in_words(tmp_path: Path) -> None:
    result = stored(tmp_path, 2)
    first, *others = result.summary.points
    assert first.energy_per_output_token_j is not None
    wide = msgspec.structs.replace(first.energy_per_output_token_j, ci95_low=1e-9, ci95_high=1e9)
    first = msgspec.structs.replace(first, energy_per_output_token_j=wide)
    summary = msgspec.structs.replace(result.summary, points=(first, *others))
    lines = rendered(msgspec.structs.replace(result, summary=summary), 120)
    assert "± >100 %" in "".join(lines)


def test_two_runs_are_shown_with_their_distance_instead_of_an_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = Statistics(n=2, mean=2.0, median=2.0, sd=0.0438, ci95_low=1.6, ci95_high=2.5)
    result = stored(tmp_path, 2)
    points = tuple(
        msgspec.structs.replace(p, n_completed=2, energy_per_output_token_j=two)
        for p in result.summary.points
    )
    summary = msgspec.structs.replace(result.summary, points=points)
    lines = rendered(msgspec.structs.replace(result, summary=summary), 120)
    assert sum("2 (3.1 % apart)" in line for line in lines) == 4
    notes = capsys.readouterr().out
    assert "apart: distance between two runs" in notes
    assert "±: half-width" not in notes


def test_the_difference_that_a_study_can_tell_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = stored(tmp_path, 2)
    compared = result.summary.comparisons
    assert compared is not None
    compared = msgspec.structs.replace(compared, detectable_ratio=1.0123)
    summary = msgspec.structs.replace(result.summary, comparisons=compared)
    rendered(msgspec.structs.replace(result, summary=summary), 120)
    assert "this study can tell differences of 1.2 %" in capsys.readouterr().out.splitlines()


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


def test_a_model_that_changed_between_runs_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = stored(tmp_path, 3)
    changes = tuple(f"run {i} read another model.safetensors than run 1" for i in range(2, 30))
    summary = msgspec.structs.replace(result.summary, input_changes=changes)
    rendered(msgspec.structs.replace(result, summary=summary), 120)
    notes = capsys.readouterr().out.splitlines()
    warnings = [note for note in notes if "model.safetensors" in note]
    assert warnings[0] == f"warning: {changes[0]}; the figures mix both"
    assert f"and {len(changes) - len(warnings)} other changes of input files" in notes


def test_warnings_that_differ_only_in_numbers_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = stored(tmp_path, 3)
    busy = "other processes kept {} of the 2 CPUs busy during the window"
    numbers = [1 + n / 100 for n in range(200)] + [2e-05]
    warnings = {busy.format(number): 1 for number in numbers} | {"the meter stopped": 3}
    summary = msgspec.structs.replace(result.summary, warnings=warnings)
    show_study_result(msgspec.structs.replace(result, summary=summary), tmp_path)
    lines = [ln for ln in capsys.readouterr().out.splitlines() if ln.startswith("warning (")]
    assert lines == [
        f"warning (201 times): {busy.format('2e-05 to 2.99')}",
        "warning (3 runs): the meter stopped",
    ]


def test_joules_with_the_host_have_a_column_and_the_meters_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = ErrorBudget(
        edge_bound_j=1.0, sampling_j=None, gain_share=0.05, gain_source="literature"
    )
    measured = Measured(
        energy_host_j=40.0, energy_host_source="rapl", energy_per_output_token_with_host_j=2.75,
        counter_exactness="late", error_budget=budget,
    )  # fmt: skip
    result = run_swept_study(tmp_path, measured)
    lines = rendered(result, 160)
    assert "host" in lines[2].split()
    assert all("2.75 ± 0" in line for line in lines[3:11])
    notes = notes_of(capsys)
    assert "energy counter: late (checked): the error bound may not hold" in notes
    assert "gain error of the sensor: ±5 %, literature" in notes
    assert any(note.endswith("with the energy of the processor (rapl)") for note in notes)
    assert result.measurement_protocol.counter_exactness == {"late": 32}


def test_without_a_meter_of_the_host_there_is_no_column_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rendered(run_swept_study(tmp_path, Measured(counter_exactness="unverified")), 160)
    assert "host" not in lines[2].split()
    notes = notes_of(capsys)
    assert "J/output token is of the GPUs alone, without the host" in notes
    (counter,) = [note for note in notes if note.startswith("energy counter: ")]
    assert "`llem-cli doctor --check-gpu all` checks it" in counter


def test_points_with_worse_answers_are_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rendered(run_swept_study(tmp_path, Measured(nll_of_bf16=2.6)), 170)
    assert "answers" in " ".join(lines[1:4])
    assert sum("NLL +4.0 %" in line for line in lines) == 4
    assert sum("  ok  " in line for line in lines) == 4
    notes = notes_of(capsys)
    assert sum(note.startswith("caveat: the answers of precision=bf16 ") for note in notes) == 4
    assert sum(note.startswith("answers: ok if ") for note in notes) == 1


def test_too_few_cycles_come_with_the_command_that_adds_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_swept_study(tmp_path)
    comparisons = result.summary.comparisons
    assert comparisons is not None
    uncompared = msgspec.structs.replace(comparisons, points=(), reason="2 complete cycles")
    summary = msgspec.structs.replace(result.summary, comparisons=uncompared)
    rendered(msgspec.structs.replace(result, summary=summary), 150)
    hint = "to compare them, add cycles: `llem-cli study resume results --cycles 5`"
    assert hint in notes_of(capsys)
    unfinished = msgspec.structs.replace(summary, completed=summary.planned - 1)
    rendered(msgspec.structs.replace(result, summary=unfinished), 150)
    assert hint not in notes_of(capsys)
    rendered(result, 150)
    assert hint not in notes_of(capsys)


SHARES = (
    PointPhase(phase="prefill", mfu=0.412, mbu=0.083, bound_by=("compute",)),
    PointPhase(phase="decode", mfu=0.012, mbu=None, bound_by=("host", "memory")),
)


def explained(
    folder: Path, width: int, n_known: int, phases: tuple[PointPhase, ...] = SHARES
) -> list[str]:
    """Return the lines of a study of which the first points have shares of their device."""
    result = run_swept_study(folder)
    analysis = metered()
    points = tuple(
        msgspec.structs.replace(
            analysis.points[0],
            config_hash=point.config_hash,
            phases=phases if place < n_known else (),
        )
        for place, point in enumerate(result.summary.points)
    )
    text = io.StringIO()
    show_study_result(
        result,
        folder,
        analysis=msgspec.structs.replace(analysis, points=points),
        console=Console(file=text, width=width),
    )
    return text.getvalue().splitlines()


def test_what_limited_the_phases_has_a_table(tmp_path: Path) -> None:
    lines = explained(tmp_path, 150, n_known=7)
    title = next(
        i for i, line in enumerate(lines) if line.startswith("shares of the measured peaks")
    )
    header, rows = lines[title + 1 : title + 3], lines[title + 3 : title + 11]
    assert header[0].split()[-6:] == ["prefill"] * 3 + ["decode"] * 3
    cells = ["41", "%", "8.3", "%", "compute", "1.2", "%", "-", "host,", "memory"]
    assert sum(row.split()[-10:] == cells for row in rows) == 7
    assert sum(row.split()[-6:] == ["-"] * 6 for row in rows) == 1


def test_without_any_share_there_is_no_table_of_them(tmp_path: Path) -> None:
    bounds = (PointPhase(phase="decode", mfu=None, mbu=None, bound_by=("host",)),)
    lines = explained(tmp_path, 150, n_known=7, phases=bounds)
    assert not any("shares of the measured peaks" in line or "mfu" in line for line in lines)


def test_in_80_columns_each_phase_has_a_table_if_both_do_not_fit(tmp_path: Path) -> None:
    lines = explained(tmp_path, 80, n_known=8)
    assert all(len(line) <= 80 for line in lines)
    assert sum("41 %" in line for line in lines) == 8
    assert sum("host, memory" in line for line in lines) == 8


def test_without_shares_there_is_no_such_table(tmp_path: Path) -> None:
    assert not any("mfu" in line for line in explained(tmp_path, 150, n_known=0))
