"""The benchmark of counters with flaws plays a trace that its peers can play again."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fakes.fake_nvml import FakeGpu, Fault, environment, true_energy_j, write_trace
from workspace.repository import ROOT

from benchmarks.energy.flaw_summary import kind
from benchmarks.energy.flawed_counters import BEHAVIOURS, IDLE_W, load


def measured(
    gpu: FakeGpu, loads: Sequence[dict[str, Any]], library: Path, folder: Path, **more: Any
) -> dict[str, Any]:
    """Return what our side of the benchmark measures of loads on a GPU."""
    write_trace(folder / "gpus.trace", [gpu])
    request = {
        "idle_w": 70.0,
        "ripple": 0.01,
        "seed": "x",
        "is_checked": False,
        "late_s": 0.0,
        "step_s": 0.0,
        "loads": loads,
    } | more
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.energy.our_side", "guarded"],
        input=json.dumps(request) + "\n", capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | environment(library, folder / "gpus.trace"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_power_that_was_played_has_the_energy_that_was_measured(
    library: Path, tmp_path: Path
) -> None:
    gpu = FakeGpu(points=((0.0, 70.0),), counter_phase_s=0.037, counter_delay_s=0.25)
    loads = [{"length_s": 0.7 + 0.2 * i, "points": [(0.0, 400.0)]} for i in range(3)]
    answer = measured(gpu, loads, library, tmp_path)
    assert all(later[0] > earlier[0] for earlier, later in pairwise(answer["points"]))
    played = replace(gpu, points=tuple((t_s, watts) for t_s, watts in answer["points"]))
    for played_load, window in zip(loads, answer["windows"], strict=True):
        start_s, end_s = window["window"]
        assert end_s - start_s == pytest.approx(played_load["length_s"], abs=1e-3)
        assert window["truth_j"] == pytest.approx(true_energy_j(played, start_s, end_s))
        assert window["reasons"], "a counter that is 250 ms late is flagged"
        assert abs(window["energy_j"] - window["truth_j"]) <= window["bound_j"]


@pytest.mark.parametrize(
    ("counter", "around"),
    [
        ({"counter_period_s": 0.02, "counter_delay_s": 0.25}, {}),
        ({"counter_period_s": 0.02, "counter_filter_s": 0.3}, {}),
        ({"counter_period_s": 0.005, "counter_delay_s": 0.02}, {}),
        ({"counter_delay_s": 0.35}, {"before_s": 2.0, "before_w": 400.0}),
        ({"counter_filter_s": 2.0}, {"before_s": 2.0, "before_w": 400.0}),
        ({"counter_delay_s": 0.25}, {"idle_after_w": 90.0}),
    ],
)
def test_a_counter_that_is_late_is_found_with_any_period_and_next_to_other_work(
    counter: dict[str, float], around: dict[str, float], library: Path, tmp_path: Path
) -> None:
    gpu = FakeGpu(points=((0.0, 70.0),), counter_phase_s=0.037, **counter)  # type: ignore[arg-type]
    loads = [
        {"length_s": length_s, "points": [(0.0, 400.0)], **around} for length_s in (0.7, 1.1, 5.3)
    ]
    for window in measured(gpu, loads, library, tmp_path)["windows"]:
        assert any("energy counter" in reason for reason in window["reasons"])
        if counter.get("counter_filter_s", 0.0) < 1.0:
            assert abs(window["energy_j"] - window["truth_j"]) <= window["bound_j"]
            # None if the counter is late by more than the idle time before the window.
            likely_j = window["uncertainty_j"]
            assert likely_j is None or abs(window["energy_j"] - window["truth_j"]) <= likely_j


@pytest.mark.parametrize(("period_s", "limit_s"), [(0.1, 0.65), (0.02, 0.4), (0.005, 0.4)])
def test_an_exact_counter_is_not_flagged_and_does_not_idle_for_longer(
    period_s: float, limit_s: float, library: Path, tmp_path: Path
) -> None:
    gpu = FakeGpu(points=((0.0, 70.0),), counter_phase_s=0.037, counter_period_s=period_s)
    loads = [
        {"length_s": 5.3, "points": [(0.0, 400.0)], **around}
        for around in ({}, {"before_s": 2.0, "before_w": 400.0}, {"idle_after_w": 90.0})
    ]
    quiet, after_work, warmer = measured(gpu, loads, library, tmp_path)["windows"]
    for window in (quiet, after_work, warmer):
        assert window["reasons"] == []
        assert abs(window["energy_j"] - window["truth_j"]) <= window["uncertainty_j"]
        assert window["before_s"] <= limit_s
    assert quiet["after_s"] <= limit_s


@pytest.mark.parametrize("knows_idle", [False, True])
def test_a_late_counter_without_a_sensor_needs_an_idle_power_that_is_known(
    knows_idle: bool, library: Path, tmp_path: Path
) -> None:
    """Other work ends when the idle time before the window begins; the counter shows it for 0.4 s more."""
    gpu = FakeGpu(
        points=((0.0, 70.0),), counter_phase_s=0.037, counter_period_s=0.05, counter_delay_s=0.4,
        faults=(Fault("field:186", 3),),
    )  # fmt: skip
    loads = [{"length_s": 2.3, "points": [(0.0, 400.0)], "before_s": 2.0, "before_w": 400.0}]
    [window] = measured(gpu, loads, library, tmp_path, knows_idle=knows_idle)["windows"]
    assert (window["before_s"] > 0.4) == knows_idle
    if knows_idle:
        assert abs(window["energy_j"] - window["truth_j"]) <= window["bound_j"]
        assert any("it lags" in reason for reason in window["reasons"])


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_no_window_is_silently_wrong(name: str, library: Path, tmp_path: Path) -> None:
    """Three windows of each row of the table; the benchmark plays 200."""
    behaviour, rng = BEHAVIOURS[name], random.Random(name)
    loads = [load(behaviour, length_s * rng.uniform(0.9, 1.1), rng) for length_s in (1, 1, 2)]
    answer = measured(
        behaviour.gpu, loads, library, tmp_path, ripple=behaviour.ripple, seed=name,
        step_s=behaviour.step_s or None, is_checked=behaviour.is_checked,
        late_s=behaviour.possible_delay_s,
    )  # fmt: skip
    for window in answer["windows"]:
        reasons = [reason for reason in window["reasons"] if ": the bound is " not in reason]
        if behaviour.is_ideal:
            assert reasons == []
        # Also the bound of a window that is flagged holds, where there is one.
        if window["bound_j"] is not None:
            assert abs(window["energy_j"] - window["truth_j"]) <= window["bound_j"]
    if behaviour.lags:
        last = answer["windows"][-1]
        wrong_j = abs(last["far_guard_j"] - last["truth_j"])
        assert wrong_j <= (0.02 if behaviour.idle_after_w != IDLE_W else 0.005) * last["truth_j"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ideal, power falls for 1 s", "exact"),
        ("100 ms late, sensor too", "late or filtered"),
        ("part-time 25 of 100 ms, steps of 40 ms", "part-time"),
        ("bursts, 20 / 180 ms", "other flaws"),
        ("32-bit float", "other flaws"),
    ],
)
def test_the_short_table_groups_behaviours_by_what_is_wrong_with_the_counter(
    name: str, expected: str
) -> None:
    assert kind(BEHAVIOURS[name].gpu) == expected
