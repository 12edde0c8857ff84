"""Checks of boards are kept by GPU and driver, beside the calibrations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llem_energy._metering.board_check import (
    exact,
    exactness,
    possible_delays_s,
    sees_all,
    valid_checks,
)
from llem_energy.sources import (
    BoardCheck,
    Calibration,
    load_board_checks,
    load_calibrations,
    save_board_checks,
    save_calibrations,
)


def check(**changes: Any) -> BoardCheck:
    fields = {
        "device": "GPU-1", "driver": "580", "verdict": "exact", "counter_period_s": 0.1,
        "counter_delay_s": 0.0, "counter_lag_s": 0.0, "power_lag_s": None, "explained_share": 0.99,
        "seen_share": 1.0, "phase_spread_share": 0.01, "part_time_reason": None,
        "checked_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return msgspec.convert(fields | changes, BoardCheck)


CALIBRATION = Calibration(
    device="GPU-1", counter_period_s=0.1, counter_jitter_s=0.0, counter_step_j=9.0,
    power_period_s=0.1, call_p50_s=1e-4, call_p99_s=2e-4, n_updates=8, duration_s=1.0,
    boot_id="boot", driver="580", binding="13", made_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip


def test_a_check_replaces_that_of_the_same_gpu_and_driver_only(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "calibrations.json"
    assert load_board_checks(path) == ()
    assert save_board_checks(path, [check(), check(driver="570"), check(device="GPU-2")])
    later = check(verdict="late", checked_at="2026-03-01T00:00:00+00:00")
    assert save_board_checks(path, [later])
    kept = load_board_checks(path)
    assert {(c.device, c.driver): c.verdict for c in kept} == {
        ("GPU-1", "580"): "late",
        ("GPU-1", "570"): "exact",
        ("GPU-2", "580"): "exact",
    }
    assert valid_checks(kept, ["GPU-1"], "580") == (later,)


def test_checks_and_calibrations_keep_each_other(tmp_path: Path) -> None:
    path = tmp_path / "calibrations.json"
    save_calibrations(path, [CALIBRATION])
    save_board_checks(path, [check()])
    save_calibrations(path, [CALIBRATION])
    assert load_calibrations(path) == (CALIBRATION,)
    assert load_board_checks(path) == (check(),)


def test_a_file_of_calibrations_alone_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "calibrations.json"
    old = {"schema_version": 1, "calibrations": [msgspec.to_builtins(CALIBRATION)]}
    path.write_text(json.dumps(old))
    assert load_calibrations(path) == (CALIBRATION,)
    assert load_board_checks(path) == ()


def test_a_place_that_takes_no_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not save_board_checks(tmp_path / "file" / "calibrations.json", [check()])


def test_another_driver_or_gpu_is_unverified() -> None:
    assert valid_checks([check()], ["GPU-1"], "581") == ()
    assert valid_checks([check()], ["GPU-1"], None) == ()
    assert valid_checks([check()], ["GPU-2"], "580") == ()


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["exact", "exact"], "exact"),
        (["exact", None], "unverified"),
        (["late", None], "late"),
        (["filtered", "part-time"], "part-time"),
        (["unclear", "exact"], "unclear"),
    ],
)
def test_the_least_favourable_outcome_of_several_gpus_counts(
    verdicts: list[str | None], expected: str
) -> None:
    devices = [f"GPU-{i}" for i in range(len(verdicts))]
    checks = [
        check(device=device, verdict=verdict)
        for device, verdict in zip(devices, verdicts, strict=True)
        if verdict is not None
    ]
    assert exactness(checks, devices) == expected


def test_a_late_counter_can_observe_everything_but_is_not_exact() -> None:
    checks = [
        check(), check(device="GPU-2", verdict="late"), check(device="GPU-3", verdict="part-time"),
        check(device="GPU-4", seen_share=None),
    ]  # fmt: skip
    assert sees_all(checks) == ("GPU-1", "GPU-2")
    assert exact(checks) == ("GPU-1", "GPU-4")


def test_what_a_check_could_not_tell_from_an_exact_counter_is_its_possible_delay() -> None:
    checks = [
        check(),
        check(device="GPU-2", counter_delay_s=0.02),
        check(device="GPU-3", counter_lag_s=0.015, power_lag_s=0.01),
        check(device="GPU-4", counter_delay_s=-0.01),
        check(device="GPU-5", verdict="late", counter_delay_s=0.1),
    ]
    assert possible_delays_s(checks) == pytest.approx(
        {"GPU-1": 0.005, "GPU-2": 0.025, "GPU-3": 0.02, "GPU-4": 0.005}
    )
