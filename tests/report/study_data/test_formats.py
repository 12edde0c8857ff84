"""Folders with files of earlier formats, and with files of several formats beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.results import make_result
from report.tables.folders import write_folder

from llem_config import ExperimentConfig, StudyConfig, measurement_config_hash
from llem_energy.records import encode_result
from llem_report._study_data.read import read_study_data

DATA = Path(__file__).parents[2]
RESULTS = sorted((DATA / "energy" / "result" / "data").glob("result_v*.json"))
MANIFESTS = sorted((DATA / "runner" / "storage" / "data").glob("manifest_v*.json"))


def stored(path: Path) -> Any:
    return json.loads(path.read_text())


def study_of(path: Path) -> StudyConfig:
    """Return a study whose first point is that of a stored result."""
    config = ExperimentConfig.model_validate(stored(path)["config"])
    assert measurement_config_hash(config) == stored(path)["measurement_config_hash"]
    other = config.model_copy(update={"n": config.n + 1})
    return StudyConfig(name="old", experiments=(config, other))


def result_files(folder: Path) -> list[Path]:
    entries = stored(folder / "manifest.json")["entries"]
    return [folder / entry["result_file"] for entry in entries if entry["result_file"]]


def forget_digests(folder: Path) -> None:
    """Remove the digests of results, which manifests of formats 1 and 2 do not have."""
    path = folder / "manifest.json"
    manifest = stored(path)
    for entry in manifest["entries"]:
        entry["result_sha256"] = None
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_a_result_of_each_format_is_read(tmp_path: Path, path: Path) -> None:
    folder = write_folder(tmp_path / "old", study_of(path), ["completed"] * 4, n_requests=1)
    for file in result_files(folder)[::2]:  # both runs of the first point
        file.write_bytes(path.read_bytes())
    forget_digests(folder)
    data = read_study_data(folder)
    # The stored results are of other machines, so not all runs are compared.
    assert (data.problems, sum(run.facts is not None for run in data.runs)) == ((), 4)
    assert [factor.key for factor in data.factors] == ["n"]
    energy = stored(path)["energy_per_output_token_j"]
    assert [run.value for run in data.runs[::2]] == [energy, energy]
    facts = data.runs[0].facts
    assert facts is not None
    # What a format does not have is missing, and not 0.
    has_phases = bool(stored(path).get("phases"))
    assert any(name.startswith("phase.") for name in facts.values) is has_phases


def test_results_of_several_formats_are_read_beside_each_other(tmp_path: Path) -> None:
    n_runs = 2 * len(RESULTS)
    folder = write_folder(tmp_path / "old", study_of(RESULTS[0]), ["completed"] * n_runs)
    for file, path in zip(result_files(folder)[::2], RESULTS, strict=True):
        file.write_bytes(path.read_bytes())
    forget_digests(folder)
    data = read_study_data(folder)
    assert data.problems == ()
    assert sum(run.facts is not None for run in data.runs) == n_runs
    assert {run.value for run in data.runs[::2]} == {
        stored(path)["energy_per_output_token_j"] for path in RESULTS
    }


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_of_each_format_is_read_with_the_results_of_its_runs(
    tmp_path: Path, path: Path
) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    manifest = stored(path)
    (folder / "manifest.json").write_text(path.read_text())
    config = ExperimentConfig(model="builtin:tiny-llama")
    for entry in manifest["entries"]:
        if entry["result_file"] is not None:
            (folder / entry["result_file"]).parent.mkdir()
            result = make_result(config, measurement_config_hash=entry["config_hash"])
            (folder / entry["result_file"]).write_bytes(encode_result(result))
    data = read_study_data(folder)
    n_completed = sum(entry["status"] == "completed" for entry in manifest["entries"])
    assert n_completed
    assert len(data.used_runs) == n_completed
    assert len(data.runs) == len(manifest["entries"])
    assert [problem.startswith(str(folder / "study_resolved.json")) for problem in data.problems]


def test_a_result_of_a_later_format_counts_as_missing_beside_others(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "old", study_of(RESULTS[-1]), ["completed"] * 4)
    file = result_files(folder)[0]
    file.write_bytes(msgspec.json.encode(stored(file) | {"schema_version": 99}))
    data = read_study_data(folder)
    assert len(data.used_runs) == 3
    assert any("99" in problem for problem in data.problems)
