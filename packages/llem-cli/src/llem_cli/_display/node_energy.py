"""The energy of whole machines beside that of the runs: a cross-check, shown apart from all figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from llem_cli._display.console import count, first_lines
from llem_runner.records import NodeEnergy

_COVERED = {
    "machine": "whole machines",
    "processor": "processors and their memory",
    "gpus": "all GPUs of machines",
    None: "machines",
}


def node_energy_lines(attempts: Sequence[NodeEnergy]) -> Iterator[str]:
    """Yield how the energy of machines compares with that of the runs, and why it is missing."""
    meters = sorted(
        {(each.meter or "", each.covers) for each in attempts if each.energy_j}, key=str
    )
    for meter, covers in meters:
        found = [each for each in attempts if each.energy_j and (each.meter or "") == meter]
        shares = [each.measured_share for each in found if each.measured_share is not None]
        times = [each.measured_time_share for each in found if each.measured_share is not None]
        beside = "no run there has energies of the same devices"
        if shares:
            beside = f"the runs measured {_range(shares)} of it, in {_range(times)} of the time"
        yield (
            f"energy of {_COVERED[covers]} by the cluster ({meter}): {beside} "
            f"({count(len(found), 'attempt')}); a cross-check, used in no figure"
        )
    yield from _counted((each.problem for each in attempts), "warning: ", "attempt")
    missing = (each.reason if each.energy_j is None else None for each in attempts)
    yield from _counted(missing, "energy of whole machines is missing: ", "attempt")


def _counted(sentences: Iterable[str | None], prefix: str, what: str) -> Iterator[str]:
    counts = Counter(sentence for sentence in sentences if sentence)
    return first_lines(
        (
            f"{prefix}{sentence} ({count(number, what)})"
            for sentence, number in counts.most_common()
        ),
        lambda n: f"and {count(n, 'more such line')}",
    )


def _range(shares: Iterable[float | None]) -> str:
    known = [share for share in shares if share is not None]
    low, high = f"{min(known):.0%}", f"{max(known):.0%}"
    return low if low == high else f"{low} to {high}"
