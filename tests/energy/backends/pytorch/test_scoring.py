"""The likelihood of a text and of outputs equals that of a slow reference, token by token."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from energy.conftest import WORDS
from energy.models import text_experiment
from energy.parts import experiment, loaded

from llem_energy import BackendError
from llem_energy._backends.pytorch.scoring import score_text
from llem_energy._prompts.fixed_text import fixed_text

TEXT = " ".join(WORDS[(7 * i) % 40] for i in range(50))


def reference(model: Any, ids: list[int], n_given: int) -> tuple[float, list[int]]:
    """Return the negative log likelihood of the tokens after the first, and the likeliest ones."""
    nll, choices = 0.0, []
    with torch.inference_mode():
        for place in range(n_given, len(ids)):
            logits = model(input_ids=torch.tensor([ids[:place]]), use_cache=False).logits[0, -1]
            nll -= float(torch.log_softmax(logits.double(), dim=-1)[ids[place]])
            choices.append(int(logits.argmax()))
    return nll, choices


def test_a_text_is_scored_in_rows(text_model: Any) -> None:
    backend = loaded(text_experiment(text_model))
    score = backend.score_text(TEXT, (3, 12))
    ids = backend._tokenise([TEXT])[0]
    rows = [reference(backend._model, ids[start : start + 12], 1) for start in (0, 12, 24)]
    assert score.nll == pytest.approx(sum(nll for nll, _ in rows), rel=1e-5)
    assert score.n_tokens == 3 * 11
    assert list(score.choices) == [token for _, choices in rows for token in choices]
    # All whole rows that the text has, and a digest of what was read.
    longer = backend.score_text(TEXT, (64, 12))
    assert longer.n_tokens == 4 * 11
    assert longer.tokens_sha256 != score.tokens_sha256
    assert backend.score_text(TEXT, (3, 12)) == score


def test_each_row_begins_with_the_start_token_if_the_tokenizer_adds_one(text_model: Any) -> None:
    import tokenizers
    import transformers

    backend = loaded(text_experiment(text_model))
    tokenizer = transformers.AutoTokenizer.from_pretrained(text_model.folder)
    tokenizer.bos_token = "<s>"
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    score = score_text(backend._model, tokenizer, TEXT, (2, 12), torch.device("cpu"))
    rows = [reference(backend._model, [1, *ids[start : start + 11]], 1) for start in (0, 11)]
    assert score.n_tokens == 2 * 11
    assert score.nll == pytest.approx(sum(nll for nll, _ in rows), rel=1e-5)


def test_rows_are_within_the_context_of_the_model(text_model: Any) -> None:
    backend = loaded(text_experiment(text_model))
    backend._model.config.max_position_embeddings = 10
    assert backend.score_text(TEXT, (2, 256)).n_tokens == 2 * 9


def test_a_text_that_is_too_short_has_no_score(text_model: Any) -> None:
    backend = loaded(text_experiment(text_model))
    with pytest.raises(BackendError, match="expected a text of at least 60 tokens"):
        backend.score_text(TEXT, (2, 60))


@pytest.mark.parametrize("options", [{}, {"torch_compile": True, "torch_compile_backend": "eager"}])
def test_outputs_are_scored_after_their_prompts(text_model: Any, options: Any) -> None:
    config = text_experiment(
        text_model, pytorch={"batch_size": 3, **options}, decoder={"ignore_eos": False}
    )
    backend = loaded(config)
    batch = backend.prepare(list(text_model.texts)).batches[0]
    generation = backend.generate(batch)
    n_compiled = backend.compilations()
    score = backend.score_answers(batch, generation, 10**6)
    prompts = backend._tokenise(list(text_model.texts[:3]))
    answers = generation.tokens()
    assert [len(answer) for answer in answers] == list(generation.n_tokens())
    expected = [
        reference(backend._model, prompt + answer, len(prompt))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    assert score.nll == pytest.approx(sum(nll for nll, _ in expected), rel=1e-5)
    assert score.n_tokens == sum(map(len, answers))
    # Each output is the likeliest one.
    assert [choices for _, choices in expected] == answers
    if not options:
        assert backend.compilations() == n_compiled
    first = len(prompts[0]) + len(answers[0])
    assert backend.score_answers(batch, generation, first).n_tokens == len(answers[0])
    assert backend.score_answers(batch, generation, first + 1).n_tokens == sum(
        map(len, answers[:2])
    )


def test_a_model_without_a_tokenizer_has_no_score_of_a_text() -> None:
    with pytest.raises(BackendError, match="no tokenizer"):
        loaded(experiment()).score_text(TEXT, (2, 12))


def test_the_fixed_text_is_long_enough_for_64_rows_of_256_tokens() -> None:
    """Tokenizers of current models have about 4.6 characters of English per token, at most 5."""
    text = fixed_text()
    assert len(text) > 64 * 256 * 5
    assert all(each.isprintable() or each == "\n" for each in text)
