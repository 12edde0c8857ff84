"""Peaks of the device after runs on one GPU of two, with a neighbour on either."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.fake_nvml import FakeGpu, Process, write_trace
from fakes.scripted_study import ScriptedStudy, results_of

pytestmark = pytest.mark.slow  # runs a study


@pytest.mark.parametrize(("shared", "has_peaks"), [(1, True), (0, False)], ids=["other", "own"])
def test_only_a_neighbour_on_the_gpu_of_the_run_prevents_peaks(
    library: Path, tmp_path: Path, shared: int, has_peaks: bool
) -> None:
    gpus = [
        FakeGpu(
            uuid=f"GPU-00000000-0000-0000-0000-00000000000{i}",
            points=((0.0, 25.0),),
            processes=(Process(4242),) if i == shared else (),
        )
        for i in range(2)
    ]
    backend = "fakes.rated_backend:RatedBackend"
    study = ScriptedStudy(tmp_path, library, gpus[0], batch_sizes=(16,), backend=backend)
    write_trace(tmp_path / "gpu.trace", gpus)
    for result in results_of(study.run()):
        assert (result["device_peaks"] is not None) == has_peaks
