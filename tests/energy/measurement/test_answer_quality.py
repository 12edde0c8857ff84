"""A run of trained weights ends with the quality of its answers; an error in it loses nothing."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from energy.models import text_experiment
from energy.parts import experiment

from llem_config import Settings
from llem_config.settings import MeasurementSettings
from llem_energy import measure, read_result
from llem_energy._measurement.answer_quality import OFF, RANDOM
from llem_energy._result.answer_quality import AnswerQuality, agreement, packed
from llem_energy.records import encode_result

QUIET: dict[str, Any] = {"energy": {"sources": ["none"]}}


def test_trained_weights_have_the_likelihood_of_a_text_and_of_their_answers(
    text_model: Any, tmp_path: Path
) -> None:
    stages: list[str] = []
    result = measure(text_experiment(text_model, **QUIET), on_stage=stages.append)
    quality = result.quality
    assert quality is not None
    assert quality.reasons == ()
    assert quality.nll is not None and quality.nll > 0
    assert quality.nll_answers is not None and quality.nll_answers > 0
    # Of 44 words, the model finds its own greedy answers likelier than a word at random.
    assert quality.nll_answers < math.log(44)
    assert quality.n_tokens == 8 * 255  # 8 rows on a processor, whose first token has no context
    assert quality.n_answer_tokens == len(text_model.texts) * 12
    assert quality.duration_s is not None and quality.duration_s > 0
    assert stages[-2:] == ["quality", "result"]
    assert stages.index("window") < stages.index("quality")
    file = tmp_path / "result.json"
    file.write_bytes(encode_result(result))
    assert read_result(file).quality == quality


def test_another_precision_reads_the_same_text_and_mostly_chooses_the_same_tokens(
    text_model: Any,
) -> None:
    fp32, bf16 = (
        measure(text_experiment(text_model, precision=name, **QUIET)).quality
        for name in ("fp32", "bf16")
    )
    assert fp32 is not None and bf16 is not None
    assert fp32.tokens_sha256 == bf16.tokens_sha256
    assert fp32.nll is not None and bf16.nll is not None
    assert bf16.nll == pytest.approx(fp32.nll, rel=0.05)
    assert agreement(fp32, fp32) == 1.0
    shared = agreement(bf16, fp32)
    assert shared is not None and 0.5 < shared <= 1.0


@pytest.mark.parametrize(
    ("config", "settings", "reason"),
    [
        (experiment(**QUIET), Settings(), RANDOM),
        (None, Settings(measurement=MeasurementSettings(quality=False)), OFF),
    ],
    ids=["random weights", "off"],
)
def test_where_no_quality_is_found_the_reason_says_so(
    text_model: Any, config: Any, settings: Settings, reason: str
) -> None:
    stages: list[str] = []
    config = config or text_experiment(text_model, **QUIET)
    result = measure(config, settings=settings, on_stage=stages.append)
    assert result.quality == AnswerQuality(reasons=(reason,))
    assert "quality" not in stages


def test_a_model_without_a_tokenizer_keeps_its_result_and_the_score_of_its_answers(
    text_model: Any, tmp_path: Path
) -> None:
    for file in text_model.folder.iterdir():
        if not file.name.startswith(("token", "special")):
            shutil.copy(file, tmp_path)
    config = experiment(model=str(tmp_path), weights="pretrained", **QUIET)
    result = measure(config)
    assert result.output_tokens > 0
    quality = result.quality
    assert quality is not None
    assert quality.nll is None
    assert quality.nll_answers is not None
    (reason,) = quality.reasons
    assert reason.startswith("the likelihood of the fixed text was not found: model ")
    assert "tokenizer" in reason


def test_agreement_needs_the_same_text() -> None:
    ours = AnswerQuality(tokens_sha256="a", choices=packed([1, 2, 3, 70_000]))
    assert agreement(ours, AnswerQuality(tokens_sha256="a", choices=packed([1, 2, 4, 4464]))) == 0.5
    assert agreement(ours, AnswerQuality(tokens_sha256="b", choices=ours.choices)) is None
    assert agreement(ours, AnswerQuality(tokens_sha256="a", choices=packed([1, 2]))) is None
    assert agreement(ours, AnswerQuality(tokens_sha256="a")) is None
    assert agreement(AnswerQuality(), AnswerQuality()) is None
    assert len(packed(range(16_384))) == len(packed(range(2048)))
