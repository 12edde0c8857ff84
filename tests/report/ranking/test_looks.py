"""Cycles that were added after a look at the ranking: the intervals account for it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from report.comparison.folders import KnownMeter, make_folder
from report.ranking.studies import design, grid, runs_of

from llem_report import analyse
from llem_report._ranking.ranking import rank_factors
from llem_runner import read_manifest, resume_study
from llem_runner._executors.inline import InlineExecutor
from llem_runner.records import alpha_after

if TYPE_CHECKING:
    from llem_report._ranking.designs import Floats

N_STUDIES = 250
FIRST, LAST = 2, 8


def share_with_false_effects(*, corrected: bool) -> float:
    """Return the share of studies without effects in which a factor matters at any look."""
    study = design(grid(3, 2, 2))
    random = np.random.default_rng(13)
    wrong = 0
    for _ in range(N_STUDIES):
        noise: Floats = random.normal(size=(LAST, 12)) * 0.02
        for n_cycles in range(FIRST, LAST + 1):
            alpha = alpha_after(range(FIRST, n_cycles), 1) if corrected else 0.05
            runs = runs_of(np.zeros(12), n_cycles, noise[:n_cycles])
            ranges = rank_factors(*runs, study, "runs", alpha).ranges
            if any(each is not None and each.low > 0 for each in ranges):
                wrong += 1
                break
    return wrong / N_STUDIES


def test_adding_cycles_until_a_choice_matters_makes_no_false_effects() -> None:
    tolerance = 2 * math.sqrt(0.06 * 0.94 / N_STUDIES)
    assert share_with_false_effects(corrected=True) <= 0.06 + tolerance
    assert share_with_false_effects(corrected=False) > 0.06 + 2 * tolerance


def test_a_resume_with_more_cycles_widens_the_intervals_and_says_so(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 1, ns=(1, 2, 3), cycles=3)
    before = analyse(folder)
    assert not any("cycles were added" in caveat for caveat in before.caveats)
    resume_study(folder, cycles=4, measure=KnownMeter(1, 3), executor=InlineExecutor())
    assert read_manifest(folder).looks == (3,)
    after = analyse(folder)
    (caveat,) = [caveat for caveat in after.caveats if "cycles were added" in caveat]
    assert "99.375 % instead of 95 %" in caveat
    assert "hold all at once in 99.38 % of studies" in after.method
    assert "hold all at once in 95 % of studies" in before.method
