"""The table of counters with flaws: isolated loads on GPUs whose counter is not ideal.

Each row is one behaviour of a counter; a cell has a value for each length of windows. A window whose
only reason is that it is short counts as not flagged, also where it is compared with its bound. All
meters measure the same windows on the virtual clock, so nothing waits. The behaviours are
independent processes; with `--only`, several calls divide them.
"""

from __future__ import annotations

import math
import os
import random
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.energy.bench import Bench, verdict
from benchmarks.energy.flawed_counters import BEHAVIOURS, IDLE_W, Behaviour, load
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.run import Measured, Missing

_LENGTHS_S = (1.0, 2.0, 5.0, 10.0)
_FAR_GUARD = 0.5  # percent
_COVERED = 0.93, 0.99
_MAX_FALSE = 0.02
HEADER = (
    "counter",
    "median error, %",
    "worst error, %",
    "median bound, %",
    "flagged, %",
    "ok but off",
    "in uncertainty (if known to see all), %",
    "median uncertainty, J",
    "far guard, worst, %",
    "Zeus, median (worst), %",
    "CodeCarbon",
    "met",
)
_WIDE = ": the bound is "  # in the reason of a wide bound


_PEERS = (peer_runs.zeus_windows, peer_runs.codecarbon_windows)


@dataclass(frozen=True, slots=True)
class FlawRow:
    """A row of the table: for each length of windows, what our meter and the peers measured."""

    name: str
    behaviour: Behaviour
    lengths: tuple[_Windows, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the row."""
        each = self.lengths
        peers = [" / ".join(length.peers[i] for length in each) for i in range(len(_PEERS))]
        return (
            self.name,
            " / ".join(
                _percent(length.errors and statistics.median(length.errors)) for length in each
            ),
            " / ".join(_percent(length.errors and max(length.errors, key=abs)) for length in each),
            " / ".join(_number(length.bound) for length in each),
            " / ".join(f"{100 * length.flagged:.3g}" for length in each),
            str(sum(length.n_silent for length in each)),
            _covered(self.covered)
            + ("" if self.covered_if_seen is None else f" ({_covered(self.covered_if_seen)})"),
            " / ".join(_number(length.uncertainty_j) for length in each),
            " / ".join(_percent(length.far and max(length.far, key=abs)) for length in each),
            peers[0],
            "the same" if peers[0] == peers[1] else peers[1],
            verdict(self.is_met()) + self._width(),
        )

    def _width(self) -> str:
        """Return whether the uncertainty is larger than it need be."""
        if (self.covered or 0.0) <= _COVERED[1]:
            return ""
        # If the counter were known to see all, it would not be.
        is_part_time = self.covered_if_seen is not None and self.covered_if_seen <= _COVERED[1]
        return " (wide: part-time)" if is_part_time else " (wide)"

    @property
    def covered(self) -> float | None:
        """The share of windows with an uncertainty in which it holds; None without such windows."""
        return _share([length.covered for length in self.lengths])

    @property
    def covered_if_seen(self) -> float | None:
        """The same, of a counter that is known to observe the board all the time; None if it is."""
        is_known = self.behaviour.is_checked or self.behaviour.gpu.counter_seen_s
        return None if is_known else _share([length.covered_if_seen for length in self.lengths])

    def is_met(self) -> bool:
        """Return whether the goals of every length are reached."""
        last = self.lengths[-1]
        far_is_right = max(map(abs, last.far), default=math.inf) <= _FAR_GUARD
        return (
            all(length.n_silent == 0 for length in self.lengths)
            and (not self.behaviour.is_ideal or all(w.flagged <= _MAX_FALSE for w in self.lengths))
            and (not self.behaviour.lags or far_is_right)
            and (self.covered is None or self.covered >= _COVERED[0])
        )


@dataclass(frozen=True, slots=True)
class _Windows:
    """What windows of one length have shown; errors in percent."""

    errors: Sequence[float]
    bound: float | None
    flagged: float
    n_silent: int  # off by more than the bound, and not flagged
    covered: tuple[int, int]  # windows within the uncertainty, of those that have one
    covered_if_seen: tuple[int, int]  # the same, if the counter is known to observe all
    uncertainty_j: float | None
    far: Sequence[float]  # of the far guard
    peers: Sequence[str]


def flaws(bench: Bench) -> Iterator[FlawRow]:
    """Return the errors, bounds and flags of isolated loads for every behaviour of a counter."""

    def measure(name: str) -> FlawRow:
        return FlawRow(name, BEHAVIOURS[name], _measured(bench, name))

    # Most of the time is the start of processes.
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        yield from pool.map(measure, [name for name in BEHAVIOURS if bench.only in name])


def _measured(bench: Bench, name: str) -> tuple[_Windows, ...]:
    """Measure windows of all lengths in a row with each meter."""
    behaviour, n = BEHAVIOURS[name], bench.n_flaws
    seed = name + bench.seed
    rng = random.Random(seed)
    # If a window lasted a whole number of updates, the errors of its two ends would cancel.
    lengths_s = [length_s * rng.uniform(0.9, 1.1) for length_s in _LENGTHS_S for _ in range(n)]
    request = {
        "idle_w": IDLE_W,
        "ripple": behaviour.ripple,
        "seed": seed,
        "loads": [load(behaviour, each_s, rng) for each_s in lengths_s],
        "step_s": behaviour.step_s or None,
        "is_checked": behaviour.is_checked,
        "late_s": behaviour.possible_delay_s,
    }
    answer = bench.run_our_side("guarded", [behaviour.gpu], request)
    ours = answer["windows"]
    gpu = replace(behaviour.gpu, points=tuple(map(tuple, answer["points"])))
    spans = [tuple(each["window"]) for each in ours]
    theirs = [energies(bench.peers, gpu, spans) if bench.has_peers else None for energies in _PEERS]
    return tuple(
        _summary(
            ours[n * i : n * (i + 1)],
            [each[n * i : n * (i + 1)] if isinstance(each, list) else each for each in theirs],
        )
        for i in range(len(_LENGTHS_S))
    )


def _summary(
    ours: Sequence[dict[str, Any]], theirs: Sequence[Sequence[Measured] | Missing | None]
) -> _Windows:
    measured = [w for w in ours if w["energy_j"] is not None]
    bounds = [100 * w["bound_j"] / w["truth_j"] for w in measured if w["bound_j"] is not None]
    given = [w for w in measured if w["uncertainty_j"] is not None]
    return _Windows(
        errors=[_error(w["energy_j"], w) for w in measured],
        bound=statistics.median(bounds) if bounds else None,
        flagged=sum(map(_is_flagged, ours)) / len(ours),
        n_silent=sum(_off(w) and not _is_flagged(w) for w in measured),
        covered=_held(given, "uncertainty_j"),
        covered_if_seen=_held(measured, "uncertainty_if_seen_j"),
        uncertainty_j=statistics.median(w["uncertainty_j"] for w in given) if given else None,
        far=[_error(w["far_guard_j"], w) for w in ours if w["far_guard_j"] is not None],
        peers=[_theirs(each, ours) for each in theirs],
    )


def _held(windows: Sequence[dict[str, Any]], key: str) -> tuple[int, int]:
    """Return how many windows are within an uncertainty, of how many that have one."""
    given = [w for w in windows if w[key] is not None]
    return sum(abs(w["energy_j"] - w["truth_j"]) <= w[key] for w in given), len(given)


def _share(counts: Sequence[tuple[int, int]]) -> float | None:
    n_given = sum(n_given for _, n_given in counts)
    return sum(n_held for n_held, _ in counts) / n_given if n_given else None


def _error(energy_j: float, answer: dict[str, Any]) -> float:
    return float(100 * (energy_j / answer["truth_j"] - 1))


def _off(answer: dict[str, Any]) -> bool:
    """Return whether a window is off by more than its bound; an energy without one is flagged."""
    if answer["bound_j"] is None:
        return False
    return bool(abs(answer["energy_j"] - answer["truth_j"]) > answer["bound_j"])


def _is_flagged(answer: dict[str, Any]) -> bool:
    reasons = answer["reasons"]
    return answer["energy_j"] is None or any(_WIDE not in reason for reason in reasons)


def _theirs(theirs: Sequence[Measured] | Missing | None, ours: Sequence[dict[str, Any]]) -> str:
    if theirs is None:
        return "-"
    if isinstance(theirs, Missing):
        return theirs.reason[:60]
    errors = [_error(m.energy_j or 0.0, w) for m, w in zip(theirs, ours, strict=True)]
    return f"{_percent(statistics.median(errors))} ({_percent(max(errors, key=abs))})"


def _percent(error: Any) -> str:
    """Return a signed error; without windows there is none."""
    return f"{error:+.2g}" if isinstance(error, float) else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _covered(share: float | None) -> str:
    return "none given" if share is None else f"{100 * share:.3g}"
