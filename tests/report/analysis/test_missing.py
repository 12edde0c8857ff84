"""Issue 13: studies with missing runs, levels and figures are ranked by what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report.analysis.test_analyse import factor, holds
from report.analysis.test_shapes import SWEEP, TRUTH, unranked
from report.analysis.truths import Truth, study

from llem_config import ExperimentConfig
from llem_energy import MeasurementError
from llem_energy.records import Quality
from llem_report import analyse
from llem_runner import Control


def failing_at(precision: str) -> Any:
    truth = Truth(TRUTH)

    def measure(config: ExperimentConfig, number: int) -> dict[str, Any]:
        if config.precision == precision:
            raise MeasurementError("out of memory")
        return truth(config, number)

    return measure


def test_a_level_that_is_missing_everywhere_is_named(tmp_path: Path) -> None:
    text = "sweep: {precision: [fp32, bf16, fp16], n: [1, 2]}\n"
    analysis = analyse(study(tmp_path, text, failing_at("fp16")))
    precision = factor(analysis, "precision")
    assert [level.level for level in precision.levels] == ["fp32", "bf16"]
    assert precision.note == "no run at fp16"
    assert holds(precision.effect, 1.3)
    assert (analysis.n_runs_failed, analysis.n_runs_used) == (6, 12)
    assert [point.n_runs for point in analysis.points if "fp16" in point.label] == [0, 0]


def test_a_choice_with_one_level_left_cannot_be_told(tmp_path: Path) -> None:
    analysis = analyse(study(tmp_path, SWEEP, failing_at("fp32")))
    precision = factor(analysis, "precision")
    assert (precision.verdict, precision.effect) == ("cannot_be_told", None)
    assert precision.reason == "only bf16 of precision was measured"
    assert analysis.factors[-1] == precision
    assert analysis.finding.startswith("n matters most of those that can be compared: at 2, ")


def test_choices_that_always_change_together_are_named(tmp_path: Path) -> None:
    def diagonal(config: ExperimentConfig, number: int) -> dict[str, Any]:
        if (config.precision == "fp32") != (config.n == 1):
            raise MeasurementError("out of memory")
        return truth(config, number)

    truth = Truth(TRUTH)
    text = "sweep: {precision: [fp32, bf16], n: [1, 2]}\n"
    analysis = analyse(study(tmp_path, text, diagonal, 6))
    reasons = {each.key: each.reason for each in analysis.factors}
    assert reasons == {
        "precision": "precision always changes together with n",
        "n": "n always changes together with precision",
    }
    assert analysis.reason is not None
    assert "precision always changes together with n" in analysis.finding


def test_levels_that_share_no_context_are_not_compared(tmp_path: Path) -> None:
    def holes(config: ExperimentConfig, number: int) -> dict[str, Any]:
        # n 3 ran at another length only, where no other n ran
        if (config.n == 3) != (config.max_input_tokens == 24):
            raise MeasurementError("out of memory")
        return truth(config, number)

    truth = Truth(TRUTH)
    text = "sweep: {n: [1, 2, 3], max_input_tokens: [8, 16, 24], precision: [fp32, bf16]}\n"
    analysis = analyse(study(tmp_path, text, holes))
    n = factor(analysis, "n")
    assert [level.level for level in n.levels] == ["1", "2"]
    assert holds(n.effect, 1.5)
    assert n.note == "cannot be told of 3: no two points differ in n alone between there and 1"


def test_different_meters_are_not_compared(tmp_path: Path) -> None:
    truth = Truth(TRUTH)
    folder = study(
        tmp_path,
        SWEEP,
        lambda config, number: {
            **truth(config, number),
            "energy_source": "rapl" if number > 9 else "nvml",
        },
    )
    analysis = analyse(folder)
    unranked(analysis, "the runs were metered by different meters (nvml: 9 runs, rapl: 9 runs)")
    assert analysis.factors == ()
    assert analyse(folder, figure="tokens_per_second").reason is None


def test_without_energy_speed_is_ranked(tmp_path: Path) -> None:
    missing = Quality("missing", ("no energy was measured",))
    nothing = {
        "energy_per_output_token_j": None,
        "figures": {"energy_per_output_token_j": missing},
    }
    truth = Truth({"n": {3: 2.0}}, figure="tokens_per_second")
    analysis = analyse(study(tmp_path, SWEEP, lambda c, number: truth(c, number) | nothing))
    assert analysis.figure == "tokens_per_second"
    assert analysis.factors[0].best == "3"
    assert not any(point.on_front for point in analysis.points)


def test_a_study_whose_runs_all_failed_says_so(tmp_path: Path) -> None:
    def fail(config: ExperimentConfig, number: int) -> dict[str, Any]:
        raise MeasurementError("no GPU")

    analysis = analyse(study(tmp_path, SWEEP, fail))
    unranked(analysis, "no run has completed")
    assert (analysis.status, analysis.n_runs_failed, len(analysis.points)) == ("aborted", 5, 6)
    assert analysis.runs[0].reasons == ("MeasurementError: no GPU",)


def test_an_interrupted_study_is_ranked_by_what_is_there(tmp_path: Path) -> None:
    truth, control = Truth(TRUTH), Control()

    def stop(config: ExperimentConfig, number: int) -> dict[str, Any]:
        if number == 14:
            control.request_stop()
        return truth(config, number)

    analysis = analyse(study(tmp_path, SWEEP, stop, control=control))
    assert (analysis.status, analysis.reason) == ("interrupted", None)
    assert analysis.n_runs_used + analysis.n_runs_pending == 18
    assert holds(factor(analysis, "precision").effect, 1.3)


def test_figures_of_0_or_less_are_left_out(tmp_path: Path) -> None:
    truth = Truth({"precision": {"fp32": 1.3}}, figure="energy_adjusted_j")

    def negative(config: ExperimentConfig, number: int) -> dict[str, Any]:
        return {"energy_adjusted_j": -1.0} if number == 2 else truth(config, number)

    folder = study(tmp_path, SWEEP, negative)
    analysis = analyse(folder, figure="energy_adjusted_per_output_token_j")
    assert analysis.n_runs_used == 17
    assert holds(factor(analysis, "precision").effect, 1.3)
    assert any("0 or less" in caveat for caveat in analysis.caveats)
    (left_out,) = [run for run in analysis.runs if (run.value or 0) < 0]
    assert left_out.ratio_to_point is None


def test_a_damaged_result_is_named_and_left_out(tmp_path: Path) -> None:
    folder = study(tmp_path, SWEEP, Truth(TRUTH))
    path = next(folder.glob("0003*/result.json"))
    path.write_text("{")
    analysis = analyse(folder)
    assert analysis.n_runs_used == 17
    assert any(str(path) in sentence for sentence in analysis.left_out)
    assert holds(factor(analysis, "precision").effect, 1.3)
