"""The protocol of one measurement on a CPU: order, warm-up, repeats, missing energy (CM-11..34)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from energy.parts import experiment

from llem_config import WarmupConfig
from llem_energy import STAGES, Batch, ExperimentResult, Workload, measure
from llem_energy._measure import _warm_up

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
    assert result.measurement_warnings == (
        "no energy was measured: the experiment asks for no energy source",
    )
    assert result.tokens_per_second > 0


def test_every_source_that_was_tried_gives_its_reason() -> None:
    result = measure(experiment(energy={"sources": ["nvml", "none"]}))
    assert result.measurement_warnings == (
        "no energy was measured: nvml: the experiment uses no GPU; "
        "the experiment asks for no energy source",
    )


def test_the_modelled_figure_stays_in_its_own_field() -> None:
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
    seen: list[tuple[str, float]] = []
    result = measure(
        experiment(energy={"min_window_seconds": 0.3}),
        on_stage=lambda name: seen.append((name, time.perf_counter())),
    )
    names = [name for name, _ in seen]
    assert names == [stage for stage in STAGES if stage != "baseline"]  # nothing to meter
    window = result.steady_state_window
    assert not any(window.start_s <= t <= window.end_s for _, t in seen)
    times = dict(seen)
    assert times["window"] < window.start_s < window.end_s < times["result"]


def test_the_workload_repeats_until_the_least_duration_and_is_counted() -> None:
    once = measure(experiment(energy={"min_window_seconds": 0.0}))
    assert once.n_repeats == 1
    longer = measure(experiment(energy={"min_window_seconds": 1.0}))
    assert longer.window_s >= 1.0
    assert longer.n_repeats > 1
    assert longer.output_tokens == longer.n_repeats * 3 * 4
    assert longer.input_tokens == longer.n_repeats * 3 * 8
    assert longer.n_prompts == 3
    assert longer.flops is not None
    assert once.flops is not None
    assert longer.flops.total == pytest.approx(longer.n_repeats * once.flops.total)


def test_memory_is_told_with_its_method() -> None:
    result = measure(experiment())
    assert result.peak_memory_bytes is not None
    assert result.weights_memory_bytes is not None
    weights = 4 * result.effective_config["n_parameters"]
    assert weights <= result.weights_memory_bytes < 1.01 * weights  # and a few buffers
    assert result.peak_memory_bytes > result.weights_memory_bytes
    assert result.memory_method


def test_without_warm_up_the_result_says_so() -> None:
    result = measure(experiment(warmup={"enabled": False}))
    assert result.measurement_methodology == "total"
    assert (result.n_warmup, result.warmup_converged) == (0, None)
    assert any("no warm-up" in warning for warning in result.measurement_warnings)


def test_a_warm_up_that_never_settles_stops_at_its_cap_and_is_flagged() -> None:
    warmup = {"n_warmup": 1, "convergence_detection": True, "cv_threshold": 1e-9, "max_warmup": 7}
    result = measure(experiment(warmup=warmup))
    assert (result.n_warmup, result.warmup_converged) == (7, False)
    assert any("not stationary after 7 warm-up repeats" in w for w in result.measurement_warnings)


class Scripted:
    """A backend whose batches take scripted times; remembers what it was asked."""

    def __init__(self, *durations_s: float) -> None:
        self._durations_s = list(durations_s)
        self.shapes: list[tuple[int, int]] = []

    def generate(self, batch: Batch) -> None:
        self.shapes.append(batch.shape)
        last = len(self._durations_s) == 1
        time.sleep(self._durations_s[0] if last else self._durations_s.pop(0))

    def synchronise(self) -> None:
        """Nothing runs behind."""


def workload(*shapes: tuple[int, int]) -> Workload:
    return Workload(tuple(Batch(s[0], s, (s[1],) * s[0], None) for s in shapes), 0)


def test_a_fixed_warm_up_runs_its_count_after_each_shape_once() -> None:
    backend = Scripted(0.0)
    config = WarmupConfig(n_warmup=3, convergence_detection=False)
    found = _warm_up(config, backend, workload((4, 8), (4, 8), (4, 6), (1, 8)))  # type: ignore[arg-type]
    assert backend.shapes == [(4, 8), (4, 6), (1, 8), *[(4, 8)] * 3]
    assert (found.n_repeats, found.converged) == (3, None)


def test_the_warm_up_goes_on_until_the_latency_is_stationary() -> None:
    slow_first = [0.2, 0.15, 0.1, 0.06, 0.03]
    backend = Scripted(*slow_first, 0.03)
    config = WarmupConfig(n_warmup=2, cv_threshold=0.1)
    found = _warm_up(config, backend, workload((1, 8)))  # type: ignore[arg-type]
    assert found.converged is True
    assert 7 <= found.n_repeats <= 15


def test_the_warm_up_lasts_as_long_as_its_thermal_floor() -> None:
    backend = Scripted(0.01)
    config = WarmupConfig(n_warmup=1, convergence_detection=False, thermal_floor_seconds=0.3)
    start = time.perf_counter()
    found = _warm_up(config, backend, workload((1, 8)))  # type: ignore[arg-type]
    assert time.perf_counter() - start >= 0.3
    assert found.n_repeats > 5


def test_the_warm_up_gives_up_after_its_longest_time() -> None:
    backend = Scripted(*[0.01, 0.05] * 100, 0.0)
    config = WarmupConfig(n_warmup=1, cv_threshold=0.01, max_warmup_seconds=0.3)
    found = _warm_up(config, backend, workload((1, 8)))  # type: ignore[arg-type]
    assert found.converged is False
    assert found.n_repeats < 20
