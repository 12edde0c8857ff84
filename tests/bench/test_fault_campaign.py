"""A study whose real processes are killed at random times is finally completed (STU-08)."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from benchmarks.fault_campaign import campaign, disturb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_study_interrupted_ten_times_gives_the_results_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    kills = campaign(tmp_path, n_kills=10, seed=6, max_wait_s=2.0)
    assert kills.total() == 10


def test_kills_in_the_first_moments_lose_no_study(tmp_path: Path) -> None:
    """Before the manifest exists, before the first run, while the child process is spawned."""
    kills = disturb(tmp_path / "a", random.Random(2), n_kills=3, max_wait_s=1.0)
    assert kills.total() == 3
