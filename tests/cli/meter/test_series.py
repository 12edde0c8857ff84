"""Repeated runs and comparisons: order, intervals, and what stops them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from cli.meter.conftest import Meter

from llem_cli._commands.meter.series import Series, run_in_turn
from llem_cli._commands.meter.signals import fetched_signals
from llem_cli._commands.meter.summary import compared, summary
from llem_cli._display.meter_report import MeasuredRun

A, B = ("a",), ("b",)


def run_of(
    energy_j: float | None, *, code: int = 0, duration_s: float = 2.0, reasons: Sequence[str] = ()
) -> MeasuredRun:
    return MeasuredRun(
        exit_code=code, duration_s=duration_s, cpu_time_s=0.1, energy_j=energy_j,
        bound_j=None if energy_j is None else 0.5, status="ok" if energy_j else "missing",
        reasons=tuple(reasons), method=None, devices=(), started_unix_s=0.0,
    )  # fmt: skip


def series(
    order: list[str],
    commands: Sequence[Sequence[str]],
    *,
    n_runs: int,
    n_warmup: int = 0,
    fails_at: int | None = None,
    stops_at: int | None = None,
) -> Series:
    def execute(command: Sequence[str]) -> tuple[MeasuredRun, int | None]:
        order.append(command[0])
        code = 3 if len(order) == fails_at else 0
        return run_of(1.0, code=code), 15 if len(order) == stops_at else None

    def warm_up(command: Sequence[str]) -> tuple[int, int | None]:
        order.append(command[0].upper())
        return 0, None

    with fetched_signals() as signals:
        return run_in_turn(
            commands,
            n_runs=n_runs,
            n_warmup=n_warmup,
            gap_s=0.0,
            signals=signals,
            execute=execute,
            warm_up=warm_up,
            on_run=lambda *_: None,
        )


def test_two_commands_take_turns_and_each_is_first_in_half_of_them() -> None:
    order: list[str] = []
    result = series(order, [A, B], n_runs=4, n_warmup=1)
    assert order == ["B", "A", *"abbaabba"]
    assert [len(runs) for runs in result.runs] == [4, 4]
    assert (result.exit_code, result.stopped_by) == (0, None)


def test_a_run_that_fails_stops_the_series_with_its_exit_code() -> None:
    order: list[str] = []
    result = series(order, [A, B], n_runs=4, fails_at=3)
    assert (result.exit_code, result.stopped_by) == (3, "run 2 failed with exit code 3")
    assert [len(runs) for runs in result.runs] == [1, 2]


def test_a_signal_stops_the_series() -> None:
    order: list[str] = []
    result = series(order, [A], n_runs=4, stops_at=2)
    assert (result.exit_code, result.stopped_by) == (128 + 15, "signal 15")


def test_the_mean_of_fewer_than_three_runs_has_no_interval() -> None:
    two = summary(A, "a", None, [run_of(10.0), run_of(40.0)])
    assert two.energy_j is not None
    assert two.energy_j.mean == pytest.approx(20.0)
    assert two.energy_j.ci95_low is None
    three = summary(A, "a", 10, [run_of(10.0), run_of(11.0), run_of(12.0)])
    assert three.energy_j is not None
    assert three.energy_j.ci95_low is not None
    assert three.energy_j.ci95_high is not None
    assert three.energy_j.ci95_low < three.energy_j.mean < three.energy_j.ci95_high
    assert three.energy_per_token_j == pytest.approx(three.energy_j.mean / 10)


def test_one_missing_energy_makes_the_mean_missing_with_its_reason() -> None:
    runs = [run_of(10.0), run_of(None, reasons=["the GPU is lost"]), run_of(11.0)]
    measured = summary(A, "a", 10, runs)
    assert (measured.energy_j, measured.energy_per_token_j) == (None, None)
    assert measured.energy_reasons == ("the GPU is lost",)
    other = summary(B, "b", 10, [run_of(5.0), run_of(5.1), run_of(4.9)])
    ratio = compared(measured, other)
    assert (ratio.energy, ratio.energy_reason) == (None, "the energy of a run is missing")
    assert ratio.duration is not None


def test_a_run_that_failed_is_in_no_mean_of_several() -> None:
    runs = [run_of(10.0), run_of(10.0), run_of(500.0, code=1)]
    measured = summary(A, "a", None, runs)
    assert measured.energy_j is not None
    assert measured.energy_j.mean == pytest.approx(10.0)
    assert measured.energy_j.n == 2
    only = summary(A, "a", None, [run_of(500.0, code=1)])
    assert only.energy_j is not None
    assert only.energy_j.mean == 500.0


def test_equal_commands_cannot_be_told_apart_and_different_ones_can() -> None:
    first = summary(A, "a", None, [run_of(x) for x in (10.0, 12.0, 11.0)])
    same = summary(B, "b", None, [run_of(x) for x in (11.0, 11.5, 10.4)])
    half = summary(B, "b", None, [run_of(x) for x in (5.0, 6.0, 5.4)])
    ratio = compared(first, same).energy
    assert ratio is not None
    assert not ratio.distinguishable
    ratio = compared(first, half).energy
    assert ratio is not None
    assert ratio.distinguishable
    assert ratio.ratio == pytest.approx(2.0, rel=0.03)
    assert ratio.ci95_low < 2.0 < ratio.ci95_high


def test_two_pairs_give_no_ratio_but_the_reason() -> None:
    two = summary(A, "a", None, [run_of(10.0), run_of(12.0)])
    ratio = compared(two, two)
    assert (ratio.energy, ratio.energy_reason) == (
        None,
        "an interval needs at least 3 pairs of runs",
    )


def test_a_comparison_of_real_commands_gives_their_ratio(meter: Meter, tmp_path: Path) -> None:
    done = meter(
        "--runs", "3", "--gap", "0", "--compare", "sleep 0.4", "--json", "--", "sleep", "1.6"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [len(measured["runs"]) for measured in report["measured"]] == [3, 3]
    duration, energy = report["comparison"]["duration"], report["comparison"]["energy"]
    assert (duration["n_pairs"], energy["n_pairs"]) == (3, 3)
    assert duration["ratio"] > 1
    assert energy["ratio"] > 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("run ")]
    assert len(lines) == 6
    assert lines[0].startswith("run 1 of 3: ")


def test_repeats_print_mean_and_interval_and_discard_output_if_requested(meter: Meter) -> None:
    done = meter("--runs", "3", "--gap", "0s", "--discard-output", "--", "sh", "-c", "cat; echo x")
    assert (done.returncode, done.stdout) == (0, "")
    assert "mean of 3 runs, 95 % interval" in done.stderr
    done = meter("--runs", "3", "--gap", "0", "--", "sh", "-c", "echo x; exit 6")
    assert (done.returncode, done.stdout) == (6, "x\n")
    assert "stopped early: run 1 failed with exit code 6" in done.stderr


def test_the_comparison_without_a_meter_still_compares_durations(
    no_meter: dict[str, str], meter: Meter, gpu_env: dict[str, str]
) -> None:
    done = meter(
        "--runs", "3", "--gap", "0", "--compare", "sleep 0.5", "--", "true",
        env={**gpu_env, **no_meter},
    )  # fmt: skip
    assert done.returncode == 0
    assert "energy: no ratio: the energy of a run is missing" in done.stderr
    assert "duration: " in done.stderr
