"""Compares the same study from two machineries: what must be equal, and why the rest differs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_REASONS = {
    "blocks: each attempt at a cycle is one": r"blocks|n_unused|looks",
    "energies, and what is compared: speeds where no energy is": r"energy|gain|residual|detectable|outliers|drift|compared|\.comparisons\.",
    "times and speeds": r"_at$|_s\.|_s$|_hours|tokens_per_second|time_to_first_token|runs_needed",
    "how the study was cut": r"shards_per_cycle|seconds_per_shard|result_files|executor|session",
    "machine at that time": r"warnings|n_flagged|load|caveats|measurement_protocol",
}
"""First match counts, by the path of a value in `study_result.json`."""
_BY_VALUE = re.compile(r"\.(warnings|residual_cvs)$")
"""Objects whose names are values: texts of what has happened, hashes of the compared points."""


class Row(NamedTuple):
    """One thing that was compared."""

    what: str
    here: str
    there: str
    is_equal: bool


class _Study(NamedTuple):
    folder: Path
    result: dict[str, Any]
    runs: dict[tuple[str, int], dict[str, Any]]
    """Completed runs by point and cycle: the content of `result.json`."""

    @classmethod
    def read(cls, folder: Path) -> _Study:
        manifest = json.loads((folder / "manifest.json").read_text())
        runs = {
            (entry["config_hash"], entry["cycle"]): json.loads(
                (folder / entry["result_file"]).read_text()
            )
            for entry in manifest["entries"]
            if entry["status"] == "completed"
        }
        return cls(folder, json.loads((folder / "study_result.json").read_text()), runs)


def compare(one: Path, cluster: Path) -> list[Row]:
    """Return what was compared of two finished studies, row by row.

    Args:
        one: folder of the study that one machine has measured.
        cluster: folder of the divided study.
    """
    here, there = _Study.read(one), _Study.read(cluster)
    return [
        *(_row(name, str(here.result[name]), str(there.result[name]))
          for name in ("status", "study_design_hash")),
        _of_runs("runs with a result (point and cycle)", here, there, lambda _: "measured"),
        _of_runs("prompts of a run", here, there, lambda run: run["prompts_sha256"]),
        _of_runs("input tokens of a pass", here, there, lambda run: _of_pass(run, "input_tokens")),
        _of_runs("output tokens of a pass", here, there, lambda run: _of_pass(run, "output_tokens")),
        _of_runs("effective configuration", here, there, lambda run: run["effective_config"]),
        _of_runs("fields of result.json", here, there, lambda run: sorted(run)),
        _of_sets("points", _points(here), _points(there)),
        _of_sets("fields of study_result.json", *_fields(here.result, there.result)),
    ]  # fmt: skip


def comparison(folder: Path) -> str:
    """Return what the points of a study are compared by, or why they are not."""
    found = _Study.read(folder).result["summary"]["comparisons"]
    machines = {block["machine"] for block in found["blocks"]}
    return found["reason"] or f"{found['n_blocks']} blocks on {len(machines)} machines"


def differences(one: Path, cluster: Path) -> Counter[str]:
    """Return how many values of both `study_result.json` differ, by the reason."""
    here, there = (dict(_leaves(_Study.read(folder).result)) for folder in (one, cluster))
    paths = [path for path in here.keys() | there.keys() if here.get(path) != there.get(path)]
    return Counter(map(_reason, paths))


def _reason(path: str) -> str:
    found = (reason for reason, pattern in _REASONS.items() if re.search(pattern, path))
    return next(found, f"not explained: {path}")


def _row(what: str, here: str, there: str) -> Row:
    return Row(what, here, there, here == there)


def _of_runs(what: str, here: _Study, there: _Study, value: Any) -> Row:
    """Return a row about a value of each run: how many runs have it, and how many have the same."""
    first = {key: value(run) for key, run in here.runs.items()}
    other = {key: value(run) for key, run in there.runs.items()}
    same = [key for key in first if key in other and first[key] == other[key]]
    return Row(what, f"{len(first)} runs", f"{len(same)} equal of {len(other)}", first == other)


def _of_sets(what: str, here: set[str], there: set[str]) -> Row:
    return Row(what, str(len(here)), f"{len(here & there)} equal of {len(there)}", here == there)


def _of_pass(run: dict[str, Any], name: str) -> float:
    # The window is filled with as many passes as it has time for.
    return float(run[name]) / int(run["n_repeats"])


def _points(study: _Study) -> set[str]:
    return {point["config_hash"] for point in study.result["summary"]["points"]}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of everything that has no parts."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}")
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _leaves(part, f"{path}[{place}]")
    else:
        yield path, value


def _fields(here: Any, there: Any, path: str = "") -> tuple[set[str], set[str]]:
    """Return the paths of the fields that objects in both results have.

    What is empty in one of them has no fields to compare.
    """
    if isinstance(here, list) and isinstance(there, list):
        here, there = here[0] if here else None, there[0] if there else None
        path = f"{path}[]"
    if not (isinstance(here, dict) and isinstance(there, dict)) or _BY_VALUE.search(path):
        return set(), set()
    first, other = ({f"{path}.{key}" for key in part} for part in (here, there))
    for key in here.keys() & there.keys():
        below, beside = _fields(here[key], there[key], f"{path}.{key}")
        first, other = first | below, other | beside
    return first, other
