"""Files written by earlier versions still load; there is one stored example of each format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from llem_config import StudyConfig
from llem_runner import read_manifest, read_study_result

DATA = Path(__file__).parent / "data"


def test_format_1_of_the_manifest_loads(tmp_path: Path) -> None:
    shutil.copy(DATA / "manifest_v1.json", tmp_path / "manifest.json")
    manifest = read_manifest(tmp_path)
    assert manifest.status == "failed"
    assert [entry.status for entry in manifest.entries] == ["completed", "failed"] * 2
    assert manifest.entries[1].error_type == "BackendError"


def test_format_2_of_the_manifest_loads(tmp_path: Path) -> None:
    shutil.copy(DATA / "manifest_v2.json", tmp_path / "manifest.json")
    manifest = read_manifest(tmp_path)
    assert manifest.first_temperatures_c == {"GPU-1": 41.0}
    assert [entry.error_reason for entry in manifest.entries] == [None, "exception"]
    assert manifest.entries[1].gpu_temperatures_c == {"GPU-1": 43.0}
    assert "this one does not work" in (manifest.entries[1].error_log or "")


def test_format_1_of_the_study_result_loads(tmp_path: Path) -> None:
    shutil.copy(DATA / "study_result_v1.json", tmp_path / "study_result.json")
    result = read_study_result(tmp_path)
    assert result.summary.points[0].energy_total_j is not None
    assert result.summary.points[0].energy_total_j.mean == 100.0
    assert len(result.failed) == 2
    assert result.schema_version == 1
    assert result.summary.points[0].energy_total_j.ci95_low is None
    assert result.summary.comparisons is None


def test_format_2_of_the_study_result_loads(tmp_path: Path) -> None:
    shutil.copy(DATA / "study_result_v2.json", tmp_path / "study_result.json")
    result = read_study_result(tmp_path)
    assert result.schema_version == 2
    comparisons = result.summary.comparisons
    assert comparisons is not None
    assert comparisons.reference_label == "precision=bf16 pytorch.batch_size=8"
    assert [point.distinguishable for point in comparisons.points] == [False, True, True]
    assert [outlier.index for outlier in result.summary.outliers] == [9]


def test_format_3_of_the_study_result_loads(tmp_path: Path) -> None:
    shutil.copy(DATA / "study_result_v3.json", tmp_path / "study_result.json")
    protocol = read_study_result(tmp_path).measurement_protocol
    assert (protocol.gap_at_most_seconds, protocol.stall_seconds) == (600.0, 600.0)


def test_format_1_of_the_resolved_study_loads_and_keeps_its_hash() -> None:
    text = (DATA / "study_resolved_v1.json").read_text()
    study = StudyConfig.model_validate_json(text)
    assert f'"study_design_hash": "{study.study_design_hash}"' in text
    assert (study.factors, study.levels) == ((), ())
    assert {"factors", "levels"} & json.loads(study.model_dump_json()).keys() == set()
