"""Neighbours on the scripted driver are noticed, and a quiet GPU is left alone."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.energy_tenants import CASES, UNSEEN, neighbours, quiet

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="compiles the fake driver")


def test_every_neighbour_that_leaves_a_trace_flags_the_total() -> None:
    answers = {case.name: answer for case, answer in neighbours((*CASES, UNSEEN))}
    assert len(CASES) >= 15
    missed = [case.name for case in CASES if answers[case.name]["status"] != "flagged"]
    assert missed == []
    # The limit of what can be noticed: see "What if others use the GPU?" in docs/energy.md.
    unseen = answers[UNSEEN.name]
    assert unseen["status"] == "ok"
    assert unseen["error"] == pytest.approx(0.14, abs=0.01)


def test_no_quiet_run_is_flagged() -> None:
    assert [answer["reasons"] for answer in quiet(12) if answer["status"] != "ok"] == []
