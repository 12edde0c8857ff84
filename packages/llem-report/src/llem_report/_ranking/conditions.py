"""What the order and the number of cycles allow: intervals, or ratios only, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from llem_report._ranking.ranking import MIN_INTERACTION_DF, ErrorSource
from llem_report._ranking.shares import n_parameters
from llem_runner.block_model import BlockFit
from llem_runner.plan import has_constant_order

if TYPE_CHECKING:
    from llem_report._ranking.designs import Bools, Design, Floats

CONSTANT_ORDER = (
    "the points ran in the same order in all cycles, so drift of the machine looks like an effect; "
    "use cycle_order: shuffled, and more cycles if the random orders are the same by chance"
)
ONE_CYCLE = "one cycle that is not shuffled: drift of the machine looks like an effect"
UNKNOWN_ORDER = (
    "one cycle whose order is not known, because study_resolved.json cannot be read: drift of the "
    "machine may look like an effect"
)


class PlacedRun(NamedTuple):
    """A run with a figure: what ran, and when in the study."""

    point: int
    block: int
    position: int
    """In the order of the study; later runs have larger numbers."""


def error_source(
    runs: Sequence[PlacedRun], cycle_order: str, design: Design, nested: Bools
) -> tuple[ErrorSource, str | None]:
    """Return where errors can come from, and why there are none.

    Args:
        runs: the runs that have the figure.
        cycle_order: as in the study file, or `unknown`.
        design: the levels of the P points.
        nested: shape (K, K), from `nesting`.
    """
    n_runs = Counter(run.point for run in runs)
    n_single = sum(n == 1 for n in n_runs.values())
    several = len({run.block for run in runs}) > 1
    if several and (cycle_order == "sequential" or is_constant(runs)):
        return "none", CONSTANT_ORDER
    if several and 2 * n_single <= len(n_runs):
        return "runs", None
    if cycle_order != "shuffled":
        return "none", UNKNOWN_ORDER if cycle_order == "unknown" else ONE_CYCLE
    df = max(len(n_runs) - n_parameters(design, nested), 0)
    if df < MIN_INTERACTION_DF:
        found = "only one cycle" if not several else "more than half of the points ran only once"
        return "none", (
            f"{found}, and the {len(n_runs)} points leave {df} degree{'s' * (df != 1)} of freedom beyond two-way "
            f"interactions, fewer than {MIN_INTERACTION_DF}; run at least 2 cycles"
        )
    return "interactions", None


def is_constant(runs: Sequence[PlacedRun]) -> bool:
    """Return whether the points ran in the same order in every block, as far as they ran."""
    blocks: dict[int, list[int]] = {}
    for run in sorted(runs, key=lambda run: run.position):
        blocks.setdefault(run.block, []).append(run.point)
    return has_constant_order(blocks.values())


def drift_caveats(fit: BlockFit, in_order: Sequence[int]) -> Iterator[str]:
    """Yield a sentence if runs next to each other are alike, once point and cycle are removed.

    Args:
        fit: the fitted runs.
        in_order: positions of the N runs in the order in which they ran.
    """
    residuals: Floats = fit.residuals[list(in_order)]
    squares = float((residuals**2).sum())
    if fit.df < 1 or squares <= 1e-24 * len(residuals):
        return
    lag1 = float((residuals[1:] * residuals[:-1]).sum()) / squares
    if lag1 > 2 / len(residuals) ** 0.5:
        yield (
            f"runs next to each other are alike (lag-1 autocorrelation {lag1:.2f}), so the machine "
            "drifted within cycles and the intervals are too narrow"
        )
