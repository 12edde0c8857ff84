"""Every way to use a meter, right and wrong: values with their bound, or missing with a reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

WATTS = 300.0
USES = Path(__file__).with_name("uses.py")


@pytest.fixture(scope="module")
def used(library: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("uses")
    gpus = [FakeGpu(points=((0.0, WATTS),), uuid="GPU-a"), FakeGpu(uuid="GPU-b")]
    fake_nvml.write_trace(folder / "gpus.trace", gpus)
    done = subprocess.run(
        [sys.executable, str(USES)],
        env=os.environ
        | fake_nvml.environment(library, folder / "gpus.trace")
        | {"LLEM_CACHE": str(folder / "calibrations.json"), "CUDA_VISIBLE_DEVICES": "0"},
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def is_right(window: dict[str, Any]) -> bool:
    """Return whether the truth is within the bound, and the bound is not wider than two updates."""
    difference_j = abs(window["j"] - WATTS * window["s"])
    return bool(difference_j <= window["bound_j"] and set(window["devices"]) == {"GPU-a"})


def is_missing(window: dict[str, Any], reason: str) -> bool:
    return bool(
        window["j"] is None
        and window["bound_j"] is None
        and window["status"] == "missing"
        and reason in " ".join(window["reasons"])
    )


def test_windows_overlap_and_nest(used: dict[str, Any]) -> None:
    assert all(map(is_right, used["overlapping"]))
    assert [window["name"] for window in used["overlapping"]] == ["outer", "first", "second"]
    assert used["same"]


def test_the_device_is_synchronised_at_both_ends_of_each_window(used: dict[str, Any]) -> None:
    assert used["waits"] == 6


def test_a_decorated_function_has_a_window_for_each_call(used: dict[str, Any]) -> None:
    assert used["returned"] == [2, 3, "Work."]
    assert [window["name"] for window in used["decorated"]] == ["call"] * 2 + ["async call"] * 2
    assert all(map(is_right, used["decorated"]))


def test_an_exact_window_of_a_coroutine_does_not_stop_its_tasks(used: dict[str, Any]) -> None:
    results, window = used["async"]
    assert results == ["done", "done"]
    assert is_right(window)


def test_threads_have_windows_of_their_own(used: dict[str, Any]) -> None:
    assert len(used["threads"]) == 4
    assert all(map(is_right, used["threads"]))


def test_an_error_of_the_user_passes_and_its_window_is_measured(used: dict[str, Any]) -> None:
    message, window = used["raised"]
    assert message == "of the user"
    assert is_right(window)


def test_a_window_that_was_not_closed_has_no_energy(used: dict[str, Any]) -> None:
    assert is_missing(used["open"], "still open")
    assert is_missing(used["left open"], "still open")
    assert is_missing(used["unopened"], "not opened")


def test_a_window_of_a_closed_meter_is_missing(used: dict[str, Any]) -> None:
    assert is_missing(used["after close"], "closed before the window")
    assert is_missing(used["closed inside"], "closed while the window was open")
    assert is_missing(used["ended after"], "closed while the window was open")


def test_the_energy_of_a_closed_window_can_be_read_after_the_meter_is_closed(
    used: dict[str, Any],
) -> None:
    assert is_right(used["read after close"])


def test_a_forked_child_measures_nothing_and_its_parent_measures_on(used: dict[str, Any]) -> None:
    own, before, n_latest = used["forked"]["child"]
    assert is_missing(own, "forked")
    assert is_missing(before, "forked")
    assert n_latest == 0
    assert is_right(used["forked"]["parent"])


def test_an_empty_window_has_no_wrong_number(used: dict[str, Any]) -> None:
    window = used["empty"]
    assert is_missing(window, "empty") or is_right(window)


def test_wrong_use_gives_one_sentence(used: dict[str, Any]) -> None:
    refused = used["refused"]
    assert refused == {
        "begun twice": "a window 'twice' is already open; end it or use another name",
        "unknown": "no window 'other' is open; open windows: 'twice'",
        "opened twice": "the window 'first' was opened before; make a new one with meter.window()",
        "closed twice": "the window 'first' is already closed",
        "closed unopened": "the window 'w' was not opened",
        "mode": "mode: expected 'exact' or 'light', found 'fast'",
        "mode of the meter": "mode: expected 'exact' or 'light', found 'fast'",
        "period": "sample_period_s: expected seconds above 0, found 0.0",
    }


def test_a_device_that_cannot_be_synchronised_flags_the_window(used: dict[str, Any]) -> None:
    window = used["unsynchronised"]
    assert window["status"] == "flagged" and is_right(window)
    assert sum("could not be synchronised" in reason for reason in window["reasons"]) == 2


def test_only_visible_gpus_are_metered_and_none_if_the_list_is_empty(used: dict[str, Any]) -> None:
    assert used["latest"] == 1
    assert is_missing(used["no gpu"], "uses no GPU")
