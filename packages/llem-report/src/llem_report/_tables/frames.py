"""The tables of a study as data frames of pandas and polars."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from llem_report._errors import ReportError
from llem_report._tables.export import table
from llem_report._tables.table_data import TableName
from llem_runner import StudyResult

Library = Literal["pandas", "polars"]


def to_frame(
    study: StudyResult | str | Path, name: TableName = "runs", *, library: Library = "pandas"
) -> Any:
    """Return a table of a study as a data frame, with one row per planned run by default.

    In pandas, the columns have types of Arrow, so that what is missing is `<NA>` and whole numbers
    stay whole. llem installs neither library.

    Args:
        study: what `run_study` or `read_study_result` returned, or the folder of a study.
        name: of the table.
        library: that the frame is of.

    Raises:
        StudyError: the folder holds no study, or its manifest is damaged.
        ReportError: there is no such table, the library is not installed, or the result does not
            know its folder.
    """
    if library not in get_args(Library):
        raise ReportError(f"expected pandas or polars, found {library!r}")
    found = table(_folder(study), name)
    try:
        module = import_module(library)
    except ImportError as error:
        raise ReportError(
            f"a frame of {library} needs the package {library}, which is not installed; install it, "
            "or use llem_report.table, which returns a pyarrow.Table"
        ) from error
    if library == "polars":
        return module.from_arrow(found)
    return found.to_pandas(types_mapper=module.ArrowDtype)


def _folder(study: StudyResult | str | Path) -> Path:
    if not isinstance(study, StudyResult):
        return Path(study)
    if study.folder is None:
        raise ReportError(
            "expected a result with its folder, found a copy of one; use the result that run_study "
            "returned, or give the folder of the study"
        )
    return study.folder
