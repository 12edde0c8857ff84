from __future__ import annotations

import json
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from report.tables.folders import GPU, study_of, write_folder

from llem_report import ReportError, export

TEXT, NUMBER = {"type": "string"}, {"type": "number"}


def closed(required: str, **properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has these properties and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required.split(),
    }


def some(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


# The fields that we write, as the schemas of BoAmps describe them: names, types, what is required.
# These schemas have no `measure_schema.json` in our reach; its names are those of its examples.
SCHEMA = closed(
    "task measures infrastructure",
    header=closed(
        "reportDatetime",
        formatVersion=TEXT,
        formatVersionSpecificationUri=TEXT,
        reportId=TEXT,
        reportDatetime=TEXT,
        reportStatus={"enum": ["draft", "final", "corrective", "other"]},
    ),
    task=closed(
        "taskStage taskFamily algorithms dataset",
        taskStage=TEXT,
        taskFamily=TEXT,
        nbRequest=NUMBER,
        taskDescription=TEXT,
        algorithms=some(
            closed(
                "",
                algorithmType=TEXT,
                foundationModelName=TEXT,
                framework=TEXT,
                frameworkVersion=TEXT,
                quantization=TEXT,
            )
        ),
        dataset=some(
            closed(
                "dataUsage dataType",
                dataUsage={"enum": ["input", "output"]},
                dataType={"enum": ["token"]},
                dataQuantity=NUMBER,
            )
        ),
    ),
    measures=some(
        closed(
            "measurementMethod powerConsumption measurementDuration",
            measurementMethod=TEXT,
            version=TEXT,
            cpuTrackingMode=TEXT,
            gpuTrackingMode=TEXT,
            powerConsumption=NUMBER,
            measurementDuration=NUMBER,
            measurementDateTime=TEXT,
        )
    ),
    system=closed("os", os=TEXT),
    software=closed("language", language=TEXT, version=TEXT),
    infrastructure=closed(
        "infraType components",
        infraType={"enum": ["publicCloud", "privateCloud", "onPremise", "other"]},
        components=some(
            closed(
                "componentType nbComponent",
                componentType=TEXT,
                componentName=TEXT,
                nbComponent={"type": "integer"},
                memorySize={"type": "integer"},
            )
        ),
    ),
    quality={"enum": ["high", "medium", "low"]},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "grid", study_of())


def test_each_run_with_energy_has_a_report_with_the_fields_of_boamps(
    folder: Path, tmp_path: Path
) -> None:
    exported = export(folder, tmp_path / "out", boamps=True)
    reports = [json.loads(Path(path).read_text("utf-8")) for path in exported.boamps]
    assert len(reports) == 3  # completed; three others failed, wait or were interrupted
    for report in reports:
        jsonschema.Draft4Validator(SCHEMA).validate(report)
        uuid.UUID(report["header"]["reportId"])
        datetime.strptime(report["measures"][0]["measurementDateTime"], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
    assert len({report["header"]["reportId"] for report in reports}) == 3
    assert sum("has no report for BoAmps: it has no result" in note for note in exported.notes) == 4


def test_the_figures_of_a_report_are_those_of_the_run(folder: Path, tmp_path: Path) -> None:
    exported = export(folder, tmp_path / "out", boamps=True)
    report = json.loads(Path(exported.boamps[0]).read_text("utf-8"))
    (result_file,) = folder.glob("0001_*/result.json")
    result = json.loads(result_file.read_text("utf-8"))
    (measure,) = report["measures"]
    assert measure["powerConsumption"] == pytest.approx(result["energy_total_j"] / 3.6e6)
    assert measure["measurementDuration"] == result["window_s"]
    n_requests = result["n_prompts"] * result["n_repeats"]
    assert report["task"]["nbRequest"] == n_requests
    quantities = {each["dataUsage"]: each["dataQuantity"] for each in report["task"]["dataset"]}
    assert quantities["input"] * n_requests == pytest.approx(result["input_tokens"])
    assert quantities["output"] * n_requests == pytest.approx(result["output_tokens"])
    assert report["task"]["algorithms"][0]["foundationModelName"] == result["config"]["model"]


def test_the_same_run_has_the_same_identifier_in_every_export(folder: Path, tmp_path: Path) -> None:
    ids = []
    for name in ("first", "second"):
        for path in export(folder, tmp_path / name, boamps=True).boamps:
            ids.append(json.loads(Path(path).read_text("utf-8"))["header"]["reportId"])
    assert ids[:3] == ids[3:]


def test_a_run_without_energy_has_no_report_and_a_sentence_says_why(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "grid",
        study_of(),
        changed={"energy_total_j": None, "energy_status": "missing", "figures": {}},
    )
    exported = export(folder, tmp_path / "out", boamps=True)
    assert exported.boamps == ()
    assert sum("its energy is missing" in note for note in exported.notes) == 3
    assert [*(tmp_path / "out" / "boamps").iterdir()] == []


def test_only_metered_gpus_are_components(tmp_path: Path) -> None:
    for used, n_gpus in (({"GPU-1": 100.0}, 1), ({"package-0": 100.0}, 0)):
        folder = write_folder(
            tmp_path / f"grid{n_gpus}", study_of(), changed={"energy_per_device_j": used}
        )
        exported = export(folder, tmp_path / f"out{n_gpus}", boamps=True)
        report = json.loads(Path(exported.boamps[0]).read_text("utf-8"))
        components = report["infrastructure"]["components"]
        gpus = [each for each in components if each["componentType"] == "gpu"]
        assert [(each["componentName"], each["memorySize"]) for each in gpus] == [
            (GPU.name, 80)
        ] * n_gpus


def test_boamps_needs_a_folder(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="--boamps writes a folder of reports"):
        export(folder, tmp_path / "runs.csv", boamps=True)
