"""The example in the description of `llem_runner.shards`, as a user would run it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from fakes.studies import only_folder

from llem_runner import read_manifest, shards

STUDY = """\
model: builtin:tiny-llama
n: 1
max_input_tokens: 8
max_output_tokens: 2
pytorch: {device: cpu}
warmup: {n_warmup: 1, convergence_detection: false}
energy: {min_window_seconds: 0}
sweep: {precision: [fp32, bf16]}
execution: {n_cycles: 2, cycle_order: shuffled, config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


def test_the_example_measures_a_study(tmp_path: Path) -> None:
    assert shards.__doc__ is not None
    lines = [line for line in shards.__doc__.splitlines() if line.startswith("    ")]
    example = textwrap.dedent("\n".join(lines))
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "example.py").write_text(f"{example}\nprint(result.status, len(plan.shards))\n")
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["completed", "2"]
    manifest = read_manifest(only_folder(tmp_path / "results"))
    assert (manifest.is_divided, manifest.totals.completed) == (True, 4)
