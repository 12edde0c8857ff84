"""Gaps that last until the GPU is as cool as before the first run, and their readings (STU-06)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_nvml

from llem_runner import read_manifest
from llem_runner._study.gap import Cooling

_PROGRAM = """
import json, sys, time
from fakes import measures
from fakes.studies import study
from llem_runner import run_study
if __name__ == "__main__":
    def on_event(event):
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        print(json.dumps([type(event).__name__, time.monotonic(), fields], default=str), flush=True)
    run_study(study((1, 2)), output=sys.argv[1], measure=measures.quick, on_event=on_event)
"""


@pytest.fixture
def events(tmp_path: Path, library: Path, request: pytest.FixtureRequest) -> list[list[Any]]:
    """Run a study on a GPU that is warm for some seconds after its first run.

    It warms by 400 C a second, faster than a real GPU: a run here may last only some tens of
    milliseconds, and the GPU must be warmer after the shortest run.
    """
    temperatures, at_most_s = request.param
    gpu = fake_nvml.FakeGpu(temperatures=temperatures)
    fake_nvml.write_trace(tmp_path / "trace", [gpu])
    (tmp_path / "study.py").write_text(_PROGRAM)
    done = subprocess.run(
        [sys.executable, "study.py", "results"],
        cwd=tmp_path,
        env={
            **os.environ,
            **fake_nvml.environment(library, tmp_path / "trace"),
            "LLEM_EXECUTION__GAP_WITHIN_C": "2",
            "LLEM_EXECUTION__GAP_AT_MOST_SECONDS": at_most_s,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def fields_of(events: list[list[Any]], name: str) -> list[dict[str, Any]]:
    return [fields for kind, _, fields in events if kind == name]


@pytest.mark.parametrize(
    "events", [(((0.0, 20.0), (14.0, 5620.0), (15.0, 20.0)), "60")], indirect=True
)
def test_a_gap_lasts_until_the_gpu_is_as_cool_as_before_the_first_run(
    events: list[list[Any]], tmp_path: Path
) -> None:
    (started,), (ended,) = fields_of(events, "GapStarted"), fields_of(events, "GapEnded")
    assert started["until"] == "every GPU is within 2 C of the first run"
    assert (ended["skipped"], ended["cool"]) == (False, True)
    (folder,) = (tmp_path / "results").iterdir()
    manifest = read_manifest(folder)
    first, second = (e.gpu_temperatures_c for e in manifest.entries)
    assert manifest.first_temperatures_c == first
    assert first is not None
    assert second is not None
    (uuid,) = first
    assert second[uuid] <= first[uuid] + 2
    readings = [fields["temperature_c"][uuid] for fields in fields_of(events, "GapTelemetry")]
    assert max(readings) > first[uuid] + 2
    assert all(
        fields["power_w"][uuid] == pytest.approx(100, rel=0.1)
        for fields in fields_of(events, "GapTelemetry")
    )


@pytest.mark.parametrize("events", [(((0.0, 30.0), (100.0, 40030.0)), "2")], indirect=True)
def test_a_gap_with_a_gpu_that_stays_warm_ends_at_its_timeout(events: list[list[Any]]) -> None:
    (ended,) = fields_of(events, "GapEnded")
    assert ended["cool"] is False
    # It has waited for the GPU: a second reading comes a second after the first.
    assert len(fields_of(events, "GapTelemetry")) >= 2


def test_the_lower_of_two_limits_applies_and_a_gpu_without_reading_has_none() -> None:
    cooling = Cooling(until_c=50, within_c=5, first_c={"GPU-a": 40, "GPU-b": 48})
    assert (cooling.limit_c("GPU-a"), cooling.limit_c("GPU-b")) == (45, 50)
    assert cooling.limit_c("GPU-c") == 50
    assert cooling.is_cool({"GPU-a": 45})
    assert not cooling.is_cool({"GPU-a": 45, "GPU-b": 51})
    assert Cooling(within_c=5).is_limited is False
    assert cooling.is_cool({})
