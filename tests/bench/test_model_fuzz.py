"""A short run of `benchmarks/model_fuzz.py`: broken models are refused in a sentence or measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import model_fuzz

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # from peft, about transformers


@pytest.mark.slow
def test_a_few_broken_models_are_refused_in_a_sentence_or_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    outcomes, wrong = model_fuzz.failures(20_261_128, range(40))
    assert not wrong, wrong[0]
    assert outcomes["measured"] > 3
    assert outcomes["refused before the run"] > 5


def test_a_case_is_reproducible_from_its_number(tmp_path: Path) -> None:
    first = [model_fuzz.case(1, n) for n in range(50)]
    assert first == [model_fuzz.case(1, n) for n in range(50)]
    assert len({(broken.target, broken.change) for broken in first}) > 10


def test_an_error_of_a_library_is_a_failed_case(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(config: object) -> None:
        raise ZeroDivisionError("in the library")

    monkeypatch.setattr(model_fuzz, "_answer", fails)
    outcomes, (wrong, *_) = model_fuzz.failures(1, range(1))
    assert outcomes["WRONG"] == 1
    assert "ZeroDivisionError: in the library" in wrong
