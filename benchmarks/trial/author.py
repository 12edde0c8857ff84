"""The author of the trial: measures a study on the scripted driver, archives it, and adds a level."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from fakes import fake_nvml

from benchmarks.report.example_truth import true_energy_j
from benchmarks.report.measured_example import GPU, ROOT, SITE

_STUDY = """\
name: trial
model: builtin:tiny-llama
backend: scripted
precision: bf16
n: 64
max_input_tokens: 32
max_output_tokens: 8
warmup: {{n_warmup: 1, convergence_detection: false}}
baseline: {{enabled: false}}
energy: {{sources: [nvml], min_window_seconds: 0.2, sample_period_seconds: 0.01, estimate: false}}
scripted: {{attn_implementation: sdpa, cache_implementation: static, batching: static}}
execution: {{n_cycles: {n_cycles}, cycle_order: shuffled, config_gap_seconds: 0, cycle_gap_seconds: 0}}
sweep: {{scripted.batch_size: [{batch_sizes}]}}
"""


@dataclass(frozen=True)
class Truth:
    """What was really done, as it was scripted."""

    levels: tuple[str, ...]
    """Batch sizes of the first study."""
    added: tuple[str, ...]
    """Batch sizes that were added later."""
    n_cycles: int
    """Of the first study; the added levels have as many."""
    n_runs: int
    process: str = "each in a new process"
    """Where the runs were made."""
    model: str = "builtin:tiny-llama"
    gpu: str = GPU.name
    author: str = "Doe, Jane"
    licence: str = "CC-BY-4.0"

    @property
    def all_levels(self) -> tuple[str, ...]:
        """Return the batch sizes of all points."""
        return self.levels + self.added

    def energy_j(self, level: str) -> float:
        """Return the true energy per output token at a batch size, in joules."""
        others = {
            "precision": "bf16", "attention": "sdpa", "cache_implementation": "static",
            "batching": "static",
        }  # fmt: skip
        return true_energy_j({**others, "batch_size": level})

    @property
    def ratio(self) -> float:
        """Return the true energy at the worst batch size over that at the best."""
        energies = [self.energy_j(level) for level in self.all_levels]
        return max(energies) / min(energies)


class Author:
    """Works in a folder of their own, with the scripted driver and its backend installed."""

    def __init__(
        self,
        parent: Path,
        levels: tuple[str, ...],
        n_cycles: int,
        *,
        in_one_process: bool = False,
    ) -> None:
        """Prepare the driver and the study file in the empty folder `parent`.

        Args:
            parent: of the study, the driver and the cache.
            levels: batch sizes.
            n_cycles: number of cycles.
            in_one_process: whether all runs are made in the process of the command, which imports llem once.
        """
        self._parent = parent
        library = fake_nvml.build(parent / "driver")
        fake_nvml.write_trace(parent / "gpu.trace", [GPU])
        paths = [str(SITE), str(ROOT), os.environ.get("PYTHONPATH", "")]
        self._env = {
            **os.environ,
            **fake_nvml.environment(library, parent / "gpu.trace"),
            "LLEM_CACHE": str(parent / "cache" / "calibrations.json"),
            "LLEM_DEVICES__GPUS": "[0]",
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        }
        self.truth = Truth(levels, (), n_cycles, n_cycles * len(levels))
        if in_one_process:
            self._env["LLEM_EXECUTION__EXECUTOR"] = "inline"
            self.truth = replace(self.truth, process="in the process of llem")
        self._write("study.yaml", levels)

    def measure(self) -> None:
        """Run the study."""
        self._llem("study", "run", "study.yaml", "--quiet")

    def add_level(self, level: str) -> None:
        """Add a batch size to the study, which runs in new cycles beside two of the others."""
        self._write("more.yaml", (*self.truth.all_levels, level))
        self._llem("study", "extend", str(self._folder), "--study", "more.yaml", "--quiet")
        truth = self.truth
        n_anchors = min(2, len(truth.all_levels))
        self.truth = replace(
            truth,
            added=(*truth.added, level),
            n_runs=truth.n_runs + truth.n_cycles * (1 + n_anchors),
        )

    def archive(self, path: Path) -> Path:
        """Write the archive of the study, and return its path."""
        truth = self.truth
        self._llem(
            "study", "archive", str(self._folder), "--output", str(path), "--licence", truth.licence,
            "--author", truth.author,
        )  # fmt: skip
        return path

    @property
    def _folder(self) -> Path:
        (folder,) = (self._parent / "results").iterdir()
        return folder

    def _write(self, name: str, levels: tuple[str, ...]) -> None:
        text = _STUDY.format(n_cycles=self.truth.n_cycles, batch_sizes=", ".join(levels))
        (self._parent / name).write_text(text)

    def _llem(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "llem_cli", *arguments],
            cwd=self._parent, env=self._env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
