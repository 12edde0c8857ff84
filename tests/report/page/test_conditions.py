"""What the page says is left out: failed and interrupted runs are not the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report.study_data.folders import edit_manifest, make_folder

from llem_config import ExperimentConfig
from llem_report import read_report


def test_interrupted_runs_are_not_called_failed(tmp_path: Path) -> None:
    def changes(config: ExperimentConfig, number: int) -> dict[str, Any]:
        if number == 1:
            raise ValueError("does not fit")
        return {}

    folder = make_folder(tmp_path, "sweep: {n: [2, 4]}\n", changes, n_cycles=2)

    def interrupt(manifest: dict[str, Any]) -> None:
        manifest["entries"][3] |= {
            "status": "interrupted", "result_file": None, "result_sha256": None,
        }  # fmt: skip

    edit_manifest(folder, interrupt)
    left_out = read_report(folder).conditions.left_out
    assert left_out == ["1 run failed: does not fit", "1 run interrupted"]
