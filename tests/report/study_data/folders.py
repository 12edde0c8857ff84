"""Real study folders, measured in this process by a meter whose figures are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fakes.results import make_result

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_runner import run_study
from llem_runner._executors.inline import InlineExecutor

TINY = """\
model: builtin:tiny-llama
precision: fp32
max_input_tokens: 8
max_output_tokens: 4
warmup: {n_warmup: 1, convergence_detection: false}
energy: {min_window_seconds: 0}
"""
Changes = Callable[[ExperimentConfig, int], dict[str, Any]]
"""Returns the fields of a result that differ from the usual ones, by experiment and number of the
measurement from 1."""


class Meter:
    """A stand-in for `measure`. The fields of a result can be chosen; an error fails the run."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._n_calls = 0

    def __getstate__(self) -> dict[str, Any]:
        return {}  # this process calls the object itself; its functions cannot be pickled

    def __call__(self, config: ExperimentConfig, **_: Any) -> ExperimentResult:
        self._n_calls += 1
        now = datetime.now(UTC).isoformat()
        changes = self._changes(config, self._n_calls)
        return make_result(config, **{"started_at": now, "ended_at": now} | changes)


def make_folder(
    parent: Path,
    text: str,
    changes: Changes = lambda *_: {},
    n_cycles: int = 2,
    execution: str = "",
    **options: Any,
) -> Path:
    """Return the folder of a study that ran to its end.

    Args:
        parent: an empty folder.
        text: of the study file, without the fields of `TINY`.
        changes: see `Changes`.
        n_cycles: of the study.
        execution: further keys of the section, such as `, cycle_order: sequential`.
        options: of `run_study`.
    """
    file = parent / "study.yaml"
    gaps = "config_gap_seconds: 0, cycle_gap_seconds: 0"
    file.write_text(f"{TINY}execution: {{n_cycles: {n_cycles}, {gaps}{execution}}}\n{text}")
    results = parent / "results"
    run_study(file, output=results, measure=Meter(changes), executor=InlineExecutor(), **options)
    (folder,) = results.iterdir()
    return folder


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest of a folder, as a running or a killed study would have left it."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
