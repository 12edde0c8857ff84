"""What was measured is kept if a backend cannot report something about it, and the result says so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from energy.parts import QUICK, run_python

BROKEN = """
from llem_parrot._backend import ParrotBackend, ParrotGeneration


class Generation(ParrotGeneration):
    def token_times_s(self):
        raise KeyError("no clock")


class BrokenBackend(ParrotBackend):
    '''A parrot that works, but cannot report what it did.'''

    is_done = False

    def generate(self, batch):
        answer = super().generate(batch)
        answer.__class__ = Generation
        return answer

    def phase(self, name, batch):
        self.is_done = True
        raise RuntimeError("the phase is broken")

    def memory(self):
        raise OSError("no\\nmemory")

    def flops(self, input_tokens, output_tokens, cached_tokens=0):
        return 17

    def compilations(self):
        if self.is_done:
            raise AttributeError("gone")
        return 0

    def warnings(self):
        return "one text instead of a list"

    def effective_config(self):
        return {"a": float("nan")}

    def process_ids(self):
        return [True]
"""
ENTRY_POINTS = """
[llem.backends]
broken = broken:BrokenBackend
[llem.backend_facts]
broken = llem_parrot._facts:ParrotFacts
[llem.sections]
broken = llem_parrot._section:ParrotConfig
"""
MEASURE = """
import sys
import msgspec
from llem_config import ExperimentConfig
from llem_energy import measure
result = measure(ExperimentConfig.model_validate_json(sys.argv[1]))
print(msgspec.json.encode(result).decode(), flush=True)
"""
EXAMPLE = Path(__file__).parents[2] / "example_backend" / "src"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "broken.py").write_text(BROKEN)
    info = folder / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    config = {
        **{key: value for key, value in QUICK.items() if key != "pytorch"},
        "backend": "broken",
        "energy": {"sources": ["none"], "min_window_seconds": 0.0, "phases": ["prefill"]},
    }
    env = {"PYTHONPATH": f"{folder}{os.pathsep}{EXAMPLE}"}
    lines = run_python(MEASURE, json.dumps(config), env=env).splitlines()
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def test_a_backend_that_cannot_report_does_not_lose_the_measurement(
    result: dict[str, Any],
) -> None:
    assert result["output_tokens"] == 3 * 4
    assert result["tokens_per_second"] > 0
    assert result["time_to_first_token"] is None
    assert result["flops"] is None
    assert result["peak_memory_bytes"] is None
    assert result["effective_config"] == {}


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("process_ids", "TypeError: expected ids of processes, found (True,)"),
        ("memory", "OSError: no memory"),
        ("token_times_s", "KeyError: 'no clock'"),
        ("flops", "TypeError: expected Flops or None, found 17"),
        ("effective_config", "ValueError: Out of range float values are not JSON compliant"),
        (
            "warnings",
            "TypeError: expected a list of sentences, found 'one text instead of a list'",
        ),
    ],
)
def test_the_result_warns_of_what_a_backend_could_not_report(
    result: dict[str, Any], method: str, reason: str
) -> None:
    start = f"the backend broken could not report {method}: {reason}"
    matching = [each for each in result["measurement_warnings"] if each.startswith(start)]
    assert len(matching) == 1, result["measurement_warnings"]


def test_an_error_in_a_phase_does_not_lose_the_window(result: dict[str, Any]) -> None:
    (phase,) = result["phases"]
    assert phase["energy_j"] is None
    assert phase["quality"] == {
        "status": "missing",
        "reasons": ["RuntimeError: the phase is broken"],
    }
