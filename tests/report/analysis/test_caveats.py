"""What the intervals of an analysis do not cover is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.studies import experiment, only_folder
from report.comparison.folders import KnownMeter, make_folder
from report.study_data.folders import edit_manifest

from llem_config import ExecutionConfig, StudyConfig
from llem_report import analyse
from llem_runner import run_study
from llem_runner._executors.inline import InlineExecutor


def test_an_unfinished_study_says_when_its_intervals_do_not_hold(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 1, ns=(1, 2), cycles=5)
    assert not any("planned cycles" in caveat for caveat in analyse(folder).caveats)

    def stop_after_three_cycles(manifest: dict[str, Any]) -> None:
        manifest["status"] = "interrupted"
        for entry in manifest["entries"]:
            if entry["cycle"] > 3:
                entry |= {"status": "pending", "result_file": None, "result_sha256": None}

    edit_manifest(folder, stop_after_three_cycles)
    (caveat,) = [caveat for caveat in analyse(folder).caveats if "planned cycles" in caveat]
    assert caveat == (
        "3 of 5 planned cycles have run; the intervals do not hold if the study ends here because "
        "of what these results show"
    )


@pytest.mark.parametrize(
    ("precisions", "figure", "n_caveats"),
    [
        (("fp32", "bf16", "fp32"), "energy_per_output_token_j", 1),
        (("fp32", "fp32", "fp32"), "energy_per_output_token_j", 0),
        (("fp32", "bf16", "fp32"), "tokens_per_second", 0),
    ],
)
def test_precisions_with_random_weights_have_one_caveat_for_energy(
    tmp_path: Path, precisions: tuple[str, ...], figure: str, n_caveats: int
) -> None:
    """The ranking says it once, not for each point."""
    points = tuple(experiment(n=n, precision=name) for n, name in enumerate(precisions, 1))
    execution = ExecutionConfig(
        n_cycles=4, cycle_order="shuffled", config_gap_seconds=0, cycle_gap_seconds=0
    )
    run_study(
        StudyConfig(name="test", experiments=points, execution=execution),
        output=tmp_path,
        measure=KnownMeter(1, len(points)),
        executor=InlineExecutor(),
    )
    analysis = analyse(only_folder(tmp_path), figure=figure)
    said = [caveat for caveat in analysis.caveats if "differ in precision" in caveat]
    assert len(said) == n_caveats
