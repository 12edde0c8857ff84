"""How long the stages of the runs of a study take: as planned, then as in earlier runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from llem_config import ExperimentConfig
from llem_runner._plan.schedule import PlannedRun

_WINDOWS = ("window", "prefill", "decode")
_IDLE = ("baseline", "loaded idle", "idle after")


class StageTimes:
    """Learns from each run how long its stages last, and says so of the next.

    A stage is expected to take as long as in the last run of its point. Before that, it is expected
    to take what the experiment sets for it, or else as long as in the last run of the same model.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; `clock` returns seconds."""
        self._clock = clock
        self._of_points: dict[tuple[str, str], float] = {}
        self._of_models: dict[tuple[str, str], float] = {}
        self._current: tuple[str, float] | None = None

    def start_run(self) -> None:
        """Note that an attempt at a run starts; the last stage of the one before is not learned.

        If that attempt has failed, it is not known when the stage ended.
        """
        self._current = None

    def begin(self, run: PlannedRun, stage: str) -> float | None:
        """Note that a stage of a run begins, and that the stage before it has ended.

        Returns:
            The seconds that the stage is expected to take; None if nothing is known.
        """
        now_s = self._clock()
        if self._current is not None:
            previous, start_s = self._current
            self._of_points[run.config_hash, previous] = now_s - start_s
            self._of_models[run.config.model, previous] = now_s - start_s
        self._current = stage, now_s
        learned_s = self._of_points.get((run.config_hash, stage))
        if learned_s is not None:
            return learned_s
        set_s = _set_s(run.config, stage)
        return self._of_models.get((run.config.model, stage)) if set_s is None else set_s


def _set_s(config: ExperimentConfig, stage: str) -> float | None:
    """Return the seconds that an experiment sets for a stage; None if it sets none."""
    if stage in _WINDOWS:
        return config.energy.min_window_seconds or None
    return config.baseline.duration_seconds if stage in _IDLE else None
