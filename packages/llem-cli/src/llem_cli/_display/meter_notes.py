"""The lines that say what is known about the meters of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llem_cli._display.console import count
from llem_runner import StudyResult
from llem_runner.records import MeasurementProtocol

_MEANINGS = {
    "exact": "exact at its updates (checked)",
    "late": "late (checked): the error bound may not hold",
    "filtered": "filtered (checked): the error bound may not hold",
    "part-time": "on the board only part of the time (checked): energies may be wrong",
    "unclear": "unclear after a check",
    "unverified": (
        "not checked, so the error bound holds if it is exact at its updates; "
        "`llem-cli doctor --check-gpu all` checks it"
    ),
}


def meter_lines(result: StudyResult) -> Iterator[str]:
    """Yield whether counters are exact, how wrong their gain may be, and what the joules cover."""
    protocol = result.measurement_protocol
    known = {_MEANINGS.get(key, key): n for key, n in protocol.counter_exactness.items()}
    yield from _by_runs("energy counter", known)
    yield from _by_runs("gain error of the sensor", protocol.gain_errors)
    if any(point.energy_per_output_token_j for point in result.summary.points):
        yield from _scope(protocol, is_gpu=bool(protocol.counter_exactness))


def _scope(protocol: MeasurementProtocol, *, is_gpu: bool) -> Iterator[str]:
    if protocol.host_sources:
        yield (
            "J/output token is of the GPUs alone; with host: with the energy of the processor "
            f"({', '.join(protocol.host_sources)})"
        )
    elif is_gpu:
        yield "J/output token is of the GPUs alone, without the host"


def _by_runs(name: str, values: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each value, with the number of runs if there are several."""
    for value, n in values.items():
        runs = "" if len(values) == 1 else f" (in {count(n, 'run')})"
        yield f"{name}: {value}{runs}"
