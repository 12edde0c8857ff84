"""Reads a fixed text and the answers of the window once more, to see whether the model still works.

It runs after everything that is measured, and an error in it must not lose what was measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from llem_config import ExperimentConfig
from llem_energy._backends.protocol import Backend, Batch, Generation, ScoresText, TextScore
from llem_energy._prompts.fixed_text import fixed_text
from llem_energy._result.answer_quality import FIXED_TEXT, NO_NUMBER, AnswerQuality, packed

_N_COLUMNS = 256
_N_ROWS, _N_ROWS_CPU = 64, 8  # a processor needs a minute for 64 rows of a model of 0.5 billion
OFF = "the setting measurement.quality is off"
RANDOM = "the weights are random, so the answers mean nothing at any precision"


def why_no_quality(config: ExperimentConfig, backend: Backend, *, is_on: bool) -> str | None:
    """Return why the quality of the answers is not found; None if it is.

    Args:
        config: the experiment.
        backend: of it.
        is_on: the setting `measurement.quality`.
    """
    if not is_on:
        return OFF
    if config.weights == "random":
        return RANDOM
    if not isinstance(backend, ScoresText):
        return f"the backend {config.backend} does not report how probable its model finds a text"
    return None


def answer_quality(
    backend: Backend, generated: Sequence[tuple[Batch, Generation]], *, on_gpu: bool
) -> AnswerQuality:
    """Return the likelihood of the fixed text and of the first answers.

    Args:
        backend: after the window; it is a `ScoresText`.
        generated: the batches of the first pass.
        on_gpu: whether the model runs on GPUs; a processor reads an eighth of the text.
    """
    if not isinstance(backend, ScoresText):
        raise TypeError("expected a backend that scores text")
    start_s = time.perf_counter()
    n_rows = _N_ROWS if on_gpu else _N_ROWS_CPU
    reasons: list[str] = []
    text = _tried(
        FIXED_TEXT, lambda: backend.score_text(fixed_text(), (n_rows, _N_COLUMNS)), reasons
    )
    answers = _tried(
        "the answers",
        lambda: _first_answers(backend, generated, n_rows * _N_COLUMNS),
        reasons,
    )
    return AnswerQuality(
        nll=None if text is None else text.nll / text.n_tokens,
        n_tokens=None if text is None else text.n_tokens,
        nll_answers=None if answers is None else answers.nll / answers.n_tokens,
        n_answer_tokens=None if answers is None else answers.n_tokens,
        tokens_sha256=None if text is None else text.tokens_sha256,
        choices=packed(text.choices) if text is not None and text.choices else None,
        duration_s=time.perf_counter() - start_s,
        reasons=tuple(reasons),
    )


def _first_answers(
    backend: ScoresText, generated: Sequence[tuple[Batch, Generation]], max_tokens: int
) -> TextScore:
    """Score the answers of as many batches as have this many tokens with their prompts."""
    nll, n_scored, n_left = 0.0, 0, max_tokens
    for batch, generation in generated:
        score = backend.score_answers(batch, generation, n_left)
        nll, n_scored = nll + score.nll, n_scored + score.n_tokens
        n_left -= sum(batch.lengths) + sum(generation.n_tokens())
        if n_left <= 0:
            break
    return TextScore(nll, n_scored)


def _tried(what: str, score: Callable[[], TextScore], reasons: list[str]) -> TextScore | None:
    """Return a score that is a number, or add the reason why there is none."""
    try:
        found = score()
    except Exception as error:  # noqa: BLE001  # it must not lose the window
        text = " ".join(str(error).split()) or type(error).__name__
        reasons.append(f"the likelihood of {what} was not found: {text}")
        return None
    if found.n_tokens < 1 or not math.isfinite(found.nll):
        found_text = f"{found.nll} over {found.n_tokens} tokens"
        reasons.append(f"{NO_NUMBER.format(what)}: {found_text}")
        return None
    return found
