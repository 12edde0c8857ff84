"""Lines about runs on several GPUs at once: a line when a run ends, with its GPU."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from llem_cli._display.console import duration, note
from llem_runner.events import (
    Event,
    PreflightWarning,
    ReadingInputs,
    RunFailed,
    RunFinished,
    RunStarted,
    StudyStarted,
)
from llem_runner.parallel import OnGpu


class GpuProgress:
    """Called for each event of a study on several GPUs."""

    def __init__(self, gpus: Sequence[str], *, quiet: bool) -> None:
        """Prepare to show events.

        Args:
            gpus: UUIDs of all GPUs of this machine, in the driver's order.
            quiet: whether to show warnings only.
        """
        self._numbers = {uuid: number for number, uuid in enumerate(gpus)}
        self._quiet = quiet
        self._labels: dict[tuple[str, int], str] = {}
        self._n_runs = self._n_ended = 0
        self._start_s = time.monotonic()
        self.folder: Path | None = None
        """Of the study; None as long as it has none."""
        self.n_of_gpu: Counter[str] = Counter()
        """Number of runs that have ended on each GPU."""

    def __call__(self, event: Event | OnGpu) -> None:
        """Show one event."""
        match event:
            case OnGpu():
                self._of_run(event)
            case PreflightWarning(warning):
                note(f"warning: {warning}")
            case StudyStarted(folder, n_runs):
                self.folder, self._n_runs = folder, n_runs
                self._start_s = time.monotonic()
                self._say(f"{n_runs} runs in {folder}")
            case ReadingInputs():
                pass
            case _:
                pass

    def _of_run(self, message: OnGpu) -> None:
        match message.event:
            case RunStarted(index, _, label):
                self._labels[message.gpu, index] = label
            case RunFinished(index, seconds):
                joules = message.event.energy_per_output_token_j
                energy = "energy missing" if joules is None else f"{joules:.4g} J/token"
                self._ended(message.gpu, index, f"{duration(seconds)}, {energy}")
            case RunFailed(index, seconds, error_type, text) if not message.event.tried_again:
                self._ended(message.gpu, index, f"failed: {error_type}: {text}")
            case _:
                pass

    def _ended(self, gpu: str, index: int, outcome: str) -> None:
        self._n_ended += 1
        self.n_of_gpu[gpu] += 1
        left_s = (time.monotonic() - self._start_s) / self._n_ended * (self._n_runs - self._n_ended)
        left = f"; about {duration(left_s)} left" if self._n_ended < self._n_runs else ""
        label = self._labels.pop((gpu, index), "")
        number = self._numbers.get(gpu, gpu)
        self._say(
            f"[{self._n_ended}/{self._n_runs}] GPU {number}: run {index} {label}: {outcome}{left}"
        )

    def _say(self, line: str) -> None:
        if not self._quiet:
            note(line)
