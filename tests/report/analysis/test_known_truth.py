"""Issue 13: effects that are known before a study are in the intervals of its ranking.

Real runs of the command line, each in its own process, metered by NVML on a scripted driver. The
GPU has a constant power, and the backend takes a time that is fixed for each combination, so the
ratio of the energies of two levels is that of their times.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

from llem_report import analyse
from llem_report.records import Analysis, Interval

pytestmark = pytest.mark.slow  # starts a process for each run

PARROT = Path(__file__).parents[2] / "example_backend" / "src"
BACKEND = """
import time
from llem_parrot._backend import ParrotBackend

class TimedParrot(ParrotBackend):
    _due_s = 0.0

    def generate(self, batch):
        seconds = 0.05 * (1.5 if self._options.mood == "playful" else 1.0)
        now_s = time.perf_counter()
        # What the last batch was late is made up for, so that errors of sleep do not add up.
        start_s = self._due_s if now_s - self._due_s < 0.2 else now_s
        answer = super().generate(batch)
        self._due_s = start_s + seconds
        while (left_s := self._due_s - time.perf_counter()) > 0:
            time.sleep(left_s)
        return answer
"""
ENTRY_POINTS = """
[llem.backends]
parrot = timed_parrot:TimedParrot
[llem.sections]
parrot = llem_parrot._section:ParrotConfig
[llem.backend_facts]
parrot = llem_parrot._facts:ParrotFacts
"""
STUDY = """
model: builtin:tiny-llama
backend: parrot
precision: fp32
n: 4
max_input_tokens: 8
max_output_tokens: 4
warmup: {n_warmup: 1, convergence_detection: false}
baseline: {enabled: false}
energy: {min_window_seconds: 1.5}
sweep:
  parrot.mood: [literal, playful]
  parrot.batch_size: [1, 2]
  parrot.memory: [3, 5]
execution: {n_cycles: 2, config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, library: Path) -> tuple[Analysis, str]:
    """Return the analysis of the study, and what `study run` printed."""
    folder = tmp_path_factory.mktemp("measured")
    metadata = folder / "site" / "timed_parrot-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: timed-parrot\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "site" / "timed_parrot.py").write_text(BACKEND)
    (folder / "study.yaml").write_text(STUDY)
    gpu = FakeGpu(uuid="GPU-truth", points=((0.0, 300.0),))
    fake_nvml.write_trace(folder / "gpus.trace", [gpu])
    done = subprocess.run(
        [sys.executable, "-m", "llem_cli", "study", "run", "study.yaml", "--quiet"],
        cwd=folder,
        env={
            **os.environ,
            **fake_nvml.environment(library, folder / "gpus.trace"),
            "LLEM_CACHE": str(folder / "cache" / "calibrations.json"),
            "LLEM_DEVICES__GPUS": "[0]",
            "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(PARROT)]),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (study,) = (folder / "results").iterdir()
    return analyse(study), done.stdout


def nearly_holds(interval: Interval | None, true_ratio: float, slack: float = 0.005) -> bool:
    """Return whether an interval holds, or almost."""
    assert interval is not None
    assert interval.ci95_low is not None
    assert interval.ci95_high is not None
    return interval.ci95_low * (1 - slack) <= true_ratio <= interval.ci95_high * (1 + slack)


def test_known_ratios_of_measured_energy_are_in_their_intervals(
    measured: tuple[Analysis, str],
) -> None:
    analysis, _ = measured
    assert (analysis.figure, analysis.n_runs_used) == ("energy_per_output_token_j", 16)
    # A batch takes the same time whatever its size.
    truth = {"parrot.batch_size": 2.0, "parrot.mood": 1.5, "parrot.memory": 1.0}
    assert [each.key for each in analysis.factors] == list(truth)
    for each in analysis.factors:
        # All three hold at once in 95 % of studies; in the others, they are a little off.
        assert nearly_holds(each.effect, truth[each.key])
    assert [each.verdict for each in analysis.factors[:2]] == ["matters", "matters"]
    assert [(each.rank_low, each.rank_high) for each in analysis.factors] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]


def test_the_study_ends_with_the_ranking(measured: tuple[Analysis, str]) -> None:
    analysis, printed = measured
    assert f"\n{analysis.finding}\n" in printed
    assert analysis.finding.startswith("parrot.batch_size matters most: at 1, ")
    assert "2     parrot.mood" in printed
