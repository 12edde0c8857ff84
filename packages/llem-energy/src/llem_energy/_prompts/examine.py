"""Reads the prompts of a data set and checks every row, for a run and before it alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from llem_config import DatasetConfig
from llem_energy._errors import DatasetError
from llem_energy._prompts.columns import (
    MESSAGE_COLUMNS,
    TOOLS,
    ambiguous,
    candidates,
    choose_column,
)
from llem_energy._prompts.file_kinds import data_file, require_kind, unreadable
from llem_energy._prompts.hub_datasets import hub_table
from llem_energy._prompts.messages import chat_from
from llem_energy._prompts.parquet_files import parquet_table
from llem_energy._prompts.prompt import Chat, chat_of
from llem_energy._prompts.table import DataTable, Row, kind_of, text_problem
from llem_energy._prompts.text_files import READERS

MAX_PROBLEMS = 10
"""Of one data set; reading stops after them."""


class RowProblem(msgspec.Struct, frozen=True):
    """Why a row cannot be a prompt."""

    row: int
    """Counted from 1; experiments with fewer prompts are not concerned."""
    message: str
    is_in_row: bool = False
    """Whether the problem is in this row; else it is in the data set before the row."""
    line: int | None = None
    """The last line of the row in a text file, counted from 1."""
    is_in_data: bool = True
    """Whether the data set has the problem; else the chat template has it."""


class Prompts(Protocol):
    """Takes the prompts of a data set one after another, such as a list."""

    def append(self, prompt: str | Chat, /) -> object:
        """Take the next prompt."""


class Examination(msgspec.Struct, frozen=True):
    """What reading a data set showed."""

    where: str
    """The file or the name of the data set."""
    column: str | None
    """The column with the prompts; None if it is not clear."""
    n_checked: int
    """Rows that were read and checked, from the first."""
    n_rows: int | None
    """Rows of the data set; None if it was not read to its end."""
    was_stopped: bool
    """Whether its problems ended the reading before the last row that was to be checked."""
    problems: tuple[RowProblem, ...]

    def row_problems_of(self, n: int) -> list[RowProblem]:
        """Return why the first `n` rows cannot be the prompts; empty if they can.

        Args:
            n: not more than `examine` was given.
        """
        problems = [each for each in self.problems if each.row <= n]
        if self.was_stopped and n > self.n_checked:
            message = f"{self.where}: rows after row {self.n_checked} were not checked"
            problems.append(RowProblem(self.n_checked + 1, message))
        if self.n_rows is not None and n > self.n_rows:
            message = (
                f"{self.where}: expected at least n = {n} prompts, found {self.n_rows}; "
                "lower `n` or add rows"
            )
            problems.append(RowProblem(self.n_rows + 1, message))
        return problems

    def problems_of(self, n: int) -> list[str]:
        """Return the messages of `row_problems_of`."""
        return [each.message for each in self.row_problems_of(n)]


def examine(dataset: DatasetConfig, n: int, prompts: Prompts | None = None) -> Examination:
    """Check the first `n` rows of a data set, in bounded memory.

    Args:
        dataset: a local file, a folder in the hub's layout, or a hub id.
        n: prompts that an experiment needs; later rows are not read.
        prompts: takes the prompts of the rows without a problem.
    """
    reading = _Reading(dataset, n, prompts)
    try:
        reading.read()
    except DatasetError as error:
        reading.add_problem(str(error))
    except OSError as error:
        reading.add_problem(unreadable(reading.where, error))
    return Examination(
        where=reading.where,
        column=reading.column,
        n_checked=reading.n_checked,
        n_rows=reading.n_rows,
        was_stopped=reading.was_stopped,
        problems=tuple(reading.problems),
    )


class _Reading:
    """The state of one reading, which an error may end anywhere."""

    def __init__(self, dataset: DatasetConfig, n: int, prompts: Prompts | None) -> None:
        self._dataset = dataset
        self._n = n
        self._prompts = prompts
        self.where = dataset.source
        self.column: str | None = None
        self._has_messages: bool | None = None  # the first row shows it
        self.n_checked = 0
        self.n_rows: int | None = None
        self.was_stopped = False
        self.problems: list[RowProblem] = []

    def read(self) -> None:
        table = _opened(self._dataset)
        self.where, self.n_rows = table.where, table.n_rows
        if table.columns is not None:
            self.column = self._chosen(table.columns)
        for row in table.rows(self._read_columns(table)):
            self._check(row, table)
            self.n_checked += 1
            if self.n_checked == self._n:
                return
            if row.ends_reading or len(self.problems) == MAX_PROBLEMS:
                self.was_stopped = True
                return
        self.n_rows = self.n_checked

    def add_problem(self, message: str, row: Row | None = None) -> None:
        """Add a problem of the row that is being read, or of the whole data set before it."""
        line = None if row is None else row.line
        self.problems.append(RowProblem(self.n_checked + 1, message, row is not None, line))

    def _read_columns(self, table: DataTable) -> Sequence[str]:
        """Return the columns that are needed; none if only the rows show it."""
        if self.column is None:
            return ()
        has_tools = TOOLS in (table.columns or ()) and self.column != TOOLS
        return (self.column, TOOLS) if has_tools else (self.column,)

    def _check(self, row: Row, table: DataTable) -> None:
        problem = row.problem
        if problem is None:
            column = self.column = self.column or self._chosen(row.cells)
            is_guess = table.columns is None and self._dataset.column is None
            problem = _cell_problem(row.cells, column, is_guess=is_guess)
        if problem is None:
            try:
                prompt = self._prompt(row, column)
            except DatasetError as error:
                problem = str(error)
            else:
                if self._prompts is not None:
                    self._prompts.append(prompt)
        if problem is not None:
            self.add_problem(f"{self.where}: {table.place(row)}: {problem}", row)

    def _prompt(self, row: Row, column: str) -> str | Chat:
        """Return the prompt of a row.

        Raises:
            DatasetError: the cell is none.
        """
        value, template = row.cells[column], self._dataset.chat_template
        is_text, is_list = isinstance(value, str), isinstance(value, list | tuple)
        if self._has_messages is None and (is_text or is_list):
            is_named = self._dataset.column is None and column in MESSAGE_COLUMNS
            self._has_messages = is_list or is_named
        if self._has_messages and isinstance(value, list | tuple):
            if template == "none":
                raise DatasetError(
                    f"the column {column!r} has messages, which need a chat template; set "
                    "`dataset.chat_template` to auto or a file"
                )
            return chat_from(value, row.cells.get(TOOLS), row.place)
        if self._has_messages or not isinstance(value, str):
            expected = "a list of messages" if self._has_messages else "text"
            found = kind_of(value)
            raise DatasetError(f"expected {expected} in the column {column!r}, found {found}")
        problem = text_problem(value)
        if problem is not None:
            raise DatasetError(problem)
        return value if template in (None, "none") else chat_of(value, row.place)

    def _chosen(self, names: Iterable[str]) -> str:
        try:
            return choose_column(names, self._dataset.column)
        except DatasetError as error:
            raise DatasetError(f"{self.where}: {error}") from error


def _cell_problem(cells: Mapping[str, object], column: str, *, is_guess: bool) -> str | None:
    """Return why a row has no cell that may be the prompt.

    Args:
        cells: of the row.
        column: with the prompts.
        is_guess: whether the column was chosen from the names in the first row, which may differ
            from those of this row.
    """
    if column not in cells:
        return f"has no column {column!r}"
    possible = candidates(cells) if is_guess else []
    if len(possible) > 1:
        return ambiguous(possible)
    return None


def _opened(dataset: DatasetConfig) -> DataTable:
    path = data_file(dataset.source)
    if path is None:
        return hub_table(dataset)
    if dataset.subset or dataset.split:
        raise DatasetError(
            f"{path}: a file has no subset and no split; remove `subset` and `split`"
        )
    require_kind(path)
    suffix = path.suffix.lower()
    return parquet_table(path) if suffix == ".parquet" else READERS[suffix](path)
