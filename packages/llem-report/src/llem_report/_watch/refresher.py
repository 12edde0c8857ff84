"""Looks at a study once a second in a thread, so that answering a request costs almost nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from llem_report._watch.results_part import results_part
from llem_report._watch.sparing import Sparing
from llem_report._watch.study_state import StudyState, StudyWatch
from llem_report._watch.view import View, view_of

_PERIOD_S = 1.0


class Refresher:
    """Keeps the newest view and results of a folder."""

    def __init__(self, folder: Path) -> None:
        """Prepare; nothing is read before `start`."""
        self._folder = folder
        self._watch = StudyWatch(folder)
        self._state = StudyState(folder=folder)
        self._results = Sparing(lambda: results_part(folder), min_s=2.0)
        self._seen: object = None
        self._shown: tuple[int, str] = (0, "<p class=quiet>The results are being read.</p>\n")
        self._stopped = threading.Event()
        # The results have a thread of their own, because reading them can take seconds.
        self._threads = [
            threading.Thread(target=self._repeat, args=(look,), name=name, daemon=True)
            for name, look in (
                ("llem-watch-state", self._look),
                ("llem-watch-results", self._look_at_results),
            )
        ]

    def start(self) -> None:
        """Look once, then once a second in threads."""
        self._look()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; they are daemons, so a folder that hangs ends with this process."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=_PERIOD_S)

    def now(self) -> tuple[View, str]:
        """Return the newest view, and the results as HTML."""
        number, results = self._shown
        return view_of(self._state, number), results

    def _repeat(self, look: Callable[[], None]) -> None:
        while True:
            try:
                look()
            except Exception as error:  # noqa: BLE001  # it would end the thread without a word
                problem = f"error in llem itself: {type(error).__name__}: {error}"
                self._state = StudyState(folder=self._folder, running=None, problem=problem)
            if self._stopped.wait(_PERIOD_S):
                return

    def _look(self) -> None:
        self._state = self._watch.look()

    def _look_at_results(self) -> None:
        state = self._state
        if (seen := _outcomes(state)) != self._seen:
            self._seen = seen
            self._results.renew()
        results = self._results.call(at_once=state.running is False)
        if self._results.has_called and results is not None:
            self._shown = (self._shown[0] + 1, results)


def _outcomes(state: StudyState) -> object:
    """Return what the results depend on."""
    if state.manifest is None:
        return None
    counts = state.counts
    return counts.get("completed"), counts.get("failed"), state.manifest.status, state.problem
