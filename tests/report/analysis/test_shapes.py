"""Issue 13: studies of every design are ranked, or a sentence says what cannot be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report.analysis.test_analyse import factor, holds
from report.analysis.truths import Effects, Truth, study

from llem_report import analyse
from llem_report.records import Analysis

SWEEP = "sweep: {precision: [fp32, bf16], n: [1, 2, 3]}\n"
TRUTH: Effects = {"precision": {"fp32": 1.3}, "n": {1: 1.0, 2: 1.5, 3: 1.2}}


def unranked(analysis: Analysis, reason: str) -> None:
    """Check that there are no ranks, and why."""
    assert analysis.reason is not None
    assert reason in analysis.reason
    assert analysis.finding == f"Which choice matters most cannot be told: {analysis.reason}."
    assert all(each.rank_low is None for each in analysis.factors)
    assert all(each.verdict == "cannot_be_told" for each in analysis.factors)
    assert not analysis.dependences


def test_one_point_has_no_ranking(tmp_path: Path) -> None:
    analysis = analyse(study(tmp_path, "", Truth({})))
    unranked(analysis, "the study has only one point")
    (point,) = analysis.points
    assert (point.n_runs, point.value is not None, point.ratio_to_best) == (3, True, None)
    assert len(analysis.runs) == 3


def test_one_choice_is_first(tmp_path: Path) -> None:
    analysis = analyse(study(tmp_path, "sweep: {precision: [fp32, bf16]}\n", Truth(TRUTH), 5))
    (only,) = analysis.factors
    assert (only.key, only.rank_low, only.rank_high) == ("precision", 1, 1)
    assert holds(only.effect, 1.3)


def test_two_points_in_two_cycles_have_a_wide_interval(tmp_path: Path) -> None:
    for seed in range(40):  # until both cycles have another order, which half of the studies have
        place = tmp_path / str(seed)
        place.mkdir()
        text = f"random_seed: {seed}\nsweep: {{precision: [fp32, bf16]}}\n"
        analysis = analyse(study(place, text, Truth(TRUTH, seed=seed), 2))
        if analysis.reason is None:
            break
        assert "in the same order in all cycles" in analysis.reason
    effect = analysis.factors[0].effect
    assert effect is not None
    assert effect.ci95_low is not None
    assert effect.ci95_high is not None
    assert effect.ci95_high / effect.ratio > 1.02  # one degree of freedom


@pytest.mark.parametrize("order", ["sequential", "interleaved"])
def test_the_same_order_in_all_cycles_is_refused(tmp_path: Path, order: str) -> None:
    analysis = analyse(study(tmp_path, SWEEP, Truth(TRUTH), execution=f", cycle_order: {order}"))
    unranked(analysis, "the points ran in the same order in all cycles")
    effect = factor(analysis, "precision").effect
    assert effect is not None
    assert effect.ratio == pytest.approx(1.3, rel=0.02)
    assert effect.ci95_low is None
    assert analysis.detectable_ratio is None


def test_one_cycle_of_a_small_study_has_ratios_only(tmp_path: Path) -> None:
    analysis = analyse(study(tmp_path, SWEEP, Truth(TRUTH), 1))
    unranked(analysis, "only one cycle, and the 6 points leave 0 degrees of freedom")
    assert len(analysis.factors) == 2


def test_one_shuffled_cycle_of_a_large_study_has_intervals(tmp_path: Path) -> None:
    text = (
        "sweep: {precision: [fp32, bf16], n: [1, 2, 3], max_input_tokens: [8, 16, 24], "
        "max_output_tokens: [4, 8]}\n"
    )
    analysis = analyse(study(tmp_path, text, Truth(TRUTH), 1))
    assert holds(factor(analysis, "precision").effect, 1.3)
    assert holds(factor(analysis, "n").effect, 1.5)
    assert any("errors come from one cycle" in caveat for caveat in analysis.caveats)


def test_figures_without_any_spread_are_equal(tmp_path: Path) -> None:
    analysis = analyse(study(tmp_path, SWEEP, Truth({}, noise=0.0)))
    for each in analysis.factors:
        assert each.verdict == "no_effect_found"
        assert each.effect is not None
        assert each.effect.ratio == pytest.approx(1.0, abs=1e-9)
    assert analysis.shares_reason == "the points differ no more than their runs"


def test_a_difference_without_any_noise_is_exact(tmp_path: Path) -> None:
    analysis = analyse(study(tmp_path, SWEEP, Truth(TRUTH, noise=0.0)))
    effect = factor(analysis, "precision").effect
    assert effect is not None
    assert (effect.ratio, effect.ci95_low, effect.ci95_high) == pytest.approx((1.3, 1.3, 1.3))


def test_a_group_is_one_choice(tmp_path: Path) -> None:
    text = (
        "sweep:\n  n: [1, 2]\n  attention:\n"
        "    - {pytorch.attn_implementation: eager}\n"
        "    - {pytorch.attn_implementation: sdpa}\n"
        "    - {pytorch.attn_implementation: sdpa, pytorch.batch_size: 2}\n"
    )
    truth = Truth({"pytorch.attn_implementation": {"eager": 1.4}, "pytorch.batch_size": {2: 0.8}})
    analysis = analyse(study(tmp_path, text, truth))
    attention = factor(analysis, "attention")
    assert [level.level for level in attention.levels] == ["eager", "sdpa", "sdpa+batch_size=2"]
    assert (attention.worst, attention.best) == ("eager", "sdpa+batch_size=2")
    assert holds(attention.effect, 1.4 / 0.8)


def test_a_nested_choice_is_compared_where_it_exists(tmp_path: Path) -> None:
    points = [{"decoder.temperature": 0.0}] + [
        {"decoder.temperature": 0.7, "decoder.top_k": k} for k in (10, 20, 50)
    ]
    lines = "".join(
        f"  - {{precision: {precision}, {', '.join(f'{k}: {v}' for k, v in point.items())}}}\n"
        for precision in ("fp32", "bf16")
        for point in points
    )
    truth = Truth({"decoder.temperature": {0.7: 1.2}, "decoder.top_k": {10: 1.1, 50: 1.1}})
    analysis = analyse(study(tmp_path, f"experiments:\n{lines}", truth), by="field")
    top_k, temperature = factor(analysis, "decoder.top_k"), factor(analysis, "decoder.temperature")
    assert holds(top_k.effect, 1.1)
    assert sum(level.n_points for level in top_k.levels) == 6
    # The mean of the three values of top_k with equal weight.
    assert holds(temperature.effect, 1.2 * 1.1 ** (2 / 3))
    assert temperature.note == (
        "averaged over the levels of decoder.top_k, which exists at some levels only"
    )
    assert all("decoder.top_k" not in p.levels for p in analysis.points if "0.0" in p.label)


def test_twelve_choices_one_step_from_a_common_point(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {}, {"precision": "bf16"}, {"n": 2}, {"max_input_tokens": 16}, {"max_output_tokens": 8},
        {"pytorch.batch_size": 2}, {"pytorch.attn_implementation": "eager"},
        {"pytorch.num_beams": 2}, {"pytorch.use_cache": "false"}, {"decoder.temperature": 0.5},
        {"decoder.repetition_penalty": 1.1}, {"warmup.n_warmup": 2},
        {"baseline.duration_seconds": 5},
    ]  # fmt: skip
    lines = "".join(
        f"  - {{{', '.join(f'{key}: {value}' for key, value in change.items())}}}\n"
        for change in changes
    )
    truth = Truth({"n": {2: 1.5}, "max_output_tokens": {8: 0.8}})
    analysis = analyse(study(tmp_path, f"experiments:\n{lines}", truth, 4))
    assert len(analysis.factors) == 12
    assert [each.key for each in analysis.factors[:2]] == ["n", "max_output_tokens"]
    assert holds(analysis.factors[0].effect, 1.5)
    assert {each.verdict for each in analysis.factors[2:]} == {"no_effect_found"}
    assert analysis.shares_reason is None or "parameters" in analysis.shares_reason
