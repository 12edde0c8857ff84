"""The faults of a file while it is read: the first hundred are described, the others counted.

To describe a fault takes a millisecond, because names are compared. A file may have thousands, and a
point of a sweep repeats the faults of the point before.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from llem_config._faults import MAX_FAULTS, ConfigError, Fault


class FaultList:
    """Different faults in the order in which they are found."""

    def __init__(self) -> None:
        self._faults: dict[Fault, None] = {}
        self._places: set[Hashable] = set()
        self._n_more = 0

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def __bool__(self) -> bool:
        return bool(self._faults)

    @property
    def is_full(self) -> bool:
        """Whether further faults are only counted, so that they need no description."""
        return len(self._faults) >= MAX_FAULTS

    def is_new(self, *place: Hashable) -> bool:
        """Return whether a fault has to be described; otherwise it is counted if it is new.

        Args:
            place: what is the same for the same fault: the document, the route, the kind.
        """
        if place in self._places:
            return False
        self._places.add(place)
        self._n_more += self.is_full
        return not self.is_full

    def add(self, fault: Fault) -> None:
        """Keep a fault, or count it if there are a hundred."""
        if fault not in self._faults:
            if self.is_full:
                self._n_more += 1
            else:
                self._faults[fault] = None

    def extend(self, faults: Iterable[Fault]) -> None:
        """Keep several faults."""
        for fault in faults:
            self.add(fault)

    def error(self) -> ConfigError:
        """Return the error with all faults, in the order of the file."""
        by_place = sorted(self._faults, key=lambda f: (str(f.file), f.line, f.column))
        return ConfigError(by_place, self._n_more)
