"""Real processes killed at random instants, and a study that is complete in the end (STU-08)."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from benchmarks.fault_campaign import campaign, disturb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_study_interrupted_ten_times_gives_the_results_of_one_that_was_not(
    tmp_path: Path,
) -> None:
    kills = campaign(tmp_path, n_kills=10, seed=6, longest_s=2.0)
    assert kills.total() == 10


def test_kills_in_the_first_moments_lose_no_study(tmp_path: Path) -> None:
    """Before the manifest, between its folder and its first run, in the spawn of a worker."""
    kills = disturb(tmp_path / "a", random.Random(2), n_kills=3, longest_s=1.0)
    assert kills.total() == 3
