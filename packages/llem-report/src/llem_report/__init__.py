"""What a study allows to conclude: ranking of the choices, tables, report, comparison of studies.

from llem_report import analyse, export, figure, to_frame, write_report
analysis = analyse("results/my-study")
for factor in analysis.factors:
    print(factor.key, factor.effect, factor.rank_low, factor.rank_high)
figure(analysis, "effects").svg()
write_report("results/my-study")  # report.html in this folder
export("results/my-study", "runs.parquet")
frame = to_frame("results/my-study")  # or the result of run_study
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llem_report._errors import ArgumentError, ReportError, UnknownFigureError

if TYPE_CHECKING:
    from llem_report._analysis.analyse import analyse
    from llem_report._archive.archive import Archive, archive_study
    from llem_report._comparison.compare import compare
    from llem_report._figures.figure import Figure
    from llem_report._figures.registry import FIGURES, figure
    from llem_report._methods.latex_methods import methods_tex
    from llem_report._methods.methods import describe_methods
    from llem_report._methods.records import Methods
    from llem_report._page.report import StudyReport, read_report, write_report
    from llem_report._tables.dictionary import export_columns
    from llem_report._tables.export import Export, ExportedFile, export, table
    from llem_report._tables.frames import to_frame

__all__ = [
    "FIGURES",
    "Archive",
    "ArgumentError",
    "Export",
    "ExportedFile",
    "Figure",
    "Methods",
    "ReportError",
    "StudyReport",
    "UnknownFigureError",
    "analyse",
    "archive_study",
    "compare",
    "describe_methods",
    "export",
    "export_columns",
    "figure",
    "methods_tex",
    "read_report",
    "table",
    "to_frame",
    "write_report",
]

_MODULES = {
    "FIGURES": "_figures.registry",
    "Archive": "_archive.archive",
    "Export": "_tables.export",
    "ExportedFile": "_tables.export",
    "Figure": "_figures.figure",
    "Methods": "_methods.records",
    "StudyReport": "_page.report",
    "analyse": "_analysis.analyse",
    "archive_study": "_archive.archive",
    "compare": "_comparison.compare",
    "describe_methods": "_methods.methods",
    "export": "_tables.export",
    "export_columns": "_tables.dictionary",
    "figure": "_figures.registry",
    "methods_tex": "_methods.latex_methods",
    "read_report": "_page.report",
    "table": "_tables.export",
    "to_frame": "_tables.frames",
    "write_report": "_page.report",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is used: figures need a library that takes a second to import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
