"""What is known about the meters of the runs of a study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llem_energy.records import gain_sentence
from llem_runner._storage.run_facts import MeasuredRun, RunFacts


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
