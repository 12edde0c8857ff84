"""Whether points that were added to a study are compared with those that it had, and how safely."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from llem_runner._analysis.compared_runs import ComparedRuns
from llem_runner._analysis.headline import FIGURE_NAMES
from llem_runner._plan.comparability import MIN_CYCLES
from llem_runner._storage.manifest import Extension, ManifestEntry

_MAX_LABELS = 6
_ELSEWHERE = "on another kind of machine than the runs that are kept"


class _Late:
    """The points of one extension, beside those that the study had."""

    def __init__(
        self, extension: Extension, entries: Sequence[ManifestEntry], runs: ComparedRuns
    ) -> None:
        self._extension = extension
        self._new = set(extension.new_points)
        self._runs = runs
        self._figure = FIGURE_NAMES[runs.figure]
        self._entries = entries
        self._labels = {entry.config_hash: entry.label for entry in entries}
        first, last = extension.first_cycle, extension.last_cycle
        self._new_entries = [entry for entry in entries if first <= entry.cycle <= last]
        self._first = first
        self._next = max(entry.cycle for entry in entries) + MIN_CYCLES
        self._cycles: Mapping[str, set[int]] = _cycles(runs)

    @property
    def is_measured(self) -> bool:
        """Return whether each of its runs was tried."""
        return all(entry.status in ("completed", "failed") for entry in self._new_entries)

    def sentences(self) -> Iterator[str]:
        """Yield what keeps its points from a comparison with earlier runs, or leaves it unchecked."""
        yield from self._earlier_left_out()
        if (sentence := self._connection()) is not None:
            yield sentence

    def _earlier_left_out(self) -> Iterator[str]:
        """Yield a sentence if the machine of the extension left out most runs from before it."""
        earlier = [
            entry.index
            for entry in self._entries
            if entry.cycle < self._first and entry.index in self._runs.values
        ]
        n = sum(index in self._runs.machines.left_out for index in earlier)
        if 2 * n > len(earlier):
            names = _names(map(self._label, self._extension.new_points))
            yield (
                f"most runs from before cycle {self._first}, the first with added points ({names}), are not "
                f"compared: {n} of {len(earlier)} with {self._figure} ran {_ELSEWHERE}"
            )

    def _connection(self) -> str | None:
        """Return what keeps its points from a comparison, or leaves it unchecked; None: nothing."""
        old = {entry.config_hash for entry in self._entries if entry.cycle < self._first}
        if not any(point in self._cycles for point in self._new) or not old & self._cycles.keys():
            return self._not_compared()
        # With a single old point there are none: all that is compared ran in the same cycles.
        before = [
            point for point in old if min(self._cycles.get(point, [self._first])) < self._first
        ]
        both = [point for point in before if max(self._cycles[point]) >= self._first]
        return self._by_one_point(both[0]) if len(both) == 1 else None

    def _not_compared(self) -> str:
        points = f"the points added in cycles {self._first} to {self._extension.last_cycle}"
        names = _names(map(self._label, self._extension.new_points))
        text = f"{points} ({names}) are not compared with the others"
        new = [entry for entry in self._new_entries if entry.config_hash in self._new]
        valued = [entry.index for entry in new if entry.index in self._runs.values]
        if not valued:
            return f"{text}: none of their runs has {self._figure}"
        n_elsewhere = sum(index in self._runs.machines.left_out for index in valued)
        if n_elsewhere == len(valued):
            return f"{text}: all their runs with {self._figure} ran {_ELSEWHERE}"
        if self._new <= set(self._runs.left_out) - set(self._runs.apart):
            if n_elsewhere:
                return (
                    f"{text}: of their {len(valued)} runs with {self._figure}, {n_elsewhere} ran {_ELSEWHERE}, "
                    "and the others are too few"
                )
            return f"{text}: too few of their runs have {self._figure}"
        return (
            f"{text}, because no anchor connects them: {'; '.join(self._reasons())}. Figures of both groups "
            f"are not a ranking. {self._advice}, and the groups are connected"
        )

    def _by_one_point(self, point: str) -> str:
        others = [f"; {reason}" for reason in self._reasons(without=point)]
        return (
            f"only {self._label(point)} connects the points added in cycles {self._first} to "
            f"{self._extension.last_cycle} with the others{''.join(others)}; so it cannot be checked "
            f"whether the runs of both times agree. {self._advice}, and it can"
        )

    @property
    def _advice(self) -> str:
        return f"Add cycles, which have all points, with `llem-cli study resume FOLDER --cycles {self._next}`"

    def _reasons(self, without: str | None = None) -> Iterator[str]:
        """Yield why anchors do not connect, with their names."""
        anchors: dict[str, list[str]] = {}
        for anchor in self._extension.anchors:
            if anchor != without:
                anchors.setdefault(self._reason(anchor), []).append(self._label(anchor))
        yield from (f"{_names(labels)}: {reason}" for reason, labels in anchors.items())

    def _reason(self, anchor: str) -> str:
        own = [entry for entry in self._new_entries if entry.config_hash == anchor]
        if not any(entry.status == "completed" for entry in own):
            return "failed in these cycles"
        valued = [entry for entry in own if entry.index in self._runs.values]
        if not valued:
            return f"no {self._figure} in these cycles"
        if all(entry.index in self._runs.machines.left_out for entry in valued):
            return "on another kind of machine in these cycles"
        earlier = [e for e in self._entries if e.config_hash == anchor and e.cycle < self._first]
        if not any(entry.index in self._runs.values for entry in earlier):
            return f"no {self._figure} in the cycles before"
        if anchor in self._runs.left_out and anchor not in self._runs.apart:
            return f"{self._figure} in too few runs"
        return "apart from the new points"

    def _label(self, point: str) -> str:
        return self._labels.get(point, point[:8])


def late_point_sentences(
    extensions: Iterable[Extension], entries: Sequence[ManifestEntry], runs: ComparedRuns
) -> Iterator[str]:
    """Yield what keeps the points of each extension from a comparison with the runs before it.

    Args:
        extensions: of the study; one that has not run yet is skipped.
        entries: every planned run of the study.
        runs: that are compared.
    """
    for extension in extensions:
        late = _Late(extension, entries, runs)
        if late.is_measured:
            yield from late.sentences()


def _cycles(runs: ComparedRuns) -> dict[str, set[int]]:
    """Return the cycles in which a point ran beside another compared point."""
    cycles: dict[str, set[int]] = {}
    for (cycle, _, _), points in runs.blocks.items():
        if len(points) > 1:
            for point in points:
                cycles.setdefault(point, set()).add(cycle)
    return cycles


def _names(labels: Iterable[str]) -> str:
    found = list(labels)
    more = f" and {len(found) - _MAX_LABELS} more" if len(found) > _MAX_LABELS else ""
    return f"{', '.join(found[:_MAX_LABELS])}{more}"
