"""Real studies on the scripted driver: the command line, a process for each run, and the meter are real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

ROOT = Path(__file__).parents[2]
STUDY = """\
name: scripted
model: builtin:tiny-llama
backend: {backend}
precision: bf16
n: 64
max_input_tokens: 32
max_output_tokens: 8
warmup: {{n_warmup: 1, convergence_detection: false}}
baseline: {{duration_seconds: 1}}
energy: {{sources: [nvml], min_window_seconds: 2.5, estimate: false}}
{backend}: {{attn_implementation: sdpa, cache_implementation: static, batching: static}}
execution: {{n_cycles: 2, cycle_order: shuffled, config_gap_seconds: 0, cycle_gap_seconds: 0}}
sweep: {{{backend}.batch_size: {batch_sizes}}}
"""
ENTRY_POINTS = """\
[llem.backends]
scripted = {backend}
[llem.sections]
scripted = benchmarks.report.scripted_section:ScriptedConfig
[llem.backend_facts]
scripted = benchmarks.report.scripted_facts:ScriptedFacts
"""
SCRIPTED = "benchmarks.report.scripted_backend:ScriptedBackend"


class ScriptedStudy:
    """A study whose runs work on one GPU of the scripted driver."""

    timeout_s = 280.0
    """Of each command."""

    def __init__(
        self,
        parent: Path,
        library: Path,
        gpu: FakeGpu,
        *,
        batch_sizes: tuple[int, ...],
        backend: str = SCRIPTED,
    ) -> None:
        """Write its files into `parent`; it does not run yet."""
        self.parent = parent
        info = parent / "site" / "llem_scripted-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llem-scripted\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(ENTRY_POINTS.format(backend=backend))
        text = STUDY.format(backend="scripted", batch_sizes=list(batch_sizes))
        (parent / "study.yaml").write_text(text)
        fake_nvml.write_trace(parent / "gpu.trace", [gpu])
        paths = [str(parent / "site"), str(ROOT), str(ROOT / "tests")]
        self._env = {
            **os.environ,
            **fake_nvml.environment(library, parent / "gpu.trace"),
            "PYTHONPATH": os.pathsep.join(paths),
        }

    def llem(self, *arguments: str | Path) -> str:
        """Run `llem-cli` and return its output."""
        done = subprocess.run(
            [sys.executable, "-m", "llem_cli", *map(str, arguments)],
            cwd=self.parent, env=self._env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=self.timeout_s,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self) -> Path:
        """Run the study, and return its folder."""
        self.llem("study", "run", "study.yaml", "--quiet")
        (folder,) = (self.parent / "results").iterdir()
        return folder


def results_of(folder: Path) -> list[dict[str, Any]]:
    """Return the content of every `result.json` of a study."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*/result.json"))]
