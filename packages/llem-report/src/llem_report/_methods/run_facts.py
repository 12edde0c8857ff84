"""What the results of a study say about how they were measured, collected one after the other."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llem_report._figures.scales import number, percent

if TYPE_CHECKING:
    from llem_energy import ExperimentResult

_SHA_DIGITS = 12
_MAX_VALUES = 6


@dataclass(slots=True)
class RunFacts:
    """The different values of the runs, with the number of runs that have each."""

    n_runs: int = 0
    values: dict[str, Counter[str]] = field(default_factory=dict)
    windows_s: list[float] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    """Maximum error of the total energy, as a share of it."""
    n_converged: int = 0
    """Runs whose warm-up became stationary."""
    n_not_converged: int = 0
    n_with_energy: int = 0
    warm_ups: set[int] = field(default_factory=set)
    """Numbers of passes of the warm-ups."""
    warnings: Counter[str] = field(default_factory=Counter)

    def __call__(self, result: ExperimentResult) -> None:
        """Take the facts of a result."""
        self.n_runs += 1
        self.windows_s.append(result.window_s)
        self.n_converged += result.warmup_converged is True
        self.n_not_converged += result.warmup_converged is False
        self.n_with_energy += result.energy_total_j is not None
        if result.energy_bound_j is not None and result.energy_total_j:
            self.bounds.append(result.energy_bound_j / result.energy_total_j)
        self.warnings.update(dict.fromkeys(result.measurement_warnings, 1))
        self.warm_ups.add(result.n_warmup)
        for name, value in dict.fromkeys(_values(result)):
            self.values.setdefault(name, Counter())[value] += 1

    def only(self, name: str) -> str | None:
        """Return the value of all runs that have one; None if there is none, or several."""
        counts = self.values.get(name, Counter())
        return next(iter(counts)) if len(counts) == 1 else None

    def listed(self, name: str) -> tuple[str, ...]:
        """Return the different values; if the runs differ, each with the number of its runs."""
        counts = self.values.get(name, Counter())
        if len(counts) == 1 and counts.total() >= self.n_runs:
            return tuple(counts)
        lines = [
            f"{value} ({n} of {self.n_runs} runs)" for value, n in counts.most_common(_MAX_VALUES)
        ]
        more = len(counts) - _MAX_VALUES
        return (*lines, *([f"and {more} other values"] if more > 0 else []))

    @property
    def warm_up(self) -> str:
        """Return how many passes the warm-ups had."""
        low, high = min(self.warm_ups, default=0), max(self.warm_ups, default=0)
        return f"{low}" if low == high else f"{low} to {high}"

    @property
    def window(self) -> str:
        """Return how long the windows were."""
        if not self.windows_s:
            return ""
        low, middle, high = (
            min(self.windows_s), statistics.median(self.windows_s), max(self.windows_s),
        )  # fmt: skip
        if number(low) == number(high):
            return f"{number(middle)} s"
        return f"{number(low)} to {number(high)} s (median {number(middle)} s)"

    @property
    def bound(self) -> str | None:
        """Return the error bounds of the runs; None without any."""
        if not self.bounds:
            return None
        return (
            f"median {percent(statistics.median(self.bounds))}, at most {percent(max(self.bounds))}"
        )


def _values(result: ExperimentResult) -> Iterator[tuple[str, str]]:
    from llem_energy.records import gain_sentence

    yield from _machine(result)
    yield "model", _model(result)
    yield from (
        (each.role, f"{each.name}, SHA-256 {_short(each.sha256)}") for each in _data(result)
    )
    yield "method", result.measurement_methodology.replace("_", " ")
    if result.energy_source is not None:
        yield "meter", result.energy_source
        yield "estimator", result.energy_method or "not recorded"
        yield "counter", result.counter_exactness or "not a counter of a GPU"
        yield "gain error", gain_sentence(result) or "not known"
        yield "baseline", "measured" if result.baseline_power_w is not None else "not measured"
    if result.energy_source_kind == "gpu":
        host = result.energy_host_source
        yield (
            "host",
            "not metered" if host is None else f"metered by {host}, in a figure of its own",
        )
    if result.data_realism is not None:
        yield "weights", result.data_realism.weights
        yield "tokens", result.data_realism.tokens
        yield "ends", result.data_realism.ends


def _machine(result: ExperimentResult) -> Iterator[tuple[str, str]]:
    snapshot = result.environment_snapshot
    used = {device.device for device in result.devices}
    gpus = Counter(
        gpu.name + ("" if gpu.power_limit_w is None else f" (limit {number(gpu.power_limit_w)} W)")
        for gpu in snapshot.gpus
        if gpu.uuid in used
    )
    if gpus:
        yield "GPUs", ", ".join(name if n == 1 else f"{n} x {name}" for name, n in gpus.items())
    memory = snapshot.memory_bytes
    size = "" if memory is None else f", {number(memory / 2**30)} GiB"
    yield "CPU", f"{snapshot.cpu_model or 'unknown'}, {snapshot.n_cpus} logical processors{size}"
    yield "system", snapshot.platform
    yield "Python", snapshot.python
    for name, version in (("NVIDIA driver", snapshot.driver), ("AMD driver", snapshot.amd_driver)):
        if version:
            yield name, version
    yield from ((f"package {name}", version) for name, version in snapshot.packages.items())


def _model(result: ExperimentResult) -> str:
    for each in result.inputs:
        if each.role == "model":
            revision = f", revision {each.revision}" if each.revision else ""
            return f"{each.name}{revision}, SHA-256 {_short(each.sha256)}"
    return str(result.config.get("model", "unknown"))


def _data(result: ExperimentResult) -> Iterator[Any]:
    yield from (each for each in result.inputs if each.role != "model")


def _short(sha256: str | None) -> str:
    return "not known" if sha256 is None else sha256[:_SHA_DIGITS]
