"""Checks the data sets of experiments. Each is read once, for all experiments that use it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from llem_config import ExperimentConfig
from llem_energy._preflight.findings import Finding, findings
from llem_energy._prompts.examine import examine
from llem_energy._prompts.synthetic import SYNTHETIC, synthetic_problem


class DatasetCheck(msgspec.Struct, frozen=True):
    """What reading one data set showed."""

    where: str
    """The file or the name of the data set."""
    column: str | None
    """The column with the prompts; None if it is not clear, or if the prompts are synthetic."""
    n_checked: int
    """Rows that were checked, from the first."""
    problems: tuple[Finding, ...]
    """Why some experiments cannot use it; up to ten rows are named."""


def check_datasets(experiments: Sequence[ExperimentConfig]) -> tuple[DatasetCheck, ...]:
    """Check every row that experiments use. Reads files, and downloads data sets of the hub."""
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
    examination = examine(dataset, max(experiments[point].n for point in group))
    problems = {
        point: messages
        for point in group
        if (messages := examination.problems_of(experiments[point].n))
    }
    return DatasetCheck(
        examination.where, examination.column, examination.n_checked, _by_message(problems.items())
    )


def _check_synthetic(experiments: Sequence[ExperimentConfig], group: Sequence[int]) -> DatasetCheck:
    problems = {
        point: [problem]
        for point in group
        if (problem := synthetic_problem(experiments[point])) is not None
    }
    return DatasetCheck(SYNTHETIC, None, 0, _by_message(problems.items()))


def _by_message(problems: Iterable[tuple[int, Sequence[str]]]) -> tuple[Finding, ...]:
    points: dict[str, list[int]] = {}
    for point, messages in problems:
        for message in messages:
            points.setdefault(message, []).append(point)
    return findings(points)
