"""Worse answers are in the analysis, on the page and in the exported tables."""

from __future__ import annotations

from pathlib import Path

from fakes.swept_study import Measured, run_swept_study

from llem_report import analyse, to_frame
from llem_report._page.sections import points as points_section
from llem_report._tables.analysis_tables import point_table
from llem_report._tables.run_records import StudyRecords


def test_a_point_with_worse_answers_is_marked_everywhere(tmp_path: Path) -> None:
    result = run_swept_study(tmp_path, Measured(nll_of_bf16=2.6))
    assert result.folder is not None
    analysis = analyse(result.folder)
    for point in analysis.points:
        assert point.quality is not None
        assert point.quality.is_worse == (point.levels["precision"] == "bf16")
        assert point.value is not None  # marked, never dropped
    said = [caveat for caveat in analysis.caveats if "are worse: NLL +4.0 % over" in caveat]
    assert len(said) == 4
    page = points_section(analysis, static=True)
    assert page.count("worse: NLL +4.0") == 4
    assert "<th scope=col>answers" in page
    assert "Answers are ok if" in page
    (table,) = point_table(StudyRecords(result.folder)).batches
    rows = table.select(["answers.nll", "answers.agreement", "answers.is_worse"]).to_pylist()
    worse = {"answers.nll": 2.6, "answers.agreement": 0.75, "answers.is_worse": True}
    assert sum(row == worse for row in rows) == 4
    frame = to_frame(result.folder)
    assert set(frame["answers.nll"]) == {2.5, 2.6}
    assert not any("choices" in name for name in frame.columns)


def test_without_a_quality_there_is_no_column_and_no_sentence(tmp_path: Path) -> None:
    result = run_swept_study(tmp_path)
    assert result.folder is not None
    analysis = analyse(result.folder)
    assert all(point.quality is None for point in analysis.points)
    page = points_section(analysis, static=True)
    assert "answers" not in page.lower()
