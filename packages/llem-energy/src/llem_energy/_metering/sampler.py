"""Reads a source at a fixed rate during a measurement, and densely around the edges of a window.

One thread reads during the whole measurement. It follows an absolute schedule, so that it does not
drift, and skips ticks that it has missed. A burst adds readings between them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from llem_energy._metering.live_file import LiveFile
from llem_energy._sources.protocol import EnergySource, Sample

_DETAILS_PERIOD_S = 1.0  # temperature and clocks change slowly, and each costs a call
_DENSE_S = 0.001


class TakesSamples(Protocol):
    """Keeps samples."""

    def add(self, samples: Sequence[Sample]) -> None:
        """Take the samples of one reading, in any thread."""


class Sampler:
    """Samples inside a `with` block. Without a source it does nothing."""

    def __init__(
        self,
        source: EnergySource | None,
        period_s: float,
        recorder: TakesSamples,
        live: LiveFile | None = None,
        after_reading: Callable[[], None] | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Prepare; the thread starts with the `with` block.

        Args:
            source: what to read; None for nothing.
            period_s: time between two readings of the thread, in seconds.
            recorder: takes the samples.
            live: takes the newest samples of the thread too.
            after_reading: called by the thread after each of its readings.
            clock: monotonic seconds, for readings in the thread of the caller.
            sleep: waits between these for the given number of seconds.
        """
        self._clock, self._sleep = clock, sleep
        self._source = source
        self._live = live or LiveFile(None)
        self._after_reading = after_reading  # of the thread, not of a caller
        self._period_s = period_s
        self._every = max(1, round(_DETAILS_PERIOD_S / period_s))
        # A lock that only `__exit__` and `burst` release: waiting for it with a timeout is one call,
        # while waiting for an Event runs twenty lines of Python at every tick.
        self._running = threading.Lock()
        self._running.acquire()
        self._is_stopping = False
        self._due_s = 0.0
        self._burst_until_s, self._burst_step_s = 0.0, 1.0
        self._thread = threading.Thread(target=self._run, name="llem-sampler", daemon=True)
        self._recorder = recorder
        self.failure: str | None = None
        """Why it stopped early."""

    def __enter__(self) -> Sampler:
        if self._source is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_stopping = True
        self._wake()
        # The thread itself may end a meter whose user has dropped it.
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def now_s(self) -> float:
        """Return the time on the clock of the samples."""
        return self._clock()

    @property
    def meters_gpus(self) -> bool:
        """Whether the devices are GPU boards, which idle while the host reads them."""
        return self._source is not None and self._source.kind == "gpu"

    def read(self) -> tuple[Sample, ...]:
        """Read once in the caller's thread; () without a source."""
        if self._source is None:
            return ()
        samples = self._source.read()
        self._recorder.add(samples)
        return samples

    def read_until(self, seen: Callable[[tuple[Sample, ...]], bool], timeout_s: float) -> bool:
        """Read about a thousand times a second until `seen` returns True; return whether it did.

        Dense reading shows when a counter moved to within a millisecond.
        """
        deadline_s = self._clock() + timeout_s
        while self._source is not None and self._clock() < deadline_s:
            if seen(self.read()):
                return True
            self._sleep(_DENSE_S)
        return False

    def burst(self, duration_s: float, step_s: float) -> None:
        """Let the thread read more often for a while, without waiting for it.

        Args:
            duration_s: from now on.
            step_s: between two readings; the first comes after it, or with the next tick if that
                is soon.
        """
        now_s = time.perf_counter()
        is_awake = now_s < self._burst_until_s and step_s >= self._burst_step_s
        self._burst_step_s = step_s
        self._burst_until_s = now_s + duration_s
        # Waking the thread takes more time than anything else at the end of a window.
        if not is_awake and self._due_s - now_s > duration_s / 2:
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # another caller has already released it
            self._running.release()

    def _run(self) -> None:
        try:
            self._sample()
        except Exception as error:  # noqa: BLE001  # an error in a thread would be lost
            self.failure = f"{type(error).__name__}: {error}"

    def _sample(self) -> None:
        assert self._source is not None
        due_s = time.perf_counter()
        n_read = 0
        is_due = True
        while True:
            samples = self._source.read(details=is_due and n_read % self._every == 0)
            self._recorder.add(samples)
            self._live.add(samples)
            if self._after_reading is not None:
                self._after_reading()
            if is_due:
                n_read += 1
                # The next tick that is still in the future; missed ticks are not repeated.
                n_ticks = int((time.perf_counter() - due_s) / self._period_s) + 1
                due_s += n_ticks * self._period_s
                self._due_s = due_s
            while True:
                now_s = time.perf_counter()
                extra_s = now_s + self._burst_step_s if now_s < self._burst_until_s else due_s
                is_due = due_s <= extra_s
                if not self._running.acquire(timeout=max(0.0, min(due_s, extra_s) - now_s)):
                    break
                if self._is_stopping:
                    return
