"""`benchmarks/slurm_quickstart.py`: which differences between two results it explains, and which it never does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.shard_studies import SECONDS, divided, on_a_node, shuffled
from fakes.studies import only_folder

from benchmarks.disturbed_slurm.compared_results import compare, differences, flags
from llem_runner import run_study
from llem_runner.executors import InlineExecutor
from llem_runner.shards import merge_study, run_shard


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders of one study as one machine and as shards have measured it."""
    work = tmp_path_factory.mktemp("compared")
    study = shuffled(4, 3, config_gap_seconds=0, cycle_gap_seconds=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SECONDS, "0")
        run_study(study, output=work / "one", measure=on_a_node, executor=InlineExecutor())
        plan = divided(work / "shards", 4, 3, 1)
        for number in (1, 2, 3):
            run_shard(plan.folder, number, measure=on_a_node, executor=InlineExecutor())
    merge_study(plan.folder)
    return only_folder(work / "one"), plan.folder


def unexplained(one: Path, other: Path) -> set[str]:
    prefix = "not explained: "
    return {text.removeprefix(prefix) for text in differences(one, other) if prefix in text}


def test_energies_and_times_may_differ(pair: tuple[Path, Path]) -> None:
    assert unexplained(*pair) == set()
    found = differences(*pair)
    assert found["energies, and what is compared: speeds where no energy is"] > 50
    assert found["times and speeds"] >= 1


def one_value_less(points: list[dict[str, Any]]) -> None:
    points[2]["compared"]["n"] -= 1


def one_flagged(points: list[dict[str, Any]]) -> None:
    points[0]["n_flagged"] += 1


def no_energy(points: list[dict[str, Any]]) -> None:
    points[1]["energy_total_j"]["mean"] = None


def another_field(points: list[dict[str, Any]]) -> None:
    points[3]["energy_of_moon_j"] = 1.0


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (one_value_less, "summary.points[2].compared.n"),
        (one_flagged, "summary.points[0].n_flagged"),
        (no_energy, "summary.points[1].energy_total_j.mean"),
        (another_field, "summary.points[3].energy_of_moon_j"),
    ],
)
def test_counts_missing_values_and_unknown_fields_are_never_explained(
    pair: tuple[Path, Path], change: Callable[[list[dict[str, Any]]], None], path: str
) -> None:
    one, shards = pair
    file = shards / "study_result.json"
    before = file.read_text()
    result = json.loads(before)
    change(result["summary"]["points"])
    file.write_text(json.dumps(result))
    try:
        assert unexplained(one, shards) == {path}
        fields = next(
            row for row in compare(one, shards) if row.what == "fields of study_result.json"
        )
        assert fields.is_equal is (
            change is not another_field
        )  # also of an element that is not the first
    finally:
        file.write_text(before)


BUSY = "other processes kept 1.4 of the 2 CPUs busy during the window"
STOPPED = "the process of the run or its machine was stopped for 2 s of the window of 10 s"


@pytest.mark.parametrize(
    "reasons", [[BUSY], [STOPPED], [BUSY, STOPPED]], ids=["busy", "stopped", "both"]
)
def test_a_flag_is_explained_by_other_programs_alone(
    pair: tuple[Path, Path], tmp_path: Path, reasons: list[str]
) -> None:
    one, shards = pair
    changed = Path(shutil.copytree(shards, tmp_path / "changed"))
    study_result = changed / "study_result.json"
    result = json.loads(study_result.read_text())
    result["summary"]["points"][0]["n_flagged"] += 1
    study_result.write_text(json.dumps(result))
    run_file = min(changed.glob("shards/*/a*/*/result.json"))
    run = json.loads(run_file.read_text())
    run["figures"]["energy_total_j"] = {"status": "flagged", "reasons": reasons}
    run_file.write_text(json.dumps(run))
    expected = set() if reasons == [BUSY] else {"summary.points[0].n_flagged"}
    assert unexplained(one, changed) == expected
    masked = re.sub(r"\d+(\.\d+)?", "N", reasons[0])
    assert (masked, 0, 1) in flags(one, changed)
