"""Whole measurements: a CPU model beside a scripted GPU (RES-06, RES-16, CM-11 to CM-34)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from energy.parts import experiment, with_gpus
from fakes.fake_nvml import FakeGpu, Process, Throttle, true_energy_j
from fakes.powercap import add_domain

from llem_energy import STAGES

pytestmark = pytest.mark.slow  # starts a process that imports torch

PROGRAM = """
import os, sys, threading, time
from pathlib import Path
import msgspec
from llem_config import ExperimentConfig, Settings
from llem_energy import measure
stages = []
result = measure(
    ExperimentConfig.model_validate_json(sys.argv[1]),
    settings=Settings.model_validate({"devices": {"gpus": [1]}}),
    timeseries=Path(sys.argv[2]),
    on_stage=stages.append,
)
# The processor's counter rises by 50 W, in the file that the kernel would fill.
counter = Path(os.environ["LLEM_POWERCAP"]) / "intel-rapl:0" / "energy_uj"
def burn():
    start = time.perf_counter()
    while True:
        counter.with_suffix(".new").write_text(str(int(50e6 * (time.perf_counter() - start))))
        counter.with_suffix(".new").replace(counter)
        time.sleep(0.002)
threading.Thread(target=burn, daemon=True).start()
processor = measure(ExperimentConfig.model_validate_json(sys.argv[3]))
epoch = float(os.environ["LLEM_FAKE_NVML_EPOCH"])
answer = {"result": result, "epoch": epoch, "stages": stages, "processor": processor}
print(msgspec.json.encode(answer).decode())
"""
OTHER = FakeGpu(uuid="GPU-other", points=((0.0, 50.0),))
GPU = FakeGpu(
    uuid="GPU-metered",
    points=((0.0, 200.0), (0.3, 500.0)),
    repeat_s=0.6,
    counter_phase_s=0.04,
    throttles=(Throttle(0.0, 1e6, 0x4),),
    processes=(Process(4242),),
)


@pytest.fixture(scope="module")
def run(library: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("measured")
    config = experiment(
        n=5,
        baseline={"enabled": True, "duration_seconds": 1.2},
        energy={"min_window_seconds": 2.5, "phases": ["prefill", "decode"]},
    )
    path = folder / "timeseries.parquet"
    configs = [config, experiment(energy={"sources": ["rapl"], "min_window_seconds": 1.0})]
    add_domain(folder, "intel-rapl:0", "package-0", 0)
    first, second = (config.model_dump_json() for config in configs)
    answer = with_gpus(
        PROGRAM, library, [OTHER, GPU], folder, first, str(path), second,
        env={"LLEM_POWERCAP": str(folder)},
    )  # fmt: skip
    run: dict[str, Any] = answer | {"table": pq.read_table(path)}
    return run


def late_near(table: pa.Table, t_s: float) -> float:
    """Return by how many seconds readings around a time were late; they are due every 50 ms."""
    columns = (table[name].to_pylist() for name in ("t_s", "bracket_s"))
    rows: list[tuple[float, float]] = list(zip(*columns, strict=True))
    return sum(
        max(0.0, after_s - before_s + bracket_s - 0.06)
        for (before_s, _), (after_s, bracket_s) in pairwise(rows)
        if after_s > t_s - 0.3 and before_s < t_s + 0.3
    )


def test_the_total_is_within_its_bound_of_the_true_energy(run: dict[str, Any]) -> None:
    result = run["result"]
    span = result["steady_state_window"]
    truth = true_energy_j(GPU, span["start_s"] - run["epoch"], span["end_s"] - run["epoch"])
    assert result["energy_source"] == "nvml"
    assert abs(result["energy_total_j"] - truth) <= result["energy_bound_j"] + 0.002
    # Readings that a busy machine made late leave more of the energy open, at most at full power.
    late_s = sum(late_near(run["table"], span[end]) for end in ("start_s", "end_s"))
    assert result["error_budget"]["edge_bound_j"] < 0.1 * truth + 500 * late_s
    # This GPU never idles, so its counter may lag.
    assert result["error_budget"]["lag_j"] < 0.5 * truth
    assert result["window_s"] == pytest.approx(span["end_s"] - span["start_s"])
    assert result["window_s"] >= 2.5


def test_counter_and_integral_are_both_reported_and_agree(run: dict[str, Any]) -> None:
    result = run["result"]
    assert result["energy_total_j"] == result["energy_counter_j"]
    # Flagged because a process shares the GPU and the model runs on the CPU. The scripted power does
    # not follow the run, so there may be signs of others, and of power before the start and after the end too.
    counter, total = (result["figures"][f"energy_{name}_j"] for name in ("counter", "total"))
    assert counter["status"] == total["status"] == "flagged"
    signs = ("something else used", "idle power changed", "continued to rise", "earlier work")
    assert len([r for r in counter["reasons"] if not any(sign in r for sign in signs)]) == 2
    assert set(counter["reasons"]) <= set(total["reasons"])
    assert abs(result["energy_disagreement"]) < 0.1
    difference = result["energy_integrated_j"] - result["energy_counter_j"]
    assert result["energy_disagreement"] == pytest.approx(difference / result["energy_counter_j"])


def test_the_baseline_is_subtracted(run: dict[str, Any]) -> None:
    result = run["result"]
    baseline = result["baseline"]
    assert baseline["power_w"] == result["baseline_power_w"] == pytest.approx(350, rel=0.15)
    low, high = sorted((baseline["loaded_before_w"], baseline["loaded_after_w"]))
    assert low <= result["baseline_power_w"] <= high
    assert baseline["context"]["power_w"] == pytest.approx(350, rel=0.15)
    assert baseline["context"]["devices"] == [GPU.uuid]
    assert baseline["context_reused"] is False
    expected = result["energy_total_j"] - result["baseline_power_w"] * result["window_s"]
    assert result["energy_adjusted_j"] == pytest.approx(expected)


def test_every_ratio_is_the_total_divided_by_a_count(run: dict[str, Any]) -> None:
    result = run["result"]
    total = result["energy_total_j"]
    assert result["energy_per_device_j"] == {GPU.uuid: total}
    assert result["energy_per_output_token_j"] == pytest.approx(total / result["output_tokens"])
    assert result["energy_per_input_token_j"] == pytest.approx(total / result["input_tokens"])
    per_prompt = total / (result["n_prompts"] * result["n_repeats"])
    assert result["energy_per_prompt_j"] == pytest.approx(per_prompt)


def test_the_result_describes_the_device_during_the_window(run: dict[str, Any]) -> None:
    (device,) = run["result"]["devices"]
    window_s = run["result"]["window_s"]
    assert device["throttled_power_s"] == pytest.approx(window_s, abs=0.1)
    assert device["throttle_reasons"] == ["software power cap"]
    assert device["temperature_max_c"] == 45
    gpus = run["result"]["environment_snapshot"]["gpus"]
    assert [gpu["uuid"] for gpu in gpus] == [OTHER.uuid, GPU.uuid]
    assert gpus[1]["power_limit_w"] == gpus[1]["power_limit_default_w"] == 700


def test_the_time_series_has_every_sample_with_its_phase(run: dict[str, Any]) -> None:
    table, result = run["table"], run["result"]
    columns = {
        "t_s", "bracket_s", "driver_time_s", "device", "energy_j", "power_w", "power_average_w",
        "throttled_power_s", "throttled_thermal_s", "temperature_c", "memory_temperature_c",
        "sm_clock_mhz", "memory_clock_mhz", "utilisation",
        "memory_used_bytes", "throttle_reasons", "phase",
    }  # fmt: skip
    assert columns == set(table.column_names)
    times = table["t_s"].to_pylist()
    assert times == sorted(times)
    phases = table["phase"].to_pylist()
    stages = list(dict.fromkeys(phase for phase in phases if phase))
    assert stages == [stage for stage in STAGES if stage in stages]  # some end before a sample
    assert {"baseline", "load", "loaded idle", "window", "prefill", "idle after"} <= set(stages)
    span = result["steady_state_window"]
    inside = [
        p for t, p in zip(times, phases, strict=True) if span["start_s"] <= t <= span["end_s"]
    ]
    assert set(inside) == {"window"}
    assert len(inside) == result["n_samples"] >= 40
    before = sum(t < span["start_s"] for t in times)
    assert result["warmup_excluded_samples"] == before
    assert set(table["device"].to_pylist()) == {GPU.uuid}
    assert b"wall_offset_s" in table.schema.metadata
    assert result["timeseries_file"] == "timeseries.parquet"


def test_joules_per_operation_and_byte_are_those_of_the_phase_alone(run: dict[str, Any]) -> None:
    result = run["result"]
    for found, phase in zip(result["roofline"], result["phases"], strict=True):
        assert (found["phase"], found["timed"]) == (phase["phase"], "alone")
        picojoules = 1e12 * phase["energy_j"]
        assert found["pj_per_flop"] == pytest.approx(picojoules / found["flops"])
        assert found["pj_per_byte"] == pytest.approx(picojoules / found["bytes_moved"])
        # The model runs on the CPU: the utilisation of the GPU beside it says nothing.
        assert found["gpu_utilisation"] is None


def test_stages_come_in_order(run: dict[str, Any]) -> None:
    # Random weights have no quality.
    assert tuple(run["stages"]) == tuple(stage for stage in STAGES if stage != "quality")


def test_processor_energy_comes_from_the_kernels_counter(run: dict[str, Any]) -> None:
    result = run["processor"]
    truth = 50 * result["window_s"]
    assert result["energy_source"] == "rapl"
    assert result["energy_total_j"] == pytest.approx(truth, rel=0.1)
    assert abs(result["energy_total_j"] - truth) <= result["energy_bound_j"] + 0.2
    assert result["energy_per_device_j"] == {"package-0": result["energy_total_j"]}
    assert result["energy_integrated_j"] is None
    assert result["error_budget"]["gain_share"] is None  # known for GPUs only
    assert result["calibration"][0]["counter_period_s"] < 0.02
    assert result["energy_per_output_token_j"] is not None


def truth_of(run: dict[str, Any], start_s: float, end_s: float) -> float:
    return true_energy_j(GPU, start_s - run["epoch"], end_s - run["epoch"])


def test_each_estimator_is_within_its_uncertainty(run: dict[str, Any]) -> None:
    result = run["result"]
    span = result["steady_state_window"]
    truth = truth_of(run, span["start_s"], span["end_s"])
    (device,) = result["devices"]
    methods = [estimate["method"] for estimate in device["estimates"]]
    assert methods[0] == result["energy_method"]
    assert {"energy counter, edge read", "integral of instant power"} <= set(methods)
    for estimate in device["estimates"]:
        off = abs(estimate["energy_j"] - truth)
        if estimate["bound_j"] is not None:
            assert off <= estimate["bound_j"] + 0.002, estimate
            assert 0 < estimate["uncertainty_j"] <= estimate["bound_j"]
    assert result["energy_uncertainty_j"] <= result["energy_bound_j"]
    budget = result["error_budget"]
    assert budget.pop("data_reason").startswith("unknown: weights and tokens are random, and power")
    # The bound is both: no check has shown that this counter sees the board all the time.
    sampling_j, edge_bound_j = budget.pop("sampling_j"), budget.pop("edge_bound_j")
    lag_j = budget.pop("lag_j")
    assert sampling_j > 0
    assert edge_bound_j > 0
    assert edge_bound_j + lag_j + sampling_j == pytest.approx(result["energy_bound_j"])
    assert budget == {
        "data_share": None,
        "gain_share": 0.05,
        "statistical_share": None,
        "gain_source": "literature",
        "corrected_gain_share": None,
    }


def test_another_process_on_the_metered_gpu_flags_the_energy(run: dict[str, Any]) -> None:
    result = run["result"]
    reason = (
        "1 other process was on GPU 1 at the start; stop it, a desktop counts too, or use another "
        "GPU (`llem-cli doctor` lists the process ids)"
    )
    assert result["energy_status"] == "flagged"
    assert reason in result["figures"]["energy_total_j"]["reasons"]
    assert reason in result["measurement_warnings"]
    advice = "; a longer warm-up shows it (warmup.thermal_floor_seconds: 20)"
    assert any(warning.endswith(advice) for warning in result["measurement_warnings"])


def test_metering_a_gpu_that_the_model_did_not_use_flags_the_energy(run: dict[str, Any]) -> None:
    reasons = run["result"]["figures"]["energy_total_j"]["reasons"]
    assert any("the backend reported no GPU" in reason for reason in reasons)
    assert all("reported no GPU" not in w for w in run["processor"]["measurement_warnings"])


def test_phases_have_their_own_windows_and_energies(run: dict[str, Any]) -> None:
    result = run["result"]
    prefill, decode = result["phases"]
    assert (prefill["phase"], decode["phase"]) == ("prefill", "decode")
    for phase in (prefill, decode):
        assert phase["window_s"] >= 2.5
        # The scripted power does not depend on the phase: its mean is 350 W.
        assert phase["energy_j"] == pytest.approx(350 * phase["window_s"], rel=0.15)
        assert phase["energy_bound_j"] > 0
        per_token = phase["energy_j"] / phase["n_tokens"]
        assert phase["energy_per_token_j"] == pytest.approx(per_token)
        assert phase["energy_adjusted_j"] == pytest.approx(
            phase["energy_j"] - result["baseline_power_w"] * phase["window_s"]
        )


def test_the_result_reports_how_well_the_window_was_sampled(run: dict[str, Any]) -> None:
    result = run["result"]
    sampling = result["sampling"]
    assert sampling["n"] == result["n_samples"]  # one device
    # On a busy machine samples come late, never early: every 50 ms is 20 Hz.
    assert 0 < sampling["rate_hz"] < 30
    assert 0.04 < 1 / sampling["rate_hz"] <= 1.1 * sampling["worst_gap_s"]
    assert sampling["bracket_p99_s"] > 0


def test_the_calibration_is_in_the_result(run: dict[str, Any]) -> None:
    (calibration,) = run["result"]["calibration"]
    assert calibration["device"] == GPU.uuid
    assert calibration["counter_period_s"] == pytest.approx(0.1, abs=0.005)
    assert calibration["boot_id"] == run["result"]["environment_snapshot"]["boot_id"]
