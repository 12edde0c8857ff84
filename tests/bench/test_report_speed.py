"""The parts of `report_speed.py`: its studies, what is measured, and which goals were missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report.folders import write_study
from benchmarks.report.weight import added_bytes
from benchmarks.report_speed import Costs, Table
from llem_report import analyse


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("speed"), 200)


def test_the_study_has_known_effects_that_are_found(folder: Path) -> None:
    analysis = analyse(folder)
    assert (analysis.n_points, analysis.n_runs_used, analysis.reason) == (200, 1000, None)
    verdicts = {factor.key: factor.verdict for factor in analysis.factors}
    assert verdicts == {
        "pytorch.batch_size": "matters",
        "precision": "matters",
        "attention": "matters",
        "max_output_tokens": "no_effect_found",
    }


def test_the_same_study_is_written_twice(folder: Path, tmp_path: Path) -> None:
    again = write_study(tmp_path, 200)
    names = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert len(names) == 2002
    assert all((folder / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_a_task_is_measured_in_a_process_of_its_own(folder: Path, tmp_path: Path) -> None:
    costs = Costs(tmp_path, repeats=1)
    cost = costs.measure(folder, "read", "export_runs")
    assert cost["read"].cpu_s > 0
    assert cost["read"].peak_bytes > 2**20
    assert cost["read"].n_bytes == 0
    assert cost["export_runs"].n_bytes == (tmp_path / "study200.export_runs.parquet").stat().st_size
    assert len(costs.speeds) == 2


def test_what_a_package_adds_is_counted_once_and_without_what_is_there_anyway() -> None:
    added = added_bytes("llem-report", to="llem-runner")
    assert {"scipy", "altair", "vl-convert-python"} <= set(added)
    assert not {"msgspec", "numpy", "pyarrow", "llem-runner"} & set(added)
    assert added["scipy"] > 10e6


def test_a_value_above_its_goal_is_a_missed_goal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table()
    table.add("reached", 1.0, 1.0, "s")
    table.add("not measured", None, 1.0, "s")
    assert table.n_missed == 0
    table.add("missed", 1.01, 1.0, "s")
    assert table.n_missed == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("MISSED") for line in lines] == [False, False, True]
    assert "missing" in lines[1]
