"""Checks the data sets of experiments. Each is read once, for all experiments that use it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llem_config import ExperimentConfig
from llem_energy._errors import DatasetError
from llem_energy._hub import expanded
from llem_energy._preflight.chat_templates import ChatSpool, chat_findings
from llem_energy._preflight.findings import Finding, findings
from llem_energy._prompts.examine import RowProblem, examine
from llem_energy._prompts.file_kinds import data_file, require_kind, unreadable
from llem_energy._prompts.synthetic import SYNTHETIC, synthetic_problem
from llem_energy._prompts.template_files import template_problem


class DatasetFinding(Finding, frozen=True):
    """One sentence about a data set, and the place in it."""

    where: str | None = None
    """The file or the name of the data set; None if the prompts are synthetic, or if the problem is
    in the chat template."""
    row: int | None = None
    """Counted from 1; None if the sentence is about the whole data set."""
    line: int | None = None
    """The last line of the row in a text file, counted from 1."""


class DatasetCheck(msgspec.Struct, frozen=True):
    """What reading one data set showed."""

    where: str
    """The file or the name of the data set."""
    column: str | None
    """The column with the prompts; None if it is not clear, or if the prompts are synthetic."""
    n_checked: int
    """Rows that were checked, from the first."""
    problems: tuple[DatasetFinding, ...]
    """Why some experiments cannot use it; up to ten rows are named."""
    is_local: bool = True
    """Whether it is in files of this machine: its problems are then the same on every machine."""


def check_datasets(experiments: Sequence[ExperimentConfig]) -> tuple[DatasetCheck, ...]:
    """Check every row that experiments use. Reads files, and downloads data sets of the hub.

    Conversations are also rendered with their chat templates, if the tokenizer and the inference
    library are on this machine.

    Raises:
        BackendError: the facts of a backend cannot be imported.
    """
    experiments = [config.with_full_paths() for config in experiments]
    points: dict[str, list[int]] = {}
    for point, config in enumerate(experiments):
        # `input_tokens` changes nothing that is read: all synthetic prompts are one data set.
        is_synthetic = config.dataset.source == SYNTHETIC
        key = SYNTHETIC if is_synthetic else config.dataset.model_dump_json()
        points.setdefault(key, []).append(point)
    return tuple(
        _check_synthetic(experiments, group)
        if key == SYNTHETIC
        else _check_dataset(experiments, group)
        for key, group in points.items()
    )


def _check_dataset(experiments: Sequence[ExperimentConfig], group: Sequence[int]) -> DatasetCheck:
    dataset = experiments[group[0]].dataset
    found: dict[RowProblem, list[int]] = {}
    with ChatSpool() as chats:
        examination = examine(dataset, max(experiments[point].n for point in group), chats)
        for point in group:
            for problem in examination.row_problems_of(experiments[point].n):
                found.setdefault(problem, []).append(point)
        if (template := template_problem(dataset)) is not None:
            found[RowProblem(1, template, is_in_data=False)] = list(group)
        elif chats.n and not examination.problems:
            for problem, points in chat_findings(experiments, group, chats, examination.where):
                found.setdefault(problem, []).extend(points)
    problems = tuple(
        DatasetFinding(
            message=problem.message,
            points=tuple(sorted(points)),
            where=examination.where if problem.is_in_data else None,
            row=problem.row if problem.is_in_row else None,
            line=problem.line,
        )
        for problem, points in found.items()
    )
    return DatasetCheck(
        where=examination.where,
        column=examination.column,
        n_checked=examination.n_checked,
        problems=problems,
        is_local=_is_local(dataset.source),
    )


def missing_files(experiments: Sequence[ExperimentConfig]) -> tuple[Finding, ...]:
    """Return which local data sets are missing or no file that is read; their rows do not count."""
    points: dict[str, list[int]] = {}
    for point, config in enumerate(experiments):
        if config.dataset.source != SYNTHETIC:
            points.setdefault(config.dataset.source, []).append(point)
    problems = {source: _file_problem(source) for source in points}
    return findings(
        {problem: points[source] for source, problem in problems.items() if problem is not None}
    )


def _file_problem(source: str) -> str | None:
    path = None
    try:
        path = data_file(source)
        if path is not None:
            require_kind(path)
    except DatasetError as error:
        return str(error)
    except OSError as error:
        return unreadable(path, error)
    return None


def _is_local(source: str) -> bool:
    try:
        return data_file(source) is not None or expanded(source).is_dir()
    except DatasetError:
        return True  # it names a file of a kind that is not read


def _check_synthetic(experiments: Sequence[ExperimentConfig], group: Sequence[int]) -> DatasetCheck:
    points: dict[str, list[int]] = {}
    for point in group:
        if (problem := synthetic_problem(experiments[point])) is not None:
            points.setdefault(problem, []).append(point)
    problems = tuple(
        DatasetFinding(message=message, points=tuple(concerned))
        for message, concerned in points.items()
    )
    return DatasetCheck(SYNTHETIC, None, 0, problems)
