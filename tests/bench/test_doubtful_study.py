"""The benchmark of a disturbed study accepts exactly the figures and reasons that are wrong in it."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.doubtful_study import Verdict, verdicts

LAGS = "GPU: the energy counter continued to rise after the work had ended"
OTHER = "1 other process was on GPU 0 later in the run"
OK = {"status": "ok", "reasons": []}


def flagged(*reasons: str) -> dict[str, Any]:
    return {"status": "flagged", "reasons": reasons}


def verdict(counter: str, size: int, **figures: dict[str, Any]) -> Verdict:
    run = {"config": {"scripted": {"batch_size": size}}, "figures": figures}
    (found,) = verdicts(counter, [run, run])
    return found


def test_an_exact_counter_without_a_neighbour_flags_nothing() -> None:
    assert verdict("exact", 1, energy_total_j=OK, window_s=OK).is_right()
    assert not verdict("exact", 1, energy_total_j=flagged(LAGS), window_s=OK).is_right()


def test_a_lagging_counter_and_a_neighbour_flag_energies_with_both_reasons() -> None:
    both = flagged(LAGS, OTHER)
    assert verdict("250 ms late", 16, energy_total_j=both, window_s=OK).is_right()
    assert verdict("250 ms late", 1, energy_total_j=flagged(LAGS), window_s=OK).is_right()


@pytest.mark.parametrize(
    "figures",
    [
        {"energy_total_j": flagged(LAGS), "window_s": OK},
        {"energy_total_j": flagged(LAGS, OTHER), "window_s": flagged(OTHER)},
        {"energy_total_j": flagged(LAGS, OTHER), "energy_per_prompt_j": OK},
        {"energy_total_j": flagged(LAGS, OTHER), "energy_integrated_j": flagged(LAGS, OTHER)},
    ],
    ids=[
        "a reason is missing",
        "a time is flagged",
        "an energy is not flagged",
        "an integral lags",
    ],
)
def test_anything_else_is_wrong(figures: dict[str, dict[str, Any]]) -> None:
    assert not verdict("250 ms late", 16, **figures).is_right()


def test_each_run_has_to_be_right_and_to_have_an_energy() -> None:
    right, unflagged = flagged(LAGS), OK
    runs = [
        {"config": {"scripted": {"batch_size": 1}}, "figures": {"energy_total_j": total}}
        for total in (right, unflagged)
    ]
    (found,) = verdicts("250 ms late", runs)
    assert not found.is_right()
    missing = {"status": "missing", "reasons": ["the counter was reset"]}
    assert not verdict("250 ms late", 1, energy_total_j=missing).is_right()
