"""On which machines the blocks of a study ran, and whether these can be compared with one another.

What differs between two machines by a factor is in the effects of their blocks. Another kind of GPU, another
power limit or MIG changes points by different factors, so such blocks are left out. Nothing here
depends on a value that was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from llem_energy.records import GpuSnapshot
from llem_runner._storage.run_facts import MeasuredRun, metered_devices

_Block = TypeVar("_Block", bound=Hashable)
_MAX_NAMED = 5
_SWITCH = {None: "unknown", True: "on", False: "off"}
Properties = dict[str, str]
"""What a property of a machine is, in words, by its name in words."""


class Machines(NamedTuple):
    """What is known of the machines of a study's blocks."""

    left_out: dict[Any, str]
    """For each block that is not compared, a sentence with the reason."""
    caveats: tuple[str, ...]
    """A sentence for each difference between the machines of the other blocks."""


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


def compare_machines(blocks: Mapping[_Block, Sequence[MeasuredRun]]) -> Machines:
    """Return which blocks are not comparable with the others, and what else differs.

    The blocks that are compared are those of the kind of machine with the most runs.

    Args:
        blocks: the results of each block, at least one.
    """
    kinds = {block: [_kind(run) for run in _one_of_each(runs)] for block, runs in blocks.items()}
    steady = {block: own[0] for block, own in kinds.items() if all(k == own[0] for k in own)}
    counts: Counter[tuple[tuple[str, str], ...]] = Counter()
    for block, kind in steady.items():
        counts[tuple(kind.items())] += len(blocks[block])
    usual = dict(counts.most_common(1)[0][0]) if counts else {}
    left_out = {
        block: _why(steady.get(block), usual, results)
        for block, results in blocks.items()
        if steady.get(block) != usual
    }
    kept = [each for block, own in blocks.items() if block not in left_out for each in own]
    return Machines(left_out, tuple(_caveats(_one_of_each(kept))))


def _one_of_each(runs: Iterable[MeasuredRun]) -> list[MeasuredRun]:
    """Return the first of the runs that share the description of their machine, and its devices."""
    places: dict[object, MeasuredRun] = {}
    for run in runs:
        places.setdefault((id(run.environment_snapshot), tuple(metered_devices(run))), run)
    return list(places.values())


def _why(kind: Properties | None, usual: Properties, results: Sequence[MeasuredRun]) -> str:
    where = machine_of(results) or "a machine"
    place = f"{len(results)} runs on {where} are not compared"
    if len(results) == 1:
        place = f"1 run on {where} is not compared"
    if kind is None:
        return f"{place}: the GPU, its power limit or MIG changed between them"
    differences = [
        f"{name} {kind[name]}, but {text} in the other blocks"
        for name, text in usual.items()
        if kind[name] != text
    ]
    return f"{place}: {'; '.join(differences)}"


def _kind(result: MeasuredRun) -> Properties:
    """Return what a run must have in common with others to be compared with them."""
    gpus = gpus_of(result)
    return {
        "GPU": _listed(gpu.name for gpu in gpus),
        "power limit": _listed(_watts(gpu.power_limit_w) for gpu in gpus),
        "MIG": _listed(_SWITCH[gpu.mig] for gpu in gpus),
    }


def _watts(limit_w: float | None) -> str:
    return "unknown" if limit_w is None else f"{limit_w:.0f} W"


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


def _properties(result: MeasuredRun) -> Properties:
    """Return what may differ between machines whose points are compared; unknown ones are left out."""
    snapshot, gpus = result.environment_snapshot, gpus_of(result)
    known = {
        "the driver": snapshot.driver or snapshot.amd_driver,
        "the CUDA version of the driver": snapshot.cuda_driver,
        "the CPU": snapshot.cpu_model,
    }
    of_gpus = {
        "the memory of the GPU": _listed(f"{gpu.memory_bytes or 0:,} bytes" for gpu in gpus),
        "the default power limit": _listed(_watts(gpu.power_limit_default_w) for gpu in gpus),
        "ECC": _listed(_SWITCH[gpu.ecc] for gpu in gpus),
    }
    return {name: text for name, text in (of_gpus | known).items() if text is not None}
