"""Compares the same study from two machineries: what must be equal, and why the rest differs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.disturbed_slurm.flagged_runs import differ_by_moment, reasons

_STATISTICS = r"(mean|geometric_mean|median|sd|lag1|ci95_low|ci95_high)"
_RATIO = r"(ratio|ci95_low|ci95_high|distinguishable)"
_REASONS = {
    "blocks: each attempt at a cycle is one": r"summary\.comparisons\.(blocks|n_blocks|looks)",
    "energies, and what is compared: speeds where no energy is": (
        rf"summary\.points\[\]\.(compared|energy_\w+_j)\.{_STATISTICS}|"
        r"summary\.points\[\]\.(energy_bound_share|runs_needed(_high)?\.[\d.]+%)|"
        rf"summary\.(drift|comparisons\.points\[\])\.{_RATIO}|summary\.drift\.figure|"
        # In the order of their ratios.
        r"summary\.comparisons\.points\[\]\.(config_hash|label)|"
        r"summary\.comparisons\.(detectable_ratio|residual_cv|residual_cvs\.\w+|error_budget\.\w+)|"
        r"summary\.(total_energy_j|emissions_gco2|electricity_cost)"
    ),
    "times and speeds": (
        rf"summary\.points\[\]\.(time_to_first_token_s|tokens_per_second)\.{_STATISTICS}|"
        r"summary\.(wall_time_s|device_hours)"
    ),
    "how the study was cut": r"measurement_protocol\.shards_per_cycle|result_files",
    "machine at that time": r"summary\.(warnings|outliers|node_energy|comparisons\.caveats)",
}
"""Fields of `study_result.json` that may differ; a field that is not named here may not."""
_FLAGGED = re.compile(r"summary\.(points\[\]\.(n_flagged|compared\.n)|comparisons\.n_unused)")
"""Counts that may differ if other programs made the runs flagged."""
_WHOLE = re.compile(
    r"result_files|summary\.(warnings|outliers|node_energy|comparisons\.(blocks|looks|caveats))"
)
"""Compared as one value: lists whose length depends on the attempts or the machine, and an object whose
names are texts of what has happened."""
_FLAGGED_AT_THAT_TIME = "runs flagged for other programs at that time"
_UNEXPLAINED = "not explained: "
_MAY_BE_NULL_IN_ONE = re.compile(
    r"measurement_protocol\.shards_per_cycle|summary\.drift\.\w+|"
    r"summary\.points\[\]\.runs_needed(_high)?\.[\d.]+%"
)
"""Null on one machine; without a cycle whose runs all count; where more runs are needed than we state."""
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
    here, there = _Study.read(one), _Study.read(cluster)
    # If one of them compares no points, nothing of that comparison is in both.
    whys = [study.result["summary"]["comparisons"]["reason"] for study in (here, there)]
    found: Counter[str] = Counter()
    for reason, n in differing(here.result, there.result, next(filter(None, whys), None)).items():
        path = re.sub(r"\[\d+\]", "[]", reason.removeprefix(_UNEXPLAINED))
        is_flag = _FLAGGED.fullmatch(path) and differ_by_moment(here.runs, there.runs)
        found[_FLAGGED_AT_THAT_TIME if is_flag else reason] += n
    return found


def flags(one: Path, cluster: Path) -> list[tuple[str, int, int]]:
    """Return each reason for a flag with the runs that have it, on one machine and on the cluster."""
    here, there = reasons(_Study.read(one).runs), reasons(_Study.read(cluster).runs)
    return [(reason, here[reason], there[reason]) for reason in sorted(here | there)]


def differing(here: Any, there: Any, why_not_compared: str | None = None) -> Counter[str]:
    """Return how many values of two results differ, by the reason.

    Args:
        here: one result.
        there: the other one.
        why_not_compared: why one of them has no comparison of points; None: both have one.
    """
    first, other = dict(_leaves(here)), dict(_leaves(there))
    found: Counter[str] = Counter()
    for path in first.keys() | other.keys():
        pair = first.get(path), other.get(path)
        if pair[0] != pair[1]:
            found[
                _reason(path, is_null_in_one=None in pair, why_not_compared=why_not_compared)
            ] += 1
    return found


def _reason(path: str, *, is_null_in_one: bool, why_not_compared: str | None) -> str:
    """Return why a value may differ. A value that only one result has is never explained by its name."""
    field = re.sub(r"\[\d+\]", "[]", path)
    if why_not_compared is not None and field.startswith("summary.comparisons."):
        return f"the points are not compared: {why_not_compared}"
    if not is_null_in_one or _MAY_BE_NULL_IN_ONE.fullmatch(field):
        for reason, pattern in _REASONS.items():
            if re.fullmatch(pattern, field):
                return reason
    return f"{_UNEXPLAINED}{path}"


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
    """Yield path and value of everything that has no parts, or is compared as a whole."""
    if _WHOLE.fullmatch(path):
        yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _leaves(part, f"{path}[{place}]")
    else:
        yield path, value


def _fields(here: Any, there: Any) -> tuple[set[str], set[str]]:
    """Return the paths of the fields that objects in both results have, of all elements of lists.

    What is empty in one of them has no fields to compare.
    """
    return _fields_of([here], [there], "")


def _fields_of(here: list[Any], there: list[Any], path: str) -> tuple[set[str], set[str]]:
    """Return the paths of the fields of values that have one path, such as all elements of a list."""
    sides = [list(_objects(values)) for values in (here, there)]
    if not all(sides) or _BY_VALUE.search(path):
        return set(), set()
    names = [{name for part in parts for name in part} for parts in sides]
    first, other = ({f"{path}.{name}" for name in side} for side in names)
    for name in names[0] & names[1]:
        one, two = ([part[name] for part in parts if name in part] for parts in sides)
        below, beside = _fields_of(one, two, f"{path}.{name}")
        first, other = first | below, other | beside
    return first, other


def _objects(values: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects among values, and those in lists among them."""
    for value in values:
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from _objects(value)
