"""The power of a run, read from the files of a study."""

from __future__ import annotations

from pathlib import Path

import pytest
from report.tables.folders import study_of, write_folder

from llem_report import ReportError, read_report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "grid", study_of())


def test_a_run_that_is_named_is_drawn_with_its_readings(folder: Path) -> None:
    (figure,) = read_report(folder, runs=[1]).power
    assert figure.name == "power-1"
    assert figure.data["power"]
    assert figure.data["run_phases"]


def test_by_default_a_run_of_the_best_point_is_drawn(folder: Path) -> None:
    report = read_report(folder)
    (figure,) = report.power
    run = int(figure.name.removeprefix("power-"))
    best = min(
        (point for point in report.analysis.points if point.value), key=lambda p: p.value or 0
    )
    assert report.analysis.runs[run - 1].config_hash == best.config_hash


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but no table"])
def test_readings_that_are_damaged_are_an_error_only_if_the_run_is_named(
    folder: Path, content: bytes | None
) -> None:
    for file in folder.glob("*/timeseries.parquet"):
        file.unlink() if content is None else file.write_bytes(content)
    assert read_report(folder).power == ()
    with pytest.raises(ReportError, match="run 1 has no readings of power"):
        read_report(folder, runs=[1])


def test_an_unknown_run_is_an_error(folder: Path) -> None:
    with pytest.raises(ReportError, match=r"expected a run from 1 to \d+, found 999"):
        read_report(folder, runs=[999])


def test_a_link_to_readings_elsewhere_is_not_followed(folder: Path, tmp_path: Path) -> None:
    for file in folder.glob("*/timeseries.parquet"):
        file.replace(tmp_path / "elsewhere.parquet")
        file.symlink_to(tmp_path / "elsewhere.parquet")
    assert read_report(folder).power == ()
