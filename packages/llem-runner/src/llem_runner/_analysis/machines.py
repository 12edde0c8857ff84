"""On which machines the blocks of a study ran, and whether these can be compared with one another.

What differs between two machines by a factor is in the effects of their blocks. Another kind of machine
changes points by different factors, so its runs are left out. Nothing here depends on a value that was
measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from llem_energy.records import GpuSnapshot
from llem_runner._analysis.gpu_kinds import SWITCH
from llem_runner._storage.run_facts import MeasuredRun, metered_devices

_MAX_NAMED = 5


class Machines(NamedTuple):
    """What is known of the machines of a study's runs."""

    left_out: Mapping[int, str]
    """For each run on a machine of another kind than most, in what this differs; by index."""
    sentences: tuple[str, ...]
    """For the runs of each such machine: how many, which, and why."""
    caveats: tuple[str, ...]
    """A sentence for each difference between the machines of the other runs."""


def gpus_of(result: MeasuredRun) -> tuple[GpuSnapshot, ...]:
    """Return the GPUs that were metered in a run, as they were before it."""
    gpus = result.environment_snapshot.gpus
    return tuple(gpu for gpu in gpus if gpu.is_among(metered_devices(result)))


def devices_of(results: Iterable[MeasuredRun]) -> tuple[str, ...]:
    """Return the names of all devices that were metered in some runs, sorted."""
    return tuple(sorted({device for each in results for device in metered_devices(each)}))


def machine_of(results: Iterable[MeasuredRun]) -> str | None:
    """Return the name of the machine of some runs; None if there are several, or it is not known."""
    names = {result.environment_snapshot.host for result in results}
    return names.pop() if len(names) == 1 else None


def run_elsewhere(results: Iterable[MeasuredRun]) -> bool:
    """Return whether some runs were not all made on the same machine and devices."""
    places = {(each.environment_snapshot.host, devices_of([each])) for each in results}
    return len(places) > 1


def other_differences(results: Iterable[MeasuredRun]) -> Iterator[str]:
    """Yield a sentence for each property in which machines of one kind differ.

    Args:
        results: of the runs that can be compared.
    """
    yield from _caveats(_one_of_each(results))


def _one_of_each(runs: Iterable[MeasuredRun]) -> list[MeasuredRun]:
    """Return the first of the runs that share the description of their machine, and its devices."""
    places: dict[object, MeasuredRun] = {}
    for run in runs:
        places.setdefault((id(run.environment_snapshot), tuple(metered_devices(run))), run)
    return list(places.values())


def _listed(texts: Iterable[str]) -> str:
    counts = sorted(Counter(texts).items())
    return " and ".join(f"{n} x {text}" if n > 1 else text for text, n in counts) or "none"


def _caveats(results: Sequence[MeasuredRun]) -> Iterator[str]:
    """Yield a sentence for each property in which the machines of some runs differ."""
    properties = [_properties(result) for result in results]
    names = dict.fromkeys(name for each in properties for name in each)
    for name in names:
        found = sorted({each[name] for each in properties if name in each})
        if len(found) > 1:
            yield f"the machines of the blocks differ in {name}: {', '.join(found[:_MAX_NAMED])}"
    packages = [result.environment_snapshot.packages for result in results]
    differing = [
        f"{name} {', '.join(found)}"
        for name in sorted({name for each in packages for name in each})
        if len(found := sorted({each.get(name, "not installed") for each in packages})) > 1
    ]
    if differing:
        more = len(differing) - _MAX_NAMED
        rest = f"; and {more} more" if more > 0 else ""
        shown = "; ".join(differing[:_MAX_NAMED])
        yield f"the machines of the blocks differ in packages: {shown}{rest}"


def _properties(result: MeasuredRun) -> dict[str, str]:
    """Return what may differ between machines whose points are compared; unknown ones are left out."""
    snapshot, gpus = result.environment_snapshot, gpus_of(result)
    known = {
        "the driver": snapshot.driver or snapshot.amd_driver,
        "the CUDA version of the driver": snapshot.cuda_driver,
        "the CPU": snapshot.cpu_model,
    }
    of_gpus = {"ECC": _listed(SWITCH[gpu.ecc] or "unknown" for gpu in gpus)}
    return {name: text for name, text in (of_gpus | known).items() if text is not None}
