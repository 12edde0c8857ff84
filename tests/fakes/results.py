"""A complete, plausible result and calibration for tests without a model and without a GPU."""

from __future__ import annotations

from typing import Any

from llem_config import ExperimentConfig, measurement_config_hash
from llem_energy import ExperimentResult
from llem_energy.gain import GainCalibration
from llem_energy.records import EnvironmentSnapshot, Latency, Span
from llem_energy.sources import Calibration

CALIBRATION = Calibration(
    device="GPU-1", counter_period_s=0.1, counter_jitter_s=0.0, counter_step_j=1.0,
    power_period_s=0.1, call_p50_s=1e-5, call_p99_s=1e-4, n_updates=8, duration_s=1.0,
    boot_id="boot", driver="1", binding="2", made_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip
GAIN = GainCalibration(
    device="GPU-1", gain=0.96, gain_error=0.01, slope=1.0212765957446808, slope_se=0.003, offset_w=240.0,
    offset_se_w=1.0, residual_sd_w=1.5, n_windows=12, n_outliers=0, board_min_w=150.0, board_max_w=600.0,
    lag_s=1.5, lag_correlation=0.99, efficiency=0.94, efficiency_error=0.005, meter="PDU 7",
    log_sha256="0" * 64, driver="580", made_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip


def make_result(config: ExperimentConfig, **changes: Any) -> ExperimentResult:
    """Return a result of `config`: 100 J for 50 tokens, unless changed."""
    figures: dict[str, Any] = {
        "measurement_config_hash": measurement_config_hash(config),
        "config": config.model_dump(mode="json", exclude_none=True),
        "effective_config": {},
        "started_at": "2026-01-01T00:00:00+00:00",
        "ended_at": "2026-01-01T00:00:01+00:00",
        "n_prompts": config.n,
        "n_repeats": 1,
        "n_truncated_prompts": 0,
        "prompts_sha256": "0" * 64,
        "input_tokens": 100,
        "output_tokens": 50,
        "window_s": 1.0,
        "tokens_per_second": 50.0,
        "time_to_first_token": Latency(n=1, mean_s=0.1, p50_s=0.1, p90_s=0.1, p99_s=0.1),
        "inter_token_latency": None,
        "energy_status": "ok",
        "energy_source": "nvml",
        "energy_method": "counter",
        "energy_total_j": 100.0,
        "energy_bound_j": 1.0,
        "energy_counter_j": 100.0,
        "energy_integrated_j": 100.0,
        "energy_disagreement": 0.0,
        "energy_per_device_j": {"GPU-1": 100.0},
        "baseline_power_w": 10.0,
        "energy_adjusted_j": 90.0,
        "energy_per_output_token_j": 2.0,
        "energy_per_input_token_j": 1.0,
        "energy_per_prompt_j": 10.0,
        "energy_estimated_j": None,
        "energy_estimate_method": None,
        "peak_memory_bytes": None,
        "weights_memory_bytes": None,
        "memory_method": "none",
        "flops": None,
        "devices": (),
        "measurement_methodology": "steady_state",
        "steady_state_window": Span(start_s=0.0, end_s=1.0),
        "n_warmup": 5,
        "warmup_excluded_samples": 0,
        "warmup_converged": True,
        "n_samples": 20,
        "timeseries_file": None,
        "environment_snapshot": EnvironmentSnapshot(
            python="3",
            platform="test",
            cpu_model=None,
            n_cpus=1,
            memory_bytes=None,
            cpu_governor=None,
            load_average_1min=None,
            driver=None,
            nvml=None,
            gpus=(),
            packages={},
            environment={},
        ),
        "measurement_warnings": (),
        "reproducibility_notes": (),
    }
    return ExperimentResult(**figures | changes)
