"""Loads the prompts of an experiment, and computes their fingerprint."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from llem_config import DatasetConfig, ExperimentConfig
from llem_energy._errors import DatasetError
from llem_energy._prompts.hub_datasets import hub_rows
from llem_energy._prompts.prompt import Prompt
from llem_energy._prompts.synthetic import SYNTHETIC, synthetic_prompts

SUFFIXES = (".jsonl", ".csv", ".parquet")
_COLUMNS = ("prompt", "text", "question", "instruction", "input")


def load_prompts(config: ExperimentConfig, vocabulary: range) -> tuple[Prompt, ...]:
    """Return the `n` prompts of an experiment.

    Args:
        config: the experiment.
        vocabulary: token ids from which synthetic prompts are drawn.

    Raises:
        DatasetError: the file is missing, has no prompt column, or has fewer than `n` prompts.
    """
    if config.dataset.source == SYNTHETIC:
        return synthetic_prompts(config, vocabulary)
    return read_prompts(config.dataset, config.n)


def fingerprint(prompts: Sequence[Prompt]) -> str:
    """Return the SHA-256 of the prompts; it depends on their content and order."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(json.dumps(prompt, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def read_prompts(dataset: DatasetConfig, n: int) -> tuple[str, ...]:
    """Return the first `n` prompts of a local file, a folder in the hub's layout, or a hub id.

    Raises:
        DatasetError: as in `load_prompts`.
    """
    path = Path(dataset.source).expanduser()
    is_file = path.suffix in SUFFIXES
    where = str(path) if is_file else dataset.source
    rows = _file_rows(path, dataset, n) if is_file else hub_rows(dataset, n)
    if len(rows) < n:
        raise DatasetError(f"{where}: expected at least n = {n} prompts, found {len(rows)}")
    column = dataset.column or _find_column(where, rows[0])
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get(column), str):
            raise DatasetError(f"{where}: row {number} has no text in the column {column!r}")
    return tuple(row[column] for row in rows)


def _file_rows(path: Path, dataset: DatasetConfig, n: int) -> list[Any]:
    if dataset.subset or dataset.split:
        raise DatasetError(
            f"{path}: a file has no subset and no split; remove `subset` and `split`"
        )
    try:
        return list(islice(_rows(path), n))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise DatasetError(f"{path}: damaged or of another format: {error}") from error


def _rows(path: Path) -> Iterable[Any]:
    if path.suffix == ".parquet":
        import pyarrow.parquet

        with path.open("rb") as content:  # then a missing file gives a clear error
            yield from pyarrow.parquet.read_table(content).to_pylist()
        return
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            yield from csv.DictReader(file)
        else:
            yield from (json.loads(line) for line in file if line.strip())


def _find_column(where: str, row: Any) -> str:
    names = list(row) if isinstance(row, dict) else []
    for name in _COLUMNS:
        if name in names:
            return name
    expected = ", ".join(_COLUMNS)
    raise DatasetError(f"{where}: expected a column named {expected}, found {names}; set `column`")
