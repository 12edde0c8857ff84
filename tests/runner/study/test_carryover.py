"""A run passes calibrations and idle power on to the next run (CM-11 to CM-34, STU-01).

Real measurements on a scripted GPU, each in its own process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu, Fault, true_energy_j
from fakes.results import CALIBRATION, make_result
from fakes.studies import experiment

from llem_energy import Carryover, ExperimentResult, carryover_from, read_result
from llem_energy.records import load_peaks
from llem_runner import read_manifest

pytestmark = pytest.mark.slow  # starts processes that import torch

GPU = FakeGpu(uuid="GPU-prior", points=((0.0, 280.0), (0.7, 320.0)), repeat_s=1.3)
STUDY = """
model: builtin:tiny-llama
precision: fp32
n: 2
max_input_tokens: 8
max_output_tokens: 4
pytorch: {device: cpu}
warmup: {n_warmup: 1, convergence_detection: false}
baseline: {duration_seconds: 0.5}
energy: {min_window_seconds: 2.5}
execution: {n_cycles: 2, config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


def run(
    folder: Path, library: Path, gpu: FakeGpu, *flags: str
) -> tuple[Path, float, list[ExperimentResult]]:
    """Run the study from the command line; return its folder, the fake's time 0 and the results."""
    (folder / "study.yaml").write_text(STUDY)
    trace = folder / "gpus.trace"
    fake_nvml.write_trace(trace, [gpu])
    fake = fake_nvml.environment(library, trace)
    done = subprocess.run(
        [sys.executable, "-m", "llem_cli", "study", "run", "study.yaml", "--quiet", *flags],
        cwd=folder,
        env={
            **os.environ,
            **fake,
            "LLEM_CACHE": str(folder / "cache" / "calibrations.json"),
            "LLEM_DEVICES__GPUS": "[0]",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    study = sorted((folder / "results").iterdir())[-1]
    results = [read_result(study / str(e.result_file)) for e in read_manifest(study).entries]
    return study, float(fake["LLEM_FAKE_NVML_EPOCH"]), results


@pytest.fixture(scope="module")
def two_runs(
    tmp_path_factory: pytest.TempPathFactory, library: Path
) -> tuple[Path, float, list[ExperimentResult]]:
    """Return a study of two runs."""
    return run(tmp_path_factory.mktemp("two"), library, GPU)


StudyRuns = tuple[Path, float, list[ExperimentResult]]


def test_calibration_and_idle_power_are_measured_once_and_passed_on(two_runs: StudyRuns) -> None:
    study, _, (first, second) = two_runs
    assert first.calibration == second.calibration
    assert first.calibration[0].counter_period_s == pytest.approx(0.1, abs=0.005)
    assert first.baseline is not None
    assert second.baseline is not None
    assert (first.baseline.context_reused, second.baseline.context_reused) == (False, True)
    assert first.baseline.context == second.baseline.context
    files = sorted(study.glob("*/timeseries.parquet"))
    phases = [set(pq.read_table(file)["phase"].to_pylist()) for file in files]
    assert [("baseline" in names, "loaded idle" in names) for names in phases] == [
        (True, True),
        (False, True),
    ]


def test_the_next_study_reuses_the_calibration_but_measures_idle_power(
    two_runs: StudyRuns, library: Path
) -> None:
    study, _, (first, _) = two_runs
    _, _, (third,) = run(study.parents[1], library, GPU, "--cycles", "1")
    assert third.calibration == first.calibration
    assert third.baseline is not None
    assert third.baseline.context_reused is False


def test_the_peaks_of_the_device_are_measured_once_and_kept(two_runs: StudyRuns) -> None:
    study, _, (first, second) = two_runs
    found = [result.device_peaks for result in (first, second) if result.device_peaks is not None]
    if not found:  # another process kept the processor busy
        reasons = [reason for each in first.roofline for reason in each.reasons]
        assert any("mfu" in reason and "busy" in reason for reason in reasons)
        return
    assert second.device_peaks == found[0]
    assert load_peaks(study.parents[1] / "cache" / "peaks.json") == (found[0],)


def test_every_energy_of_a_study_is_within_its_bound_of_the_true_energy(
    two_runs: StudyRuns,
) -> None:
    _, epoch_s, results = two_runs
    for result in results:
        span = result.steady_state_window
        truth = true_energy_j(GPU, span.start_s - epoch_s, span.end_s - epoch_s)
        assert result.energy_total_j is not None
        assert result.energy_bound_j is not None
        assert abs(result.energy_total_j - truth) <= result.energy_bound_j
        budget = result.error_budget
        assert budget is not None and budget.edge_bound_j is not None
        assert budget.edge_bound_j < 0.2 * truth
        # This GPU never idles, so its counter may lag.
        assert budget.lag_j is not None and budget.lag_j < 0.5 * truth
        # The model ran on the CPU. A busy machine can add reasons of its own.
        reasons = result.figures["energy_total_j"].reasons
        assert any("the backend reported no GPU" in reason for reason in reasons)


def test_if_the_gpu_is_lost_only_the_energy_is_missing(tmp_path: Path, library: Path) -> None:
    # Lost after twelve seconds, during the first run or before the second.
    lost = FakeGpu(uuid="GPU-lost", faults=(Fault("*", 15, 12.0),))
    _, _, results = run(tmp_path, library, lost)
    assert len(results) == 2
    last = results[-1]
    assert last.energy_total_j is None
    assert last.energy_status == "missing"
    assert last.figures["energy_total_j"].reasons
    assert last.energy_per_output_token_j is None
    assert last.tokens_per_second > 0


def test_a_run_without_a_meter_keeps_the_earlier_calibrations() -> None:
    result = make_result(experiment())
    assert carryover_from(result).calibration == ()
    before = Carryover(calibration=(CALIBRATION,))
    assert carryover_from(result, before) == before
