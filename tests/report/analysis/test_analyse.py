"""Issue 13: the analysis of a folder recovers effects that are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from report.analysis.truths import Effects, Truth, study, too_noisy_for_shares
from report.study_data.folders import edit_manifest

from llem_config import ExperimentConfig
from llem_energy.records import Latency
from llem_report import analyse, figure
from llem_report._page.latex import effects_tex
from llem_report._page.page import report_html
from llem_report.records import Analysis, FactorEffect, Interval

SWEEP = "sweep: {precision: [fp32, bf16], pytorch.batch_size: [1, 2, 4], n: [1, 2]}\n"
EFFECTS: Effects = {
    "precision": {"fp32": 1.30, "bf16": 1.0},
    "pytorch.batch_size": {1: 1.8, 2: 1.3, 4: 1.0},
    "n": {1: 1.0, 2: 1.0},
}


def holds(interval: Interval | None, true_ratio: float) -> bool:
    assert interval is not None
    assert interval.ci95_low is not None
    assert interval.ci95_high is not None
    return interval.ci95_low <= true_ratio <= interval.ci95_high


def factor(analysis: Analysis, key: str) -> FactorEffect:
    return next(each for each in analysis.factors if each.key == key)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("plain"), SWEEP, Truth(EFFECTS))


def test_known_effects_are_in_their_intervals_and_in_order(plain: Path) -> None:
    analysis = analyse(plain)
    assert [each.key for each in analysis.factors] == ["pytorch.batch_size", "precision", "n"]
    for key, true_ratio in (("pytorch.batch_size", 1.8), ("precision", 1.3), ("n", 1.0)):
        assert holds(factor(analysis, key).effect, true_ratio)
    assert [each.verdict for each in analysis.factors] == ["matters", "matters", "no_effect_found"]
    assert [(each.rank_low, each.rank_high) for each in analysis.factors] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]
    first = analysis.factors[0]
    assert (first.best, first.worst, first.numeric) == ("4", "1", True)
    assert first.note == "falls at every step"
    assert [level.level for level in first.levels] == ["1", "2", "4"]
    assert holds(first.levels[1].ratio, 1.3)
    assert first.levels[2].ratio == Interval(ratio=1.0)
    assert analysis.finding.startswith(
        "pytorch.batch_size matters most: at 1, the energy per output token is 1.8"
    )
    assert analysis.reason is None
    assert (analysis.n_points, analysis.n_runs_planned, analysis.n_runs_used) == (12, 36, 36)


def test_every_pair_of_levels_is_there_with_its_contexts(plain: Path) -> None:
    analysis = analyse(plain)
    assert len(analysis.level_pairs) == 1 + 3 + 1
    pair = next(each for each in analysis.level_pairs if (each.a, each.b) == ("1", "4"))
    assert holds(pair.ratio, 1.8)
    assert (pair.factor, pair.n_contexts, pair.n_points) == ("pytorch.batch_size", 4, 8)
    (level, _) = factor(analysis, "precision").levels
    assert len(level.contexts) == 6
    assert level.contexts[0].context == "pytorch.batch_size=1 n=1"
    mean = math.exp(sum(math.log(each.ratio) for each in level.contexts) / 6)
    assert mean == pytest.approx(level.ratio.ratio)


def test_shares_add_up_to_the_whole(plain: Path) -> None:
    analysis = analyse(plain)
    shares = [each.share for each in analysis.factors]
    assert None not in shares
    assert sum(share or 0.0 for share in shares) == pytest.approx(1.0, abs=0.01)
    assert set(analysis.shares_of_rest) == {"three and more together", "not attributable"}
    assert abs(analysis.shares_of_rest["not attributable"]) < 1e-9
    assert analysis.shares_reason is None


def test_main_effects_and_halves_of_interactions_make_the_share_of_a_factor(plain: Path) -> None:
    analysis = analyse(plain)
    keys = [each.key for each in analysis.factors]
    terms = {frozenset(term.factors): term.share for term in analysis.share_terms}
    assert len(terms) == len(analysis.share_terms) == 3 + 3
    for each in analysis.factors:
        parts = [share / len(term) for term, share in terms.items() if each.key in term]
        assert len(parts) == len(keys)
        assert sum(parts) == pytest.approx(each.share, abs=1e-3)  # below 0 is 0


def test_a_share_above_100_percent_is_not_known(tmp_path: Path) -> None:
    analysis = analyse(too_noisy_for_shares(tmp_path))
    assert [each.share for each in analysis.factors] == [None, None]
    assert (analysis.share_terms, analysis.shares_of_rest) == ((), {})
    assert analysis.shares_reason == (
        "one part would have 107% of the variance, because the runs are too few to know how much of "
        "it is noise; run more cycles"
    )
    # Nothing else depends on the shares.
    assert analysis.reason is None
    assert all(each.effect is not None for each in analysis.factors)

    reason = f"are not known: {analysis.shares_reason}"
    made = figure(analysis, "effects")
    assert reason in made.caption
    assert [row["share"] for row in made.data["effects"]] == [None, None]
    page = report_html(analysis, static=True)
    assert f"<p>The shares {reason}.</p>" in page
    assert page.count("<td>not known") == 2
    table = effects_tex(analysis)
    assert "% Ratio of the worst level" in table
    assert reason in table
    assert table.count("& not known \\\\") == 2


def test_points_runs_and_ratios_come_from_the_same_means(plain: Path) -> None:
    analysis = analyse(plain)
    values = {point.config_hash: point.value for point in analysis.points}
    best = min(value for value in values.values() if value is not None)
    for point in analysis.points:
        assert point.value is not None
        assert point.ratio_to_best is not None
        assert point.ratio_to_best.ratio == pytest.approx(point.value / best)
        assert (point.n_runs, point.n_planned, point.n_flagged) == (3, 3, 0)
        assert point.levels.keys() == {"precision", "pytorch.batch_size", "n"}
    assert [run.index for run in analysis.runs] == list(range(1, 37))
    for run in analysis.runs:
        value = values[run.config_hash]
        assert value is not None
        assert run.value is not None
        assert run.ratio_to_point == pytest.approx(run.value / value)
    assert analysis.detectable_ratio is not None
    assert 1.01 < analysis.detectable_ratio < 1.1


def test_two_analyses_of_a_folder_are_equal_and_can_be_stored(plain: Path) -> None:
    analysis = analyse(plain)
    assert analyse(plain) == analysis
    stored = msgspec.json.encode(analysis)
    assert msgspec.json.decode(stored, type=Analysis) == analysis


def test_axes_and_fields_give_the_same_effects(plain: Path) -> None:
    axes, fields = analyse(plain), analyse(plain, by="field")
    assert (axes.by, fields.by) == ("axis", "field")
    assert {f.key: f.effect for f in fields.factors} == {
        f.key: pytest.approx(f.effect) if f.effect is None else f.effect for f in axes.factors
    }


def test_a_crossing_is_found_and_said_in_words(tmp_path: Path) -> None:
    def crossing(config: ExperimentConfig) -> float:
        sign = 1 if config.n == 1 else -1
        return math.exp(sign * 0.08) if config.precision == "fp32" else 1.0

    analysis = analyse(study(tmp_path, SWEEP, Truth({}, also=crossing)))
    flips = [each for each in analysis.dependences if each.flips]
    assert [(each.factor, each.other) for each in flips] == [("precision", "n")]
    (flip,) = flips
    assert (flip.a, flip.b, flip.levels) == ("bf16", "fp32", ("1", "2"))
    assert holds(flip.ratios[0], math.exp(-0.08))
    assert holds(flip.ratios[1], math.exp(0.08))
    assert flip.text.startswith("precision: bf16 is better than fp32 at n 1 (x 0.9")
    assert "), worse at n 2 (x 1.0" in flip.text
    assert analysis.flips_note is None


def test_without_a_crossing_the_size_that_would_be_seen_is_said(plain: Path) -> None:
    analysis = analyse(plain)
    assert not any(each.flips for each in analysis.dependences)
    assert analysis.flips_note is not None
    assert "a crossing of less than about" in analysis.flips_note


def test_the_size_of_a_crossing_is_not_said_where_it_would_be_absurd(tmp_path: Path) -> None:
    analysis = analyse(study(tmp_path, SWEEP, Truth({}, noise=12.0)))
    assert analysis.flips_note is not None
    assert analysis.flips_note.endswith("; even a crossing of x 1,000 would not be seen")


def test_more_is_better_for_speed(tmp_path: Path) -> None:
    truth = Truth({"precision": {"bf16": 1.5}}, figure="tokens_per_second")
    analysis = analyse(study(tmp_path, SWEEP, truth), figure="tokens_per_second")
    first = analysis.factors[0]
    assert (analysis.unit, analysis.lower_is_better) == ("tokens/s", False)
    assert (first.key, first.best, first.worst) == ("precision", "bf16", "fp32")
    assert holds(first.effect, 1.5)
    assert holds(first.levels[0].ratio, 1 / 1.5)
    assert "at bf16, the output tokens per second are 1." in analysis.finding


def test_choices_that_cannot_be_told_apart_are_named_together(tmp_path: Path) -> None:
    truth = Truth({"precision": {"fp32": 1.2}, "n": {1: 1.2}})
    analysis = analyse(study(tmp_path, SWEEP, truth))
    assert [f.rank_high for f in analysis.factors] == [2, 2, 3]
    assert analysis.finding in (
        "precision and n cannot be told apart in first place.",
        "n and precision cannot be told apart in first place.",
    )


def test_if_nothing_matters_the_largest_possible_effect_is_said(tmp_path: Path) -> None:
    analysis = analyse(study(tmp_path, SWEEP, Truth({})))
    assert {f.verdict for f in analysis.factors} == {"no_effect_found"}
    assert analysis.finding.startswith(
        "No choice was found to matter: any effect on the energy per output token is at most x 1.0"
    )


def test_a_number_that_is_best_in_between_is_noted(tmp_path: Path) -> None:
    truth = Truth({"pytorch.batch_size": {1: 1.3, 2: 1.0, 4: 1.2}})
    analysis = analyse(study(tmp_path, SWEEP, truth))
    assert factor(analysis, "pytorch.batch_size").note == "best in between, at 2"


def test_the_front_of_energy_and_first_token_is_that_of_the_earliest_cheapest(
    tmp_path: Path,
) -> None:
    joules = {1: 1.0, 2: 2.0, 4: 3.0, 8: 4.0}
    waits_s = {1: 0.4, 2: 0.2, 4: 0.3, 8: 0.1}  # n = 4 is beaten by n = 2

    def figures(config: ExperimentConfig, number: int) -> dict[str, Any]:
        spread = 1 + 0.001 * (number % 3)
        wait_s = waits_s[config.n] * spread
        latency = Latency(n=1, mean_s=wait_s, p50_s=wait_s, p90_s=wait_s, p99_s=wait_s)
        return {
            "energy_per_output_token_j": joules[config.n] * spread,
            "time_to_first_token": latency,
        }

    analysis = analyse(study(tmp_path, "sweep: {n: [1, 2, 4, 8]}\n", figures))
    fronts = {
        point.levels["n"]: (point.on_first_token_front, point.first_token_front_is_certain)
        for point in analysis.points
    }
    assert fronts == {
        "1": (True, True),
        "2": (True, True),
        "4": (False, False),
        "8": (True, True),
    }
    for point in analysis.points:
        assert point.time_to_first_token_s is not None
        assert point.time_to_first_token_low_s is not None
        assert point.time_to_first_token_high_s is not None
        low_s, high_s = point.time_to_first_token_low_s, point.time_to_first_token_high_s
        assert low_s < point.time_to_first_token_s < high_s


def test_runs_have_their_error_bound_and_the_temperature_before_them(tmp_path: Path) -> None:
    def figures(config: ExperimentConfig, _: int) -> dict[str, Any]:
        return {"energy_bound_j": 2.0 if config.n == 1 else None}

    folder = study(tmp_path, "sweep: {n: [1, 2]}\n", figures, n_cycles=2)

    def heat(manifest: dict[str, Any]) -> None:
        for entry in manifest["entries"]:
            # Another GPU than the metered one is warmer.
            warmest = {"GPU-1": 30.0 + entry["index"], "GPU-2": 80.0}
            entry["gpu_temperatures_c"] = (None, warmest, {"GPU-2": 81.0}, {})[entry["index"] - 1]

    edit_manifest(folder, heat)
    runs = analyse(folder).runs
    assert [run.gpu_temperature_c for run in runs] == [None, 32.0, 81.0, None]
    for run in runs:
        bound = 0.02 if run.label.endswith("n=1") else None
        assert run.energy_bound_share == bound, run.label
