"""A point whose answers are worse than those of the same model at another point is marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.swept_study import Measured, run_swept_study

from llem_energy._result.answer_quality import packed
from llem_energy.records import AnswerQuality
from llem_runner import read_study_result
from llem_runner.records import PointQuality, ScoredPoint, point_qualities, worse_answers


def point(label: str, *nlls: float | None, **changes: Any) -> ScoredPoint:
    """Return a point of one model; `text` and `choices` are those of its runs."""
    text, choices = changes.pop("text", "a" * 64), changes.pop("choices", [1, 2, 3, 4])
    config = {"model": "m", "precision": "bf16", **changes}
    qualities = tuple(
        AnswerQuality(nll=nll, tokens_sha256=text, choices=packed(choices), nll_answers=0.5)
        for nll in nlls
    )
    return ScoredPoint(label, config, qualities)


def found(*points: ScoredPoint) -> list[PointQuality]:
    qualities = point_qualities(points)
    assert all(quality is not None for quality in qualities)
    return [quality for quality in qualities if quality is not None]


def test_more_than_two_per_cent_above_the_best_point_is_worse() -> None:
    best, near, worse = found(point("a", 2.0, 2.0), point("b", 2.039), point("c", 2.05, 2.07))
    assert (best.nll_ratio_to_best, best.is_worse, best.mark) == (1.0, False, None)
    assert near.nll_ratio_to_best == pytest.approx(1.0195)
    assert not near.is_worse
    assert worse.nll == pytest.approx(2.06)
    assert worse.nll_ratio_to_best == pytest.approx(1.03)
    assert (worse.is_worse, worse.mark, worse.best_label) == (True, "NLL +3.0 %", "a")
    (sentence,) = worse_answers([("a", best), ("b", near), ("c", worse), ("d", None)])
    assert sentence.startswith("the answers of c are worse: NLL +3.0 % over a on a fixed text")


@pytest.mark.parametrize(
    "changes",
    [{"model": "other"}, {"lora": {"adapter": "x"}}, {"text": "b" * 64}],
    ids=["another model", "an adapter", "another text"],
)
def test_only_points_of_one_model_that_read_the_same_text_compare(changes: Any) -> None:
    for quality in found(point("a", 2.0), point("b", 3.0, **changes)):
        assert (quality.nll_ratio_to_best, quality.is_worse) == (1.0, False)


def test_agreement_is_with_the_widest_type_of_numbers_even_if_another_point_is_better() -> None:
    narrow, wide = found(
        point("bf16", 1.99, choices=[1, 2, 3, 9]),
        point("fp32", 2.0, precision="fp32", choices=[1, 2, 3, 4]),
    )
    assert (narrow.best_label, narrow.reference_label) == ("bf16", "fp32")
    assert (narrow.agreement, wide.agreement) == (0.75, 1.0)
    # Of several, the one with the lowest likelihood lost: a quantised one has more.
    assert found(point("int8", 2.1), point("plain", 2.0))[0].reference_label == "plain"


def test_what_is_missing_has_its_reason() -> None:
    why = ScoredPoint("a", {}, (AnswerQuality(reasons=("the weights are random",)),))
    none = ScoredPoint("b", {}, ())
    without_choices = point("c", 2.0, choices=[])
    alone, nothing, third = point_qualities([why, none, without_choices])
    assert alone == PointQuality(reason="the weights are random")
    assert nothing is None
    assert third is not None
    assert third.agreement is None
    assert third.reason == "no agreement: the runs have no most probable tokens"


def test_a_text_without_a_finite_likelihood_is_worse_than_any() -> None:
    reason = "the likelihood of the fixed text is not a number: nan over 2040 tokens"
    broken = ScoredPoint("fp16", {"model": "m"}, (AnswerQuality(reasons=(reason,)),))
    good, bad = found(point("bf16", 2.0), broken)
    assert (good.is_worse, bad.is_worse, bad.mark, bad.reason) == (False, True, "no NLL", reason)
    (sentence,) = worse_answers([("bf16", good), ("fp16", bad)])
    assert sentence.startswith("the answers of fp16 cannot be trusted: the likelihood of a fixed")


def test_answers_that_the_model_itself_finds_improbable_are_worse() -> None:
    """The text is read without the cache and the code that the answers were made with."""

    def answering(label: str, nll_answers: float, **changes: Any) -> ScoredPoint:
        quality = AnswerQuality(nll=2.0, tokens_sha256="a" * 64, nll_answers=nll_answers)
        return ScoredPoint(label, {"model": "m", "precision": "bf16", **changes}, (quality,))

    hot = {"decoder": {"do_sample": True, "temperature": 2.0}}
    good, near, bad, sampled = found(
        answering("dynamic", 0.3), answering("static", 0.5), answering("quantized", 4.2),
        answering("hot", 3.0, **hot),
    )  # fmt: skip
    assert [each.is_worse for each in (good, near, bad, sampled)] == [False, False, True, False]
    assert (bad.nll_ratio_to_best, bad.mark) == (1.0, "answers' NLL 4.2")
    assert bad.nll_answers_ratio_to_median == pytest.approx(8.4)
    assert sampled.nll_answers_ratio_to_median == 1.0
    (sentence,) = worse_answers([("quantized", bad), ("static", near)])
    assert "finds them less probable (mean NLL of a token 4.2, 8.4 x the median)" in sentence


def test_answers_that_repeat_themselves_do_not_make_the_others_worse() -> None:
    def answering(label: str, nll_answers: float, **pytorch: Any) -> ScoredPoint:
        quality = AnswerQuality(nll=2.0, tokens_sha256="a" * 64, nll_answers=nll_answers)
        config = {"model": "m", "precision": "bf16", "pytorch": pytorch}
        return ScoredPoint(label, config, (quality,))

    points = [answering(*each) for each in (("dynamic", 1.5), ("static", 1.55), ("broken", 0.1))]
    dynamic, static, broken = found(*points)
    assert [each.is_worse for each in (dynamic, static, broken)] == [False, False, True]
    (sentence,) = worse_answers([("dynamic", dynamic), ("broken", broken)])
    assert "finds them more probable" in sentence


@pytest.mark.parametrize("nll_answers", [None, 0.3])
def test_a_point_with_one_broken_run_of_three_has_no_likelihood(nll_answers: float | None) -> None:
    reason = "the likelihood of the fixed text is not a number: nan over 2040 tokens"
    broken = AnswerQuality(reasons=(reason,))
    fine = AnswerQuality(nll=2.0, tokens_sha256="a" * 64, nll_answers=nll_answers)
    config = {"model": "m", "precision": "bf16"}
    (mixed,) = found(ScoredPoint("fp16", config, (fine, broken, fine)))
    assert (mixed.is_broken, mixed.is_worse, mixed.mark) == (True, True, "no NLL")
    (sentence,) = worse_answers([("fp16", mixed)])
    assert "is no number in some of its runs" in sentence


def test_the_reference_is_not_packed_if_another_point_is_not() -> None:
    packed_point = point("nf4", 1.99, pytorch={"load_in_4bit": True})
    assert found(packed_point, point("bf16", 2.0))[0].reference_label == "bf16"


def test_a_study_marks_its_worse_points_and_drops_none(tmp_path: Path) -> None:
    result = run_swept_study(tmp_path, Measured(nll_of_bf16=2.6))
    assert result.folder is not None
    assert read_study_result(result.folder).summary == result.summary
    marks = {each.label: each.quality for each in result.summary.points}
    assert len(marks) == 8
    for label, quality in marks.items():
        assert quality is not None
        is_bf16 = "precision=bf16" in label
        assert quality.mark == ("NLL +4.0 %" if is_bf16 else None)
        assert quality.agreement == (0.75 if is_bf16 else 1.0)
    comparisons = result.summary.comparisons
    assert comparisons is not None
    assert len(comparisons.points) == 7
    said = [caveat for caveat in comparisons.caveats if "are worse: NLL +4.0 %" in caveat]
    assert len(said) == 4


def test_a_study_without_worse_points_has_no_caveat(tmp_path: Path) -> None:
    comparisons = run_swept_study(tmp_path, Measured(nll_of_bf16=2.51)).summary.comparisons
    assert comparisons is not None
    assert not [caveat for caveat in comparisons.caveats if "worse" in caveat]
