"""How good the answers of a model are at one point, so that a cheaper point is not just a broken one.

A fixed text and the model's own answers are read by the model once more, after everything that is
measured. Their mean negative log likelihood compares points of one model; it says nothing about how
good the model is for a task.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

_MAX_CHOICES = 2048
_BYTES = 3  # of an id of a token
NO_NUMBER = "the likelihood of {} is not a number"
FIXED_TEXT = "the fixed text"


class AnswerQuality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Likelihoods under the model of the run; None if they were not computed."""

    nll: float | None = None
    """Mean negative log likelihood of a token of the fixed text, in nats."""
    n_tokens: int | None = None
    """Tokens of the fixed text that `nll` is the mean of."""
    nll_answers: float | None = None
    """Mean negative log likelihood of a token of the run's first answers, in nats."""
    n_answer_tokens: int | None = None
    """Tokens of answers that `nll_answers` is the mean of."""
    tokens_sha256: str | None = None
    """Of the ids of the fixed text's tokens: only equal ones compare."""
    choices: bytes | None = None
    """The most probable token at up to 2,048 places of the fixed text, each as 3 bytes; base64 in the
    file."""
    duration_s: float | None = None
    """Time that this took, after the window."""
    reasons: tuple[str, ...] = ()
    """Why a figure is missing."""

    @property
    def is_broken(self) -> bool:
        """Whether the model finds a text whose likelihood is no number, so that it computes nonsense."""
        return any(reason.startswith(NO_NUMBER.format(FIXED_TEXT)) for reason in self.reasons)


def packed(choices: Sequence[int]) -> bytes:
    """Return ids of tokens as bytes: all, or 2,048 of them at equal distances."""
    n_kept = min(len(choices), _MAX_CHOICES)
    kept = (choices[i * len(choices) // n_kept] for i in range(n_kept))
    return b"".join(token.to_bytes(_BYTES, "big") for token in kept)


def agreement(quality: AnswerQuality, reference: AnswerQuality) -> float | None:
    """Return the share of places in the fixed text where both would choose the same token.

    Both have read the same tokens before each place, so one difference does not cause the next one.
    None if they did not read the same text.
    """
    if quality.tokens_sha256 is None or quality.tokens_sha256 != reference.tokens_sha256:
        return None
    ours, theirs = quality.choices or b"", reference.choices or b""
    if not ours or len(ours) != len(theirs):
        return None
    places = range(0, len(ours), _BYTES)
    return sum(ours[i : i + _BYTES] == theirs[i : i + _BYTES] for i in places) / len(places)
