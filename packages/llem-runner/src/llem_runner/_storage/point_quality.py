"""How good the answers of one point are beside those of the other points of the same model."""

from __future__ import annotations

import msgspec

MAX_RATIO = 1.02
"""Of `nll` to that of the best point."""


class PointQuality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Likelihoods of one point, from its runs; None if they were not found."""

    nll: float | None = None
    """Mean negative log likelihood of a token of the fixed text, in nats: mean over the runs."""
    nll_answers: float | None = None
    """The same of a token of the point's own first answers."""
    nll_ratio_to_best: float | None = None
    """`nll` over that of the best point of the same model; 1 for the best one."""
    best_label: str | None = None
    """The point with the lowest `nll` of the same model."""
    agreement: float | None = None
    """Share of places in the fixed text where this point and the reference find the same token most
    probable."""
    reference_label: str | None = None
    """The reference: of the points of the same model with the widest type of numbers, the one with
    the lowest `nll`."""
    is_worse: bool = False
    """Whether `nll` is more than 2 % above that of the best point, or no number in a run; or whether
    `nll_answers` is far from that of the other points."""
    is_broken: bool = False
    """Whether `nll` is no number in a run."""
    nll_answers_ratio_to_median: float | None = None
    """`nll_answers` over the median of the points of the same model with the same prompts and decoding.
    Far above 1, the model finds the answers improbable; far below 1, it may repeat itself. The text is
    read without the cache and the compiled code that the answers were made with, so a fault of these
    shows here. None in a file without this field."""
    reason: str | None = None
    """Why a figure is missing."""

    @property
    def is_known(self) -> bool:
        """Whether the likelihood of the text was found, or is known to be no number."""
        return self.nll is not None or self.is_worse

    @property
    def mark(self) -> str | None:
        """Return how much worse the answers are, such as `NLL +3.1 %`; None if they are not."""
        if not self.is_worse:
            return None
        if self.is_broken or self.nll_ratio_to_best is None:
            return "no NLL"
        if self.nll_ratio_to_best > MAX_RATIO or self.nll_answers is None:
            return f"NLL +{100 * (self.nll_ratio_to_best - 1):.1f} %"
        return f"answers' NLL {self.nll_answers:.2g}"
