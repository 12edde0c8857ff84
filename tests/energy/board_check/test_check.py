"""The check of a board on scripted drivers whose counters have known flaws, on a virtual clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from energy.parts import run_python
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

from llem_energy.sources import BoardCheck

TESTS = Path(__file__).parents[2]
RUN = "import sys; from fakes.virtual_board import main; main()"
POINTS = ((0.0, 80.0),)


def checked(library: Path, folder: Path, late_s: float = 0.0, **flaws: Any) -> dict[str, Any]:
    gpu = FakeGpu(
        points=POINTS, counter_phase_s=0.037 * flaws.get("counter_period_s", 0.1), **flaws
    )
    fake_nvml.write_trace(folder / "trace", [gpu])
    env = {**fake_nvml.environment(library, folder / "trace"), "PYTHONPATH": str(TESTS)}
    check, stages = json.loads(run_python(RUN, repr(late_s), env=env))
    assert stages[0] == "observing the idle counter"
    assert (check["device"], check["driver"]) == (gpu.uuid, "580.00.01")
    assert check["checked_at"][:2] == "20"
    found: dict[str, Any] = check
    return found


@pytest.mark.parametrize(
    "flaws",
    [
        {},
        {"counter_period_s": 0.0973, "counter_gain": 1.1, "counter_jitter_s": 0.01},
        {"counter_period_s": 0.02},
    ],
    ids=["plain", "odd period, gain, jitter", "fast"],
)
def test_an_exact_counter_is_exact(library: Path, tmp_path: Path, flaws: dict[str, Any]) -> None:
    check = checked(library, tmp_path, **flaws)
    assert check["verdict"] == "exact"
    assert check["counter_period_s"] == pytest.approx(flaws.get("counter_period_s", 0.1), rel=0.002)
    assert check["counter_delay_s"] < 0.01
    assert check["counter_lag_s"] == 0.0
    assert check["seen_share"] > 0.95
    assert check["phase_spread_share"] < 0.05


def test_a_late_counter_is_late_by_its_delay(library: Path, tmp_path: Path) -> None:
    check = checked(library, tmp_path, counter_delay_s=0.25)
    assert check["verdict"] == "late"
    assert check["counter_delay_s"] == pytest.approx(0.25, abs=0.01)
    assert check["phase_spread_share"] < 0.05


@pytest.mark.parametrize("flaw", ["counter_delay_s", "counter_filter_s"])
def test_a_small_delay_counts_as_none_but_is_not_forgotten(
    library: Path, tmp_path: Path, flaw: str
) -> None:
    check = msgspec.convert(checked(library, tmp_path, **{flaw: 0.02}), BoardCheck)
    assert check.verdict == "exact"
    assert 0.02 <= check.possible_delay_s <= 0.1


def test_a_filtered_counter_has_the_lag_of_its_filter(library: Path, tmp_path: Path) -> None:
    check = checked(library, tmp_path, counter_filter_s=0.3)
    assert check["verdict"] == "filtered"
    assert check["counter_lag_s"] == pytest.approx(0.3, rel=0.1)
    assert check["power_lag_s"] == 0.0
    assert check["phase_spread_share"] < 0.05


@pytest.mark.parametrize("seen_s", [0.025, 0.075])
def test_a_part_time_counter_sees_its_share(library: Path, tmp_path: Path, seen_s: float) -> None:
    check = checked(library, tmp_path, counter_seen_s=seen_s)
    assert check["verdict"] == "part-time"
    assert check["seen_share"] == pytest.approx(seen_s / 0.1, abs=0.051)
    assert check["phase_spread_share"] > 0.5


def test_a_host_that_cannot_keep_the_pace_leaves_the_part_unknown(
    library: Path, tmp_path: Path
) -> None:
    check = checked(library, tmp_path, late_s=0.05)
    assert check["seen_share"] is None
    assert check["phase_spread_share"] is None
    assert "started the loads too late" in check["part_time_reason"]
    assert check["verdict"] == "unclear"


def test_a_period_below_10_ms_cannot_be_checked_for_parts(library: Path, tmp_path: Path) -> None:
    check = checked(library, tmp_path, counter_period_s=0.004)
    assert check["seen_share"] is None
    assert check["part_time_reason"] == "the period of the counter is below 0.01 s"
