"""Which runs of a study ran on another kind of machine than most, so that they cannot be compared with them.

Another kind of GPU, another power limit or MIG changes points by different factors, which no effect of
a block removes. The kind that the fewest runs contradict stays, at a tie that of the first planned run.
Nothing here depends on a value that was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from llem_energy.records import GpuSnapshot
from llem_runner._analysis.gpu_kinds import properties_of
from llem_runner._storage.run_facts import MeasuredRun, metered_devices

Properties = dict[str, str | None]
"""What a property of a machine is, in words, by its name in words; None: not known."""
_MEMORY = "memory of the GPU"
_SAME_MEMORY = 0.02
"""Drivers reserve a part of the memory of one board, and not always the same part."""
_MAX_RANGES = 12
_MAX_CANDIDATES = 50
"""Descriptions that are counted as the usual kind, the most frequent first; a file can have one for each of
50,000 runs, and each is compared with all others."""


class MachineKind(NamedTuple):
    """What a run must have in common with others to be compared with them, and where it ran."""

    asks_for_cpu: bool
    """Whether the point asks for the processor, and no GPU was metered. Such points and those of the GPU
    are of one machine, so each are judged among themselves."""
    properties: tuple[tuple[str, str | None], ...]
    """Of what computed: the GPUs, or the processor if there is none."""
    memory_bytes: int | None
    """Of each GPU; None: not known, or GPUs of several sizes, which `properties` has."""
    n_gpus: int | None
    """Number of metered GPUs; None: none was metered."""
    host: str | None
    """Name of the machine; None: not known."""


class OtherKinds(NamedTuple):
    """The runs that ran on another kind of machine than most."""

    reasons: dict[int, str]
    """By index, in what the machine of the run differs, such as `power limit 300 W, but 700 W ...`."""
    sentences: tuple[str, ...]
    """For the runs of each machine that differ in the same way: which runs, how many, and why."""
    caveats: tuple[str, ...]
    """A sentence for compared runs whose kind is only known in part."""


def machine_kind(result: MeasuredRun) -> MachineKind:
    """Return the kind of machine of a run."""
    snapshot = result.environment_snapshot
    metered = [gpu for gpu in snapshot.gpus if gpu.is_among(metered_devices(result))]
    # The driver may name a GPU otherwise than the snapshot, as an instance of MIG.
    is_gpu = any(name.startswith(("GPU-", "MIG-")) for name in metered_devices(result))
    asks_for_cpu = not is_gpu and any(
        isinstance(section, Mapping) and section.get("device") == "cpu"
        for section in result.config.values()
    )
    used = metered or ([] if asks_for_cpu else list(snapshot.gpus))
    if not used:
        properties: Properties = {"GPU": "none", "processor": snapshot.cpu_model}
        properties = {"GPU": None} if is_gpu else properties
    else:
        # Without a meter it is not known which GPU the run used; it matters only if they differ.
        properties = {
            name: _joined(values, is_known=bool(metered))
            for name, values in _properties_of(used).items()
        }
    sizes = {gpu.memory_bytes for gpu in used}
    if len(sizes) > 1:
        texts = [None if gpu.memory_bytes is None else _size(gpu.memory_bytes) for gpu in used]
        properties[_MEMORY] = _joined(texts, is_known=bool(metered))
    return MachineKind(
        asks_for_cpu,
        tuple(properties.items()),
        sizes.pop() if len(sizes) == 1 else None,
        len(metered) or None,
        snapshot.host,
    )


def kinds_of(results: Mapping[int, MeasuredRun]) -> dict[int, tuple[str, MachineKind]]:
    """Return the point and the kind of machine of each run, by index."""
    known: dict[object, MachineKind] = {}
    found = {}
    for index in sorted(results):
        run = results[index]
        # Runs share the description of their machine, and 50,000 runs have few of them.
        key = (id(run.environment_snapshot), id(run.config), tuple(metered_devices(run)))
        kind = known.get(key) or known.setdefault(key, machine_kind(run))
        found[index] = (run.measurement_config_hash, kind)
    return found


def other_kinds(runs: Mapping[int, tuple[str, MachineKind]]) -> OtherKinds:
    """Return the runs that cannot be compared with most others because of their machine.

    Args:
        runs: the point and the kind of machine of each run with a result, by index, whatever figures
            it has, so that the same kind stays for every figure.
    """
    in_order = {index: runs[index] for index in sorted(runs)}
    reasons: dict[int, str] = {}
    caveats: list[str] = []
    for asks_for_cpu in (False, True):
        kinds = {i: kind for i, (_, kind) in in_order.items() if kind.asks_for_cpu is asks_for_cpu}
        judged = _judge(_with_memory(kinds))
        reasons |= judged[0]
        caveats += judged[1]
    reasons |= _other_numbers({i: run for i, run in in_order.items() if i not in reasons})
    hosts = {index: in_order[index][1].host for index in sorted(reasons)}
    return OtherKinds(reasons, tuple(_sentences(reasons, hosts)), tuple(caveats))


def _judge(kinds: Mapping[int, Properties]) -> tuple[dict[int, str], list[str]]:
    """Return in what the runs of other kinds differ, and what is not known of the others."""
    if not kinds:
        return {}, []
    counts = Counter(tuple(kind.items()) for kind in kinds.values())
    described = [(dict(items), n) for items, n in counts.items()]
    frequent = counts.most_common(_MAX_CANDIDATES)
    candidates = [_completed(dict(items), described) for items, _ in frequent]
    n_agreeing = [
        sum(n for kind, n in described if not _differences(kind, candidate))
        for candidate in candidates
    ]
    largest = [c for c, n in zip(candidates, n_agreeing, strict=True) if n == max(n_agreeing)]
    usual, deciding = _of_first_run(largest, kinds)
    kept = [kind for kind in kinds.values() if not _differences(kind, usual)]
    tie = ""
    if deciding is not None:
        others = [kind for kind in kinds.values() if _differences(kind, usual)]
        n_others = max(sum(not _differences(kind, c) for kind in others) for c in largest)
        # Runs that do not say in what two kinds differ count for both.
        verb = "have" if n_others == len(kept) else "could have"
        tie = f"; as many {verb} another kind, and that of run {deciding} is kept"
    reasons = {}
    for index, kind in kinds.items():
        if names := _differences(kind, usual):
            texts = ", ".join(f"{name} {kind[name]} instead of {usual[name]}" for name in names)
            reasons[index] = f"{texts}, {_which_runs(names, kept)}{tie}"
    return reasons, _unknown(kept, usual)


def _of_first_run(
    candidates: list[Properties], kinds: Mapping[int, Properties]
) -> tuple[Properties, int | None]:
    """Return the kind of the first run that is not of all kinds, and this run; None: there is none."""
    deciding = None
    for index, kind in kinds.items():
        agreeing = [each for each in candidates if not _differences(kind, each)]
        if 0 < len(agreeing) < len(candidates):
            candidates, deciding = agreeing, index
    return candidates[0], deciding


def _which_runs(names: Sequence[str], kept: Sequence[Properties]) -> str:
    """Return how many of the kept runs have some properties, of which none has others."""
    n, n_kept = sum(all(kind.get(name) for name in names) for kind in kept), len(kept)
    if n == n_kept:
        return (
            "which the run that is kept has" if n == 1 else f"which the {n} runs that are kept have"
        )
    if n == 0:
        return f"which none of the {n_kept} runs that are kept contradicts"
    rest = f"{n_kept - n} {'does' if n_kept - n == 1 else 'do'} not say {'all of ' * (len(names) > 1)}it"
    return f"which {n} of the {n_kept} runs that are kept {'has' if n == 1 else 'have'}; {rest}"


def _differences(kind: Properties, usual: Properties) -> list[str]:
    """Return the names of the properties that differ; what is not known does not show a difference."""
    return [
        name
        for name, text in usual.items()
        if name in kind and None not in (text, kind[name]) and kind[name] != text
    ]


def _completed(kind: Properties, described: Sequence[tuple[Properties, int]]) -> Properties:
    """Return a kind with what other runs that do not differ from it know of it.

    Otherwise two kinds could both agree with one of which little is known.

    Args:
        kind: of some runs.
        described: each kind, with its number of runs.
    """
    usual = dict(kind)
    for name in dict.fromkeys(name for each, _ in described for name in each):
        if usual.get(name) is None:
            known: Counter[str] = Counter()
            for each, n in described:
                if (text := each.get(name)) is not None and not _differences(each, usual):
                    known[text] += n
            usual[name] = known.most_common(1)[0][0] if known else None
    return usual


def _unknown(kept: Sequence[Properties], usual: Properties) -> list[str]:
    """Return a sentence if some kept runs do not say everything that others say of their machine."""
    sentences = []
    for name, text in usual.items():
        n = sum(kind.get(name) is None for kind in kept)
        if text is not None and n:
            who = "1 run does not say its" if n == 1 else f"{n} runs do not say their"
            sentences.append(f"{who} {name}; compared as if it were {text}, as in the others")
    return sentences


def _other_numbers(runs: Mapping[int, tuple[str, MachineKind]]) -> dict[int, str]:
    """Return the runs that were metered on another number of GPUs than most runs of their point."""
    counts: dict[str, Counter[int]] = {}
    first: dict[tuple[str, int], int] = {}
    for index, (point, kind) in runs.items():
        if kind.n_gpus is not None:
            counts.setdefault(point, Counter())[kind.n_gpus] += 1
            first.setdefault((point, kind.n_gpus), index)
    reasons = {}
    for index, (point, kind) in runs.items():
        if kind.n_gpus is None:
            continue
        (usual, n), *others = counts[point].most_common()  # at a tie the first one comes first
        if kind.n_gpus != usual:
            gpus = "1 GPU" if kind.n_gpus == 1 else f"{kind.n_gpus} GPUs"
            which = "1 run of this point has" if n == 1 else f"{n} runs of this point have"
            tie = f"; as many have another number, and that of run {first[point, usual]} is kept"
            reasons[index] = (
                f"{gpus} instead of {usual}, which {which}{tie if others[0][1] == n else ''}"
            )
    return reasons


def _sentences(reasons: Mapping[int, str], hosts: Mapping[int, str | None]) -> Iterator[str]:
    groups: dict[tuple[str | None, str], list[int]] = {}
    for index, host in hosts.items():
        groups.setdefault((host, reasons[index]), []).append(index)
    for (host, reason), indices in groups.items():
        where = host or "a machine"
        runs, verb, noun = (
            ("1 run", "is", "run") if len(indices) == 1 else (f"{len(indices)} runs", "are", "runs")
        )
        yield (
            f"{runs} on {where} {verb} not compared, because the kind of machine is another one: "
            f"{reason} ({noun} {_ranges(indices)})"
        )


def _ranges(indices: Sequence[int]) -> str:
    """Return numbers as short text, such as `1, 4 to 9`."""
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    texts = [f"{a}" if a == b else f"{a} to {b}" for a, b in ranges]
    if len(texts) <= _MAX_RANGES:
        return ", ".join(texts)
    n_more = sum(b - a + 1 for a, b in ranges[_MAX_RANGES:])
    return f"{', '.join(texts[:_MAX_RANGES])} and {n_more} more"


def _properties_of(gpus: Sequence[GpuSnapshot]) -> dict[str, list[str | None]]:
    each = [properties_of(gpu) for gpu in gpus]
    return {name: [gpu[name] for gpu in each] for name in each[0]}


def _joined(texts: Iterable[str | None], *, is_known: bool) -> str | None:
    """Return the different texts; None if one is not known, or it is not known which of them holds."""
    found = set(texts)
    known = sorted(text for text in found if text is not None)
    if None in found or (len(known) > 1 and not is_known):
        return None
    return " and ".join(known)


def _with_memory(kinds: Mapping[int, MachineKind]) -> dict[int, Properties]:
    """Return the properties with the memory in words, equal for boards whose memory is about equal."""
    sizes: list[int] = []
    found: dict[int, Properties] = {}
    for index, kind in kinds.items():
        properties = dict(kind.properties)
        if _MEMORY not in properties and properties.get("GPU") != "none":
            size = kind.memory_bytes
            if size is not None:
                size = next((s for s in sizes if abs(s - size) <= _SAME_MEMORY * s), size)
                if size not in sizes:
                    sizes.append(size)
            properties[_MEMORY] = None if size is None else _size(size)
        found[index] = properties
    return found


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.0f} GiB"
