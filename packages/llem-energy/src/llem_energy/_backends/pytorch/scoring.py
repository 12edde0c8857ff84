"""How probable a model finds tokens: of a text that it is given, and of its own answers.

The model is called as a whole, with its weights, precision and attention, but never compiled:
another shape would be compiled for minutes.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from typing import Any

import torch

from llem_energy._backends.protocol import TextScore
from llem_energy._errors import BackendError

_MAX_LOGITS = 2**27  # computed at once: half a gigabyte in fp32


def score_text(
    model: Any, tokenizer: Any, text: str, shape: tuple[int, int], device: torch.device
) -> TextScore:
    """Return how probable a model finds the first tokens of a text, in rows of equal length.

    Args:
        model: as loaded.
        tokenizer: of the model.
        text: long enough for some rows.
        shape: maximum number of rows, and of tokens in each.
        device: of the inputs.

    Raises:
        BackendError: the tokenizer or the model cannot be used for this.
    """
    n_rows, n_columns = shape
    n_columns = min(n_columns, _context_length(model) or n_columns)
    start = _start_tokens(tokenizer)
    ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    n_text = n_columns - len(start)
    rows = [
        start + ids[first : first + n_text]
        for first in range(0, min(len(ids) - n_text + 1, n_rows * n_text), n_text)
    ]
    if not rows or n_text < 2:
        raise BackendError(
            f"expected a text of at least {n_columns} tokens in the tokenizer of the model, found "
            f"{len(ids)}"
        )
    n_given = max(len(start), 1)
    per_call = max(1, _MAX_LOGITS // (n_columns * _vocabulary_size(model)))
    nll, choices = 0.0, []
    for first in range(0, len(rows), per_call):
        tokens = torch.tensor(rows[first : first + per_call], device=device)
        part, chosen = _score(model, tokens, n_given)
        nll += part
        choices += chosen
    digest = hashlib.sha256(b"".join(token.to_bytes(8, "big") for row in rows for token in row))
    return TextScore(nll, len(rows) * (n_columns - n_given), tuple(choices), digest.hexdigest())


def score_answers(
    model: Any, rows: Iterable[tuple[list[int], list[int]]], max_tokens: int, device: torch.device
) -> TextScore:
    """Return how probable a model finds answers to prompts, one after the other.

    Args:
        model: as loaded.
        rows: token ids of each prompt and of its answer.
        max_tokens: of prompts and answers, after which no further one is read.
        device: of the inputs.
    """
    nll, n_tokens, n_read = 0.0, 0, 0
    for prompt, answer in rows:
        part, _ = _score(model, torch.tensor([prompt + answer], device=device), len(prompt))
        nll += part
        n_tokens += len(answer)
        n_read += len(prompt) + len(answer)
        if n_read >= max_tokens:
            break
    return TextScore(nll, n_tokens)


def _score(model: Any, tokens: Any, n_given: int) -> tuple[float, list[int]]:
    """Return the summed negative log likelihood of all tokens but the first, and the likeliest ones.

    Args:
        model: as loaded.
        tokens: shape (rows, columns), without padding.
        n_given: tokens of each row that are not scored; at least 1.
    """
    n_scored = tokens.shape[1] - n_given
    arguments = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "use_cache": False}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        arguments["logits_to_keep"] = n_scored + 1
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        logits = model(**arguments).logits[:, -n_scored - 1 : -1]
        nll, choices = 0.0, []
        for row, targets in zip(logits, tokens[:, n_given:].to(logits.device), strict=True):
            nll += float(torch.nn.functional.cross_entropy(row.float(), targets, reduction="sum"))
            choices += row.argmax(dim=-1).tolist()
    return nll, choices


def _start_tokens(tokenizer: Any) -> list[int]:
    """Return what the tokenizer puts before each text; models have learnt to expect it."""
    first = tokenizer.bos_token_id
    return [first] if first is not None and list(tokenizer("a")["input_ids"])[:1] == [first] else []


def _context_length(model: Any) -> int | None:
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return length if isinstance(length, int) and length > 0 else None


def _vocabulary_size(model: Any) -> int:
    size: int = model.config.get_text_config().vocab_size
    return size
