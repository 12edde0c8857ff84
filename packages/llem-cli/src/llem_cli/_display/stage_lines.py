"""The stages of a single measurement on stderr, each with the seconds of the one before it.

The measurement is in this process, so nothing may be drawn while a stage lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from llem_cli._display.console import duration, note
from llem_cli._display.run_status import words
from llem_config import ExperimentConfig

_MEASURED = ("window", "prefill", "decode")


class StageLines:
    """A callback that prints a line when a stage begins."""

    def __init__(
        self, config: ExperimentConfig, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare; `clock` returns seconds."""
        self._least_s = config.energy.min_window_seconds
        self._clock = clock
        self._before = ""
        self._start_s = 0.0

    def __call__(self, stage: str) -> None:
        """Print that a stage begins, how long it takes at least, and how long the last one took."""
        now_s = self._clock()
        seconds = now_s - self._start_s
        took = f" ({self._before}: {duration(seconds)})" if self._before and seconds >= 1 else ""
        least = f", at least {self._least_s:g} s" if stage in _MEASURED and self._least_s else ""
        note(f"{words(stage)}{least} ...{took}")
        self._before, self._start_s = words(stage), now_s
