"""The rows of exported tables: every planned run, null where nothing was measured, times in UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from report.tables.folders import STATES, study_of, write_folder, write_manifest

from llem_report import ReportError, table
from llem_report._tables.arrays import array_of
from llem_report._tables.columns import column
from llem_runner import StudyError, read_manifest


def rows(folder: Path, name: Any = "runs") -> list[dict[str, Any]]:
    return list(table(folder, name).to_pylist())


def test_every_planned_run_has_a_row_in_order_of_its_index(folder: Path) -> None:
    manifest = read_manifest(folder)
    write_manifest(folder, study_of(), manifest.entries[::-1])
    found = rows(folder)
    assert [row["run_index"] for row in found] == [1, 2, 3, 4, 5, 6, None]
    assert [row["status"] for row in found] == [*STATES, "skipped"]
    assert found[2]["error_reason"] == "gpu_memory"
    assert found[6]["problem"] == "=cmd|not supported"


def test_runs_without_a_result_have_a_configuration_and_no_figures(folder: Path) -> None:
    for row in rows(folder)[2:4] + rows(folder)[5:]:
        assert row["energy_total_j"] is None
        assert row["quality.energy_total_j"] is None
        assert row["config.n"] in (1, 3, 9)
        assert row["config.pytorch.device"] == "cpu"


def test_figures_are_those_of_the_result(folder: Path) -> None:
    row = rows(folder)[1]
    assert row["energy_per_output_token_j"] == 2.0 + 2 / 3
    assert row["time_to_first_token_mean_s"] == 0.1
    assert row["phase.prefill.energy_per_token_j"] == 0.75
    assert row["phase.decode.energy_per_token_j"] is None
    assert row["gpu.0.name"] == "Test GPU"
    assert row["device.0.temperature_start_c"] == 40.0
    assert row["device.0.throttle_reasons"] == ["software power cap", "hardware thermal"]
    assert row["environment.driver"] == "580"
    assert row["package.torch"] == "2.9"
    assert row["quality.energy_total_j"] == "flagged"
    assert row["reasons.energy_total_j"] == ["other load", "throttled"]
    assert row["measurement_warnings"] == ["first warning", "@second"]


def test_what_a_backend_reports_is_text_in_every_study(folder: Path) -> None:
    row = rows(folder)[0]
    assert row["effective.batch_size"] == "8"
    assert row["effective.compiled"] == "false"
    assert row["effective.generation.top_p"] == "0.5"
    assert row["effective.attention"] == '["sdpa"]'
    assert row["effective.revision"] is None


def test_times_are_in_utc(folder: Path) -> None:
    found = table(folder)
    assert found.schema.field("started_at").type == pa.timestamp("us", "UTC")
    # The manifest states it with an offset of two hours.
    expected = datetime(2025, 12, 31, 23, 0, 0, 125000, tzinfo=UTC)
    assert found.column("started_at")[0].as_py() == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", 10**400])
def test_what_is_no_finite_number_is_null(value: object) -> None:
    energy = column("energy_j", "number", "Energy.", "result.json")
    assert array_of(energy, [1.5, value, 2]).to_pylist() == [1.5, None, 2.0]


@pytest.mark.parametrize("value", [2**63, 1.0, False, "1"])
def test_what_is_no_integer_of_64_bits_is_null(value: object) -> None:
    counts = column("n", "integer", "Count.", "result.json")
    assert array_of(counts, [value, 2**63 - 1]).to_pylist() == [None, 2**63 - 1]


@pytest.mark.parametrize("value", ["", "yesterday", "2026-01-01T00:00:00", 5])
def test_what_is_no_time_with_an_offset_is_null(value: object) -> None:
    times = column("started_at", "time", "Start.", "manifest.json")
    assert array_of(times, [value]).to_pylist() == [None]


def test_a_result_that_was_changed_is_used_and_named(folder: Path) -> None:
    path = folder / str(read_manifest(folder).entries[0].result_file)
    path.write_text(path.read_text("utf-8") + " ", "utf-8")
    row = rows(folder)[0]
    assert row["tokens_per_second"] == 50.0
    assert row["problem"] == "its result is not the file that the run wrote"


def test_types_do_not_depend_on_what_a_study_has(folder: Path, tmp_path: Path) -> None:
    full = table(folder).schema
    empty = table(write_folder(tmp_path / "new", study_of(), ["pending"] * 3)).schema
    assert set(empty.names) <= set(full.names)
    assert [empty.field(name).type for name in empty.names] == [
        full.field(name).type for name in empty.names
    ]
    assert not any(pa.types.is_null(kind) for kind in full.types)
    # The figures of a GPU are there for shards that have none.
    assert {"gpu.0.name", "device.0.energy_j", "phase.decode.energy_j"} <= set(empty.names)


def test_requests_are_those_of_completed_runs(folder: Path) -> None:
    found = rows(folder, "requests")
    assert [row["run_index"] for row in found] == [1, 1, 1, 2, 2, 2, 5, 5, 5]
    assert found[0]["cycle"] == 1
    assert found[8]["cycle"] == 2
    assert found[0]["latency_s"] == 0.5
    assert found[2]["latency_s"] is None


def test_samples_have_the_time_of_the_machine(folder: Path) -> None:
    found = rows(folder, "samples")
    assert len(found) == 9
    expected_s = 1750000000.25 + 0.05
    assert math.isclose(found[1]["sampled_at"].timestamp(), expected_s, abs_tol=1e-6)
    assert found[1]["device"] == "GPU-1"
    assert found[1]["power_average_w"] is None
    assert found[1]["throttle_reasons"] == 4


def test_a_factor_has_the_level_of_each_point_as_text(folder: Path) -> None:
    found = table(folder)
    names = found.column_names
    assert names[11:14] == ["factor.n", "factor.decoder.top_k", "energy_per_output_token_j"]
    assert found.column("factor.n").to_pylist() == ["1", "2", "3", "1", "2", "3", None]
    assert found.column("factor.decoder.top_k").to_pylist() == [
        *(None, None, "=5", None, None, "=5", None)
    ]


def test_an_unknown_table_is_refused(folder: Path) -> None:
    with pytest.raises(ReportError, match=r"expected one of the tables runs, .* found 'run'"):
        table(folder, "run")  # type: ignore[arg-type]


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no such folder"):
        table(tmp_path / "absent")
