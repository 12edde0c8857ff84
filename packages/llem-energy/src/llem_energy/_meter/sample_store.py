"""The samples that open windows still need; memory stays bounded however long they are open."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Sequence

from llem_energy._meter.span_energy import AROUND_S
from llem_energy._sources.protocol import Sample

_LIMIT = 40_000  # samples: about an hour of one device at 10 Hz, 10 MB
_CHUNK = 512  # samples that are dropped at once


class SampleStore:
    """Takes samples from any thread, and drops those that no window needs."""

    def __init__(self, *, limit: int = _LIMIT) -> None:
        """Begin empty.

        Args:
            limit: more samples than this are thinned out, except around the ends of windows.
        """
        self._limit = limit
        self._samples: list[Sample] = []
        self._lock = threading.Lock()
        self._n_next_drop = 2 * _CHUNK
        self._arrived: deque[Sequence[Sample]] = deque()
        # An end of a window waits for this, so the samples are put in order later.
        self.add: Callable[[Sequence[Sample]], None] = self._arrived.append
        """Take the samples of one reading."""

    def __len__(self) -> int:
        with self._lock:
            self._sort_in()
            return len(self._samples)

    def _sort_in(self) -> None:
        """Put what has arrived in order; the caller holds the lock."""
        samples = self._samples
        while self._arrived:
            for sample in self._arrived.popleft():
                if samples and sample.t_s < samples[-1].t_s:
                    insort(samples, sample, key=_time_s)  # another thread was faster
                else:
                    samples.append(sample)

    def between(self, start_s: float, end_s: float) -> list[Sample]:
        """Return the samples of a span in time order."""
        with self._lock:
            self._sort_in()
            first = bisect_left(self._samples, start_s, key=_time_s)
            last = bisect_right(self._samples, end_s, key=_time_s)
            return self._samples[first:last]

    def latest(self, n: int) -> tuple[Sample, ...]:
        """Return the newest `n` samples, oldest first."""
        with self._lock:
            self._sort_in()
            return tuple(self._samples[-n:])

    @property
    def is_full(self) -> bool:
        """Whether samples should be dropped."""
        return len(self) >= self._n_next_drop

    @property
    def is_over_limit(self) -> bool:
        """Whether samples that are still needed will be thinned out."""
        return len(self) > self._limit

    def drop(self, starts_s: Sequence[float]) -> None:
        """Drop the samples that no window needs.

        Args:
            starts_s: of the windows that are not yet computed, in any order.
        """
        with self._lock:
            self._sort_in()
            if not self._samples:
                return
            since_s = min((*starts_s, self._samples[-1].t_s)) - AROUND_S
            del self._samples[: bisect_left(self._samples, since_s, key=_time_s)]
            if len(self._samples) > self._limit:
                self._thin(sorted(starts_s))
            self._n_next_drop = len(self._samples) + _CHUNK

    def _thin(self, starts_s: Sequence[float]) -> None:
        """Drop every second reading of each device, except next to a start and to the present.

        An end of a window needs its samples; between them, the counter misses nothing, and power is
        only sampled less often.
        """
        until_s = self._samples[-1].t_s - 2 * AROUND_S
        seen: dict[str, int] = {}
        kept = []
        for sample in self._samples:
            n_seen = seen[sample.device] = seen.get(sample.device, 0) + 1
            if n_seen % 2 or sample.t_s > until_s or _is_next_to(sample.t_s, starts_s):
                kept.append(sample)
        self._samples = kept


def _is_next_to(t_s: float, starts_s: Sequence[float]) -> bool:
    i = bisect_left(starts_s, t_s - AROUND_S)
    return i < len(starts_s) and starts_s[i] <= t_s + AROUND_S


def _time_s(sample: Sample) -> float:
    return sample.t_s
