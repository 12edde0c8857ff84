"""What is known about the meters of the runs of a study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from llem_energy.records import gain_sentence
from llem_runner._storage.run_facts import MeasuredRun, RunFacts


def meter_of(result: MeasuredRun) -> str | None:
    """Return the energy source of a run, and that the model did not run on what it meters, if so.

    A model on the CPU beside a GPU of the settings (`devices.gpus`) has the joules of a GPU that does
    nothing. They are flagged, and compare with no others.
    """
    on_cpu = any(
        isinstance(section, Mapping) and section.get("device") == "cpu"
        for section in result.config.values()
    )
    if on_cpu and result.energy_source_kind == "gpu":
        return f"{result.energy_source} beside a model on the CPU"
    return result.energy_source


def exactness(results: Iterable[MeasuredRun]) -> Iterator[str]:
    """Yield whether the counters of each run that metered GPUs are exact at their updates."""
    for result in results:
        if result.counter_exactness is not None:
            yield result.counter_exactness


def gain_errors(results: Iterable[MeasuredRun]) -> Iterator[str]:
    """Yield the gain error of the sensors of each run that has one, with its origin."""
    for result in results:
        sentence = result.gain if isinstance(result, RunFacts) else gain_sentence(result)
        if sentence is not None:
            yield sentence
