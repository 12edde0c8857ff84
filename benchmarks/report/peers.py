"""Rankings of other tools on simulated studies, beside ours.

Their part runs in an environment of its own, which uv makes: `peer_rankings.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report.studies import Array, Kind, Study, grid, simulate
from llem_report._ranking.designs import nesting
from llem_report._ranking.ranking import rank_factors
from llem_report._ranking.shares import Shares, two_way_fit

PACKAGES = ("optuna", "scikit-learn", "statsmodels", "pandas")
_SIZES = (2, 2, 3, 4)
PEER_KINDS: tuple[tuple[Kind, int], ...] = (
    (Kind("full grid, 30/12/6/0 %", grid(*_SIZES), (0.3, 0.12, 0.06, 0.0), (3,)), 3),
    (Kind("27 of 48 points", grid(*_SIZES), (0.3, 0.12, 0.06, 0.0), (3,), kept_points=27 / 48), 3),
    (Kind("small, 5/4/3/0 %", grid(*_SIZES), (0.05, 0.04, 0.03, 0.0), (2,)), 2),
    (Kind("small, 24 of 48 points", grid(*_SIZES), (0.05, 0.04, 0.03, 0.0), (2,),
          kept_points=0.5), 2),
    (Kind("27 of 48 points, interactions", grid(*_SIZES), (0.3, 0.12, 0.06, 0.0), (3,),
          interactions=0.05, kept_points=27 / 48), 3),
)  # fmt: skip
OURS = "llem, stated separations"


@dataclass
class Score:
    """In how many studies the ranking of a tool was wrong."""

    wrong_first: int = 0
    null_above_real: int = 0
    swapped: int = 0
    """Two real factors in the wrong order."""
    wrong: int = 0
    """Any of these."""
    n: int = 0
    null_share: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, importance: Array, effects: Array, seconds: float) -> None:
        """Judge a full ranking by importance; larger is more important."""
        order = np.argsort(-importance, kind="stable")
        real = [f for f in order if effects[f]]
        wrong_first = order[0] != int(np.argmax(effects))
        null = max(importance[f] for f in range(len(effects)) if not effects[f])
        null_above = any(null > importance[f] for f in real)
        swapped = real != sorted(real, key=lambda f: -effects[f])
        self.count(wrong_first=wrong_first, null_above=null_above, swapped=swapped)
        total = float(importance.sum())
        self.null_share.append(null / total if total else 0.0)
        self.seconds.append(seconds)

    def count(self, *, wrong_first: bool, null_above: bool, swapped: bool) -> None:
        """Add a study."""
        self.n += 1
        self.wrong_first += wrong_first
        self.null_above_real += null_above
        self.swapped += swapped
        self.wrong += wrong_first or null_above or swapped


def scores(kind: Kind, n_cycles: int, n_studies: int) -> dict[str, Score] | None:
    """Return the score of each tool; None if the peers cannot be installed."""
    rng = np.random.default_rng([n_studies, len(kind.name)])
    studies = [simulate(kind, n_cycles, rng) for _ in range(n_studies)]
    answers = peer_answers({"rankings": [_as_plain(study) for study in studies]})
    if answers is None:
        return None
    effects = np.array(kind.effects)
    found: dict[str, Score] = {}
    for study, answer in zip(studies, answers["rankings"], strict=True):
        for tool, (importance, seconds) in answer.items():
            found.setdefault(tool, Score()).add(np.array(importance), effects, seconds)
        _add_ours(study, effects, found)
    return found


def _add_ours(study: Study, effects: Array, found: dict[str, Score]) -> None:
    start = time.process_time()
    ranking = rank_factors(study.values, study.point, study.block, study.design, "runs")
    seconds = time.process_time() - start
    ratios = np.array([0.0 if each is None else each.log_ratio for each in ranking.ranges])
    found.setdefault("llem, ratio", Score()).add(ratios, effects, seconds)
    if isinstance(ranking.shares, Shares):
        share = np.maximum(ranking.shares.factors, 0.0)
        found.setdefault("llem, share", Score()).add(share, effects, seconds)
    ours = found.setdefault(OURS, Score())
    stated = [
        (f, g)
        for f, first in enumerate(ranking.ranges)
        for g, second in enumerate(ranking.ranges)
        if first is not None and second is not None and first.low > second.high
    ]
    false = [(f, g) for f, g in stated if effects[f] <= effects[g]]
    ours.count(
        wrong_first=any(effects[g] == effects.max() for _, g in false),
        null_above=any(not effects[f] for f, _ in false),
        swapped=any(effects[f] and effects[g] for f, g in false),
    )
    ours.seconds.append(seconds)
    single_ranks = [rank is not None and rank[0] == rank[1] for rank in ranking.ranks]
    ours.null_share.append(float(np.mean(single_ranks)))


def sums_of_squares_difference(n_points: int) -> float | None:
    """Return the largest relative difference from the sums of squares of statsmodels.

    Args:
        n_points: how many points of a grid of 5 x 4 x 3 x 2 the study has.
    """
    rng = np.random.default_rng(n_points)
    kind = Kind("squares", grid(5, 4, 3, 2), (0.3, 0.2, 0.1, 0.0), (1,), interactions=0.05,
                kept_points=n_points / 120)  # fmt: skip
    study = simulate(kind, 1, rng)
    answers = peer_answers({"squares": [_as_plain(study)]})
    if answers is None:
        return None
    ours = two_way_fit(study.values[np.argsort(study.point)], study.design, nesting(study.design))
    assert ours is not None  # fewer parameters than points
    theirs: dict[str, float] = answers["squares"][0]
    found = {":".join(study.design.keys[f] for f in term): v for term, v in ours.squares.items()}
    found["Residual"] = ours.residual_squares
    return max(abs(found[name] / theirs[name] - 1) for name in theirs)


def peer_answers(task: dict[str, Any]) -> dict[str, Any] | None:
    """Run `peer_rankings.py` with the peers installed; None if that fails."""
    # Not the interpreter of our environment, whose packages the peer would see.
    python = str(Path(sys.base_prefix) / "bin" / "python3")
    command = ["uv", "run", "--quiet", "--isolated", "--no-project", "--python", python]
    command += [word for package in PACKAGES for word in ("--with", package)]
    command += ["python", str(Path(__file__).with_name("peer_rankings.py"))]
    done = subprocess.run(
        command, input=json.dumps(task), capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stderr.strip()[-1000:], file=sys.stderr)
        return None
    answers: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answers


def _as_plain(study: Study) -> dict[str, Any]:
    """Return the runs as plain lists: the levels of each run, and its value."""
    return {
        "levels": study.design.levels[study.point].tolist(),
        "values": study.values.tolist(),
    }
