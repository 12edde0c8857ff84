"""The protocol of one measurement on a CPU: order, warm-up, repeats, missing energy (CM-11..34)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from energy.models import random_model
from energy.parts import experiment

from llem_energy import STAGES, ExperimentResult, measure
from llem_energy._backends.pytorch.backend import PyTorchBackend

ENERGIES = [
    "energy_total_j", "energy_bound_j", "energy_counter_j", "energy_integrated_j",
    "energy_disagreement", "baseline_power_w", "energy_adjusted_j", "energy_per_output_token_j",
    "energy_per_input_token_j", "energy_per_prompt_j",
]  # fmt: skip


def without_source(**energy: Any) -> ExperimentResult:
    return measure(experiment(energy={"sources": ["none"], **energy}))


def test_without_a_source_every_energy_is_none_and_the_reason_is_given() -> None:
    result = without_source()
    assert {name: getattr(result, name) for name in ENERGIES} == dict.fromkeys(ENERGIES)
    assert result.energy_status == "missing"
    assert result.energy_source is None
    assert result.energy_per_device_j == {}
    assert {quality.status for name, quality in result.figures.items() if name in ENERGIES} == {
        "missing"
    }
    assert all(result.figures[name].reasons for name in ENERGIES if name in result.figures)
    assert (result.baseline, result.sampling, result.error_budget) == (None, None, None)
    no_energy, random_data = result.measurement_warnings
    assert no_energy == "no energy was measured: the experiment requests no energy source"
    assert random_data.startswith("weights and tokens are random: power depends on the values")
    assert result.tokens_per_second > 0


def test_a_batch_that_cannot_be_filled_is_a_warning() -> None:
    batches = {"device": "cpu", "batch_size": 8}
    result = measure(experiment(n=2, pytorch=batches, energy={"sources": ["none"]}))
    assert (
        "batch_size is 8, but no batch has more than 2 prompts because n is 2"
        in result.measurement_warnings
    )


def test_every_source_that_was_tried_gives_its_reason() -> None:
    result = measure(experiment(energy={"sources": ["nvml", "none"]}))
    assert result.measurement_warnings[0] == (
        "no energy was measured: nvml: the experiment uses no GPU; "
        "the experiment requests no energy source"
    )


def test_the_modelled_energy_is_only_in_its_own_field() -> None:
    result = without_source()
    assert result.energy_estimated_j is not None
    assert result.energy_estimated_j > 0
    assert "modelled, not measured" in (result.energy_estimate_method or "")
    assert result.energy_per_output_token_j is None
    off = without_source(estimate=False)
    assert off.energy_estimated_j is None
    assert off.energy_estimate_method is None


def test_without_a_source_no_time_series_is_written(tmp_path: Path) -> None:
    path = tmp_path / "timeseries.parquet"
    result = measure(experiment(energy={"sources": ["none"]}), timeseries=path)
    assert result.timeseries_file is None
    assert not path.exists()


def test_stages_come_in_order_and_none_inside_the_window() -> None:
    stages: list[tuple[str, float]] = []
    result = measure(
        experiment(energy={"min_window_seconds": 0.3}),
        on_stage=lambda name: stages.append((name, time.perf_counter())),
    )
    names = [name for name, _ in stages]
    # There is no meter, and no phase is requested.
    assert names == ["open", "load", "tokenise", "warm-up", "window", "result"]
    assert names == [stage for stage in STAGES if stage in names]
    window = result.steady_state_window
    assert not any(window.start_s <= t <= window.end_s for _, t in stages)
    times = dict(stages)
    assert times["window"] < window.start_s < window.end_s < times["result"]


def test_the_workload_repeats_until_the_minimum_duration_and_is_counted() -> None:
    once = measure(experiment(energy={"min_window_seconds": 0.0}))
    assert once.n_repeats == 1
    min_window_s = 20 * once.window_s  # so that the workload is repeated on any machine
    longer = measure(experiment(energy={"min_window_seconds": min_window_s}))
    assert longer.window_s >= min_window_s
    assert longer.n_repeats > 1
    assert longer.output_tokens == longer.n_repeats * 3 * 4
    assert longer.input_tokens == longer.n_repeats * 3 * 8
    assert longer.n_prompts == 3
    assert longer.flops is not None
    assert once.flops is not None
    assert longer.flops.total == pytest.approx(longer.n_repeats * once.flops.total)


def test_memory_is_reported_with_its_method() -> None:
    result = measure(experiment())
    assert result.peak_memory_bytes is not None
    assert result.weights_memory_bytes is not None
    weights = 4 * result.effective_config["n_parameters"]
    assert weights <= result.weights_memory_bytes < 1.01 * weights  # and a few buffers
    assert result.peak_memory_bytes > result.weights_memory_bytes
    assert result.memory_method


def test_a_measurement_without_warm_up_is_flagged() -> None:
    result = measure(experiment(warmup={"enabled": False}))
    assert result.measurement_methodology == "total"
    assert (result.n_warmup, result.warmup_converged) == (0, None)
    assert any("no warm-up" in warning for warning in result.measurement_warnings)


def test_a_warm_up_that_never_settles_stops_at_its_maximum_and_is_flagged() -> None:
    warmup = {"n_warmup": 1, "convergence_detection": True, "cv_threshold": 1e-9, "max_warmup": 7}
    result = measure(experiment(warmup=warmup))
    assert (result.n_warmup, result.warmup_converged) == (7, False)
    assert any(
        "after 7 warm-up repeats the latency was not" in w for w in result.measurement_warnings
    )


def test_every_figure_of_energy_and_time_has_its_quality() -> None:
    result = without_source()
    described = {"energy_bound_j", "energy_disagreement"}  # they describe another value
    times = {"window_s", "tokens_per_second", "time_to_first_token", "inter_token_latency"}
    beside = {
        "energy_estimated_j",
        "energy_gain_corrected_j",
        "energy_host_j",
        "energy_per_output_token_with_host_j",
    }
    assert set(result.figures) == {*ENERGIES, *times, *beside} - described


def test_phases_are_measured_alone_after_the_window() -> None:
    stages: list[str] = []
    result = measure(
        experiment(energy={"sources": ["none"], "phases": ["prefill", "decode"]}),
        on_stage=stages.append,
    )
    assert stages[-4:] == ["window", "prefill", "decode", "result"]
    prefill, decode = result.phases
    assert (prefill.phase, decode.phase) == ("prefill", "decode")
    assert prefill.n_tokens == 2 * 8 * (prefill.n_repeats or 0)
    assert decode.n_tokens == 2 * 3 * (decode.n_repeats or 0)
    for phase in result.phases:
        assert phase.tokens_per_second is not None
        assert phase.tokens_per_second > 0
        assert phase.energy_j is None
        assert phase.quality.status == "missing"


def test_a_phase_that_cannot_run_alone_is_missing_with_the_reason(tmp_path: Path) -> None:
    # A static cache shorter than prompt and answer: tokens that left it cannot be restored.
    model = random_model(tmp_path, model_type="mistral", sliding_window=4)
    result = measure(
        experiment(
            **model,
            energy={"sources": ["none"], "phases": ["prefill", "decode"]},
            pytorch={"cache_implementation": "static"},
        )
    )
    prefill, decode = result.phases
    assert prefill.n_tokens
    assert (decode.n_tokens, decode.window_s, decode.energy_j) == (None, None, None)
    assert decode.quality.status == "missing"
    assert any(w.startswith("decode alone: ") for w in result.measurement_warnings)


def test_a_password_in_a_warning_of_a_library_is_struck_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = ("cannot reach https://me:pa55word@hub.example.org with hf_token=correcthorse",)
    monkeypatch.setattr(PyTorchBackend, "warnings", lambda _: said)
    warnings = without_source().measurement_warnings
    assert "cannot reach https://***@hub.example.org with hf_token=***" in warnings
