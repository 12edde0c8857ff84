"""A study of one machine has the figures that commit 7b88b9a wrote, the last before points were compared by blocks.

`data/study_before_shards` was measured by a stand-in: 4 points in 3 cycles, one point with a larger spread.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llem_config import Settings, StudyConfig
from llem_runner import StudyResult, read_manifest, read_study_result, verify_study
from llem_runner._analysis.summary import summarise
from llem_runner._storage.layout import Layout

STORED = Path(__file__).parent / "data/study_before_shards"
SITE = {
    "carbon_intensity_gco2_kwh": 400.0,
    "datacenter_pue": 1.2,
    "electricity_price_kwh": 0.3,
}
TEXTS = {
    "summary.comparisons.method",
    "summary.comparisons.rule",
    "summary.comparisons.error_budget.gain",
    "summary.comparisons.error_budget.sampling",
}
"""Sentences about the method; they name blocks in place of cycles."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED, tmp_path / "study"))


def summarised(folder: Path) -> StudyResult:
    study = StudyConfig.model_validate_json((folder / "study_resolved.json").read_bytes())
    settings = Settings.model_validate({"measurement": SITE})
    manifest = read_manifest(folder)
    return summarise(study, Layout(folder), manifest, settings, limits_enforced=False)


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Yield where a value of `old` is missing in `new` or another one; `new` may have more fields."""
    match old, new:
        case dict(), dict():
            for name, value in old.items():
                inner = f"{place}.{name}".lstrip(".")
                if name in new:
                    yield from differences(value, new[name], inner)
                else:
                    yield inner
        case list(), list() if len(old) == len(new):
            for number, pair in enumerate(zip(old, new, strict=True)):
                yield from differences(*pair, f"{place}[{number}]")
        case float(), float() if math.isclose(old, new, rel_tol=1e-12, abs_tol=0):
            pass
        case _ if type(old) is not type(new) or old != new:
            yield place


def numbers(data: Any) -> Iterator[float]:
    match data:
        case dict():
            for value in data.values():
                yield from numbers(value)
        case list():
            for value in data:
                yield from numbers(value)
        case float():
            yield data


def test_the_figures_are_those_of_an_earlier_commit_and_there_are_only_new_fields(
    folder: Path,
) -> None:
    old = json.loads((folder / "study_result.json").read_bytes())
    new = json.loads(msgspec.json.encode(summarised(folder)))
    assert set(differences(old, new)) == TEXTS
    assert len(list(numbers(old["summary"]))) > 100
    assert [point["distinguishable"] for point in old["summary"]["comparisons"]["points"]] == [
        False,
        True,
        False,
    ]


def test_a_change_of_the_energy_of_one_run_by_1e_11_is_found(folder: Path) -> None:
    path = min(folder.glob("*/result.json"))
    result = json.loads(path.read_bytes())
    result["energy_per_output_token_j"] *= 1 + 1e-11
    path.write_text(json.dumps(result))
    old = json.loads((folder / "study_result.json").read_bytes())
    new = json.loads(msgspec.json.encode(summarised(folder)))
    assert "summary.comparisons.points[1].ratio" in set(differences(old, new))


def test_the_folder_of_an_earlier_commit_is_read_and_verified(folder: Path) -> None:
    assert read_study_result(folder).summary.completed == 12
    assert {file.state for file in verify_study(folder).files} == {"intact"}
