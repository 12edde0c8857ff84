"""Under which conditions a study was measured, and what was left out."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from llem_report._figures.scales import number, percent

if TYPE_CHECKING:
    from llem_energy import ExperimentResult
    from llem_energy.records import GpuSnapshot
    from llem_report._study_data.study_data import StudyData

Rows = list[tuple[str, list[str]]]
_MAX_VALUES = 6
_MAX_SENTENCES = 20
_SETTING = "application clocks"  # why a GPU ran slower than it could: a setting limits the clocks


@dataclass(slots=True)
class Conditions:
    """What a page says about machine, software and protocol."""

    date: str = ""
    """UTC day on which the study began."""
    machine: str = ""
    """One line."""
    hardware: Rows = field(default_factory=list)
    software: Rows = field(default_factory=list)
    protocol: Rows = field(default_factory=list)
    energy: Rows = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Sentences: skipped and excluded points, damaged files, changed inputs."""
    warnings: list[str] = field(default_factory=list)
    """Warnings of runs, with the number of runs that have them."""
    note: str = ""
    """How the results came about, if not from a study of a real machine."""


class _Distinct:
    """The different values of a property over the runs, with the number of runs."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._n_runs = 0

    def add_run(self, values: Iterable[tuple[str, object]]) -> None:
        self._n_runs += 1
        for name, value in dict.fromkeys(values):  # two equal GPUs are one line of one run
            if value is not None and value != "":
                self._counts.setdefault(name, Counter())[str(value)] += 1

    def rows(self) -> Rows:
        return [(name, self._lines(counts)) for name, counts in self._counts.items()]

    def _lines(self, counts: Counter[str]) -> list[str]:
        if len(counts) == 1 and (only := counts.most_common(1)[0])[1] == self._n_runs:
            return [only[0]]
        lines = [
            f"{value} ({n} of {self._n_runs} runs)" for value, n in counts.most_common(_MAX_VALUES)
        ]
        more = len(counts) - _MAX_VALUES
        return lines + ([f"and {more} other values"] if more > 0 else [])


class ResultConditions:
    """Collects the conditions of results that are read one after the other."""

    def __init__(self) -> None:
        """Begin without results."""
        self._hardware, self._software, self._energy = _Distinct(), _Distinct(), _Distinct()
        self._warnings: Counter[str] = Counter()
        self._bounds: list[float] = []

    def __call__(self, result: ExperimentResult) -> None:
        """Take the conditions of a result."""
        self._hardware.add_run(_hardware(result))
        self._software.add_run(_software(result))
        self._energy.add_run(_energy(result))
        self._warnings.update(dict.fromkeys(result.measurement_warnings, 1))
        if result.energy_bound_j is not None and result.energy_total_j:
            self._bounds.append(result.energy_bound_j / result.energy_total_j)

    def of(self, data: StudyData) -> Conditions:
        """Return the conditions of the study that the results belong to."""
        hardware, energy = self._hardware.rows(), self._energy.rows()
        if self._bounds:
            middle, largest = statistics.median(self._bounds), max(self._bounds)
            energy.append(("error bound", [f"median {percent(middle)}, max {percent(largest)}"]))
        first = {name: values[0] for name, values in hardware if values}
        manifest = data.manifest
        return Conditions(
            date=manifest.started_at[:10],
            machine=first.get("GPU") or first.get("CPU") or "",
            hardware=hardware,
            software=self._software.rows(),
            protocol=_protocol(data),
            energy=energy,
            left_out=_left_out(data),
            warnings=[
                f"{n} {_plural(n, 'run')}: {text}"
                for text, n in self._warnings.most_common(_MAX_SENTENCES)
            ],
        )


def _hardware(result: ExperimentResult) -> Iterator[tuple[str, object]]:
    snapshot = result.environment_snapshot
    limited = {item.device for item in result.devices if _SETTING in item.throttle_reasons}
    for gpu in snapshot.gpus:
        limit = "" if gpu.power_limit_w is None else f", limit {number(gpu.power_limit_w)} W"
        yield "GPU", f"{gpu.name}{limit}"
        yield "GPU UUID", gpu.uuid
        yield "GPU clocks", _clocks(gpu, limited_in_window=gpu.uuid in limited)
    memory = snapshot.memory_bytes
    size = "" if memory is None else f", {number(memory / 2**30)} GiB"
    yield "CPU", f"{snapshot.cpu_model or 'unknown'}, {snapshot.n_cpus} logical processors{size}"
    yield "CPU governor", snapshot.cpu_governor


def _clocks(gpu: GpuSnapshot, *, limited_in_window: bool) -> str | None:
    """Return whether clocks are locked; None for a result that was stored without it.

    Args:
        gpu: before the run. An idle GPU does not show a lock.
        limited_in_window: whether the driver reported under load that a setting limits the clocks.
    """
    if gpu.clocks_locked_reason is None:
        return None
    locked = {True: "locked", False: "not locked", None: "unknown whether locked"}
    persistence = {True: "on", False: "off", None: "unknown"}[gpu.persistence_mode]
    window = "; a setting limited them in the window" if limited_in_window else ""
    return (
        f"{locked[gpu.clocks_locked]} ({gpu.clocks_locked_reason}){window}; "
        f"persistence mode {persistence}"
    )


def _software(result: ExperimentResult) -> Iterator[tuple[str, object]]:
    snapshot = result.environment_snapshot
    yield "system", snapshot.platform
    yield "Python", snapshot.python
    yield "NVIDIA driver", snapshot.driver
    yield "AMD driver", snapshot.amd_driver
    yield from snapshot.packages.items()


def _energy(result: ExperimentResult) -> Iterator[tuple[str, object]]:
    from llem_energy.records import gain_sentence

    yield "source", result.energy_source or "none"
    yield "energy counter", _counter(result)
    yield "gain error", gain_sentence(result)
    yield "host", _host(result)
    yield "estimator", result.energy_method
    yield "method", result.measurement_methodology.replace("_", " ")


def _counter(result: ExperimentResult) -> str | None:
    """Return whether the counters are exact; None if no GPU was metered."""
    if result.counter_exactness in (None, "unverified"):
        unverified = "unverified: the error bound holds for a counter that is exact at its updates"
        return None if result.counter_exactness is None else unverified
    found = [
        f"{check.verdict}, checked on {check.checked_at[:10]} with driver {check.driver}"
        for check in result.board_checks
    ]
    return "; ".join(dict.fromkeys(found))


def _host(result: ExperimentResult) -> str | None:
    """Return whether the processor was metered beside GPUs; None if no GPU was metered."""
    if result.energy_source_kind != "gpu":
        return None
    if result.energy_host_j is None:
        return "not metered: the energy is that of the GPUs alone"
    return f"metered by {result.energy_host_source}, and not part of the energy"


def _protocol(data: StudyData) -> Rows:
    manifest, execution = data.manifest, data.execution
    rows: Rows = [("study", [f"{manifest.study_name}, design {manifest.study_design_hash}"])]
    if execution is not None:
        order = execution.cycle_order
        seed = f", seed {execution.shuffle_seed}" if order == "shuffled" else ""
        rows += [("cycles", [str(execution.n_cycles)]), ("order", [f"{order}{seed}"])]
        rows += [
            (name, [f"{gap_s:g} s"])
            for name, gap_s in (
                ("gap between runs", execution.config_gap_seconds),
                ("gap between cycles", execution.cycle_gap_seconds),
            )
            if gap_s is not None
        ]
    if manifest.is_divided:
        rows.append(("divided into", [f"{len(manifest.shards)} shards"]))
    elif manifest.shards:
        rows.append(("merged from", [f"{n}. {name}" for n, name in enumerate(manifest.shards, 1)]))
    rows.append(("started", [manifest.started_at]))
    rows.append(("ended", [manifest.ended_at or "not yet"]))
    rows.append(("llem", [f"{name} {version}" for name, version in manifest.versions.items()]))
    return rows


def _left_out(data: StudyData) -> list[str]:
    failures = Counter(
        (entry.error_message or entry.error_type or "no message").splitlines()[0][:300]
        for entry in data.manifest.entries
        if entry.status == "failed"
    )
    sentences = [
        f"{n} {_plural(n, 'run')} failed: {why}" for why, n in failures.most_common(_MAX_SENTENCES)
    ]
    if n := sum(run.status == "interrupted" for run in data.runs):
        sentences.append(f"{n} {_plural(n, 'run')} interrupted")
    return _points_left_out(data.folder) + sentences


def _points_left_out(folder: Path) -> list[str]:
    from llem_runner import StudyError, read_study

    try:
        study = read_study(folder)
    except StudyError:  # named among the problems of the study
        return []
    reasons = Counter(point.reason for point in study.skipped)
    sentences = [
        f"{n} {_plural(n, 'point')} cannot run: {why}"
        for why, n in reasons.most_common(_MAX_SENTENCES)
    ]
    if n := study.n_excluded:
        sentences.append(f"{n} {_plural(n, 'point')} excluded by the study file")
    if n := study.n_duplicates:
        sentences.append(f"{n} {_plural(n, 'point')} equal to another one, which ran once")
    return sentences


def _plural(n: int, noun: str) -> str:
    return noun if n == 1 else f"{noun}s"
