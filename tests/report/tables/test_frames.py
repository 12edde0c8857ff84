"""Issue 13: the runs of a study as a data frame in one line, from its result or its folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import polars as pl
import pytest
from report.study_data.folders import TINY, Meter, make_folder

from llem_config import ExperimentConfig
from llem_energy import MeasurementError
from llem_report import ReportError, to_frame
from llem_runner import StudyResult, read_study_result, resume_study, run_study
from llem_runner._executors.inline import InlineExecutor

SWEEP = "sweep: {precision: [fp32, bf16]}\n"


def measured(config: ExperimentConfig, number: int) -> dict[str, Any]:
    if number == 2:
        raise MeasurementError("out of memory")
    return {"energy_per_output_token_j": 2.0}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_text(
        f"{TINY}execution: {{n_cycles: 2, config_gap_seconds: 0, cycle_gap_seconds: 0}}\n{SWEEP}"
    )
    return run_study(
        folder / "study.yaml",
        output=folder / "results",
        measure=Meter(measured),
        executor=InlineExecutor(),
    )


def test_the_result_of_a_study_becomes_a_frame_of_pandas(result: StudyResult) -> None:
    frame = to_frame(result)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["run_index"]) == [1, 2, 3, 4]
    assert frame["energy_per_output_token_j"].mean() == 2.0
    assert frame["energy_per_output_token_j"].isna().sum() == 1  # missing, neither 0 nor NaN
    assert frame["input_tokens"].dtype == "int64[pyarrow]"


def test_the_folder_of_a_study_becomes_a_frame_of_polars(result: StudyResult) -> None:
    assert result.folder is not None
    frame = to_frame(result.folder, library="polars")
    assert isinstance(frame, pl.DataFrame)
    assert frame["run_index"].to_list() == [1, 2, 3, 4]
    assert frame["energy_per_output_token_j"].null_count() == 1


def test_other_tables_can_be_chosen(result: StudyResult) -> None:
    assert len(to_frame(result, "points")) == 2
    with pytest.raises(ReportError, match="expected one of the tables runs, "):
        to_frame(result, "run")  # type: ignore[arg-type]


def test_a_result_that_is_read_or_resumed_knows_its_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, SWEEP)
    assert read_study_result(folder).folder == folder
    again = resume_study(folder, measure=Meter(measured), executor=InlineExecutor())
    assert again.folder == folder


def test_the_folder_is_not_part_of_the_stored_result(result: StudyResult) -> None:
    assert result.folder is not None
    stored = read_study_result(result.folder)
    assert stored == result
    assert b"_folder" not in msgspec.json.encode(result)


def test_a_copy_of_a_result_is_refused_in_a_sentence(result: StudyResult) -> None:
    copy = msgspec.structs.replace(result, study_name="copy")
    with pytest.raises(ReportError, match="expected a result with its folder, found a copy"):
        to_frame(copy)


def test_an_unknown_library_is_refused(result: StudyResult) -> None:
    with pytest.raises(ReportError, match="expected pandas or polars, found 'dask'"):
        to_frame(result, library="dask")  # type: ignore[arg-type]


def test_a_library_that_is_not_installed_is_named(
    result: StudyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ReportError, match="needs the package polars, which is not installed"):
        to_frame(result, library="polars")
