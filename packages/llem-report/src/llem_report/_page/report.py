"""Writes the report of a study as one HTML file."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from llem_report._analysis.analyse import analysis_of
from llem_report._errors import ReportError
from llem_report._figures.figure import Figure
from llem_report._figures.theme import Width
from llem_report._page.conditions import Conditions, ResultConditions
from llem_report._page.paper_files import FigureFormat, write_paper_files
from llem_report._page.run_power import power_figures
from llem_report._study_data.read import read_study_data
from llem_report._tables.pending_files import PendingFiles, refuse_existing
from llem_report._tables.targets import Target, check_place
from llem_report.records import Analysis
from llem_runner import StudyError, is_running

REPORT = "report.html"
"""The name of the report in the folder of its study; this file alone is replaced unasked."""


@dataclass(frozen=True, slots=True)
class StudyReport:
    """What the report of a study shows; writes it to files."""

    folder: Path
    """Of the study."""
    analysis: Analysis
    conditions: Conditions = field(repr=False)
    power: tuple[Figure, ...] = field(default=(), repr=False)
    """The power of single runs."""

    def write(
        self, file: str | Path | None = None, *, static: bool = False, force: bool = False
    ) -> Path:
        """Write the page and return its path; see `write_report`."""
        from llem_report._page.page import report_html

        path = _target(self.folder, file)
        refuse_existing(path, force=force or file is None)
        with PendingFiles(force=force or file is None) as files:
            # The file is made first, so that a bad path fails before the figures are drawn.
            with files.create(path) as opened:
                page = report_html(self.analysis, self.conditions, more=self.power, static=static)
                opened.write(page.encode())
            files.publish()
        return path

    def write_figures(
        self,
        folder: str | Path,
        *,
        formats: Sequence[FigureFormat] = ("svg",),
        width: Width = "text",
        force: bool = False,
    ) -> list[Path]:
        """Write every figure in every format, and the tables for LaTeX; return the paths.

        Args:
            folder: is made if it does not exist.
            formats: of `svg`, `pdf`, `png` and `json`, the Vega-Lite specification.
            width: `text` for the width of a page, `column` for one of two columns.
            force: replace existing files.

        Raises:
            ReportError: there is no such format, a file exists, the folder cannot be written, or it
                would disturb the study.
        """
        check_place(self.folder, Target(Path(folder), None))
        return write_paper_files(
            self.analysis, self.power, Path(folder), formats=formats, width=width, force=force
        )


def read_report(
    folder: str | Path,
    *,
    figure: str | None = None,
    by: Literal["axis", "field"] = "axis",
    runs: Sequence[int] = (),
) -> StudyReport:
    """Return what the report of a study shows; each result is read once.

    Args:
        folder: of the study.
        figure: of merit; see `analyse`.
        by: what the choices are; see `analyse`.
        runs: indices of the runs whose power is drawn; by default one of the best point.

    Raises:
        ReportError: as `analyse`, or a run of `runs` has no readings.
    """
    collected = ResultConditions()
    data = read_study_data(folder, figure=figure, by=by, visit=collected)
    analysis = analysis_of(data)
    power = power_figures(data, analysis, runs)
    return StudyReport(Path(folder), analysis, collected.of(data), tuple(power))


def write_report(
    folder: str | Path,
    file: str | Path | None = None,
    *,
    figure: str | None = None,
    by: Literal["axis", "field"] = "axis",
    static: bool = False,
    force: bool = False,
) -> Path:
    """Write the report of a study as one HTML file that loads nothing, and return its path.

    The study may be running, interrupted or failed. The same folder gives the same file.

    Args:
        folder: of the study.
        file: where to write it; by default `report.html` in the folder, where it replaces an older
            one.
        figure: of merit; see `analyse`.
        by: what the choices are; see `analyse`.
        static: leave the scripts out: a third of the size, without tooltips and sorting.
        force: replace an existing file.

    Raises:
        ReportError: as `analyse`; or the file exists or cannot be written, or it would be in the
            folder of a study that is running.
    """
    _target(folder, file)  # before the results are read
    return read_report(folder, figure=figure, by=by).write(file, static=static, force=force)


def _target(folder: str | Path, file: str | Path | None) -> Path:
    """Return where a report is written.

    Raises:
        ReportError: the file would disturb the study.
    """
    if file is not None:
        check_place(Path(folder), Target(Path(file), "csv"))
        return Path(file)
    running = None
    with contextlib.suppress(StudyError):  # no access to the lock file of another user
        running = is_running(Path(folder))
    if running:
        raise ReportError(
            f"{folder}: the study is running, so its folder may not be changed; name a file outside "
            "of it, with --output FILE"
        )
    return Path(folder) / REPORT
