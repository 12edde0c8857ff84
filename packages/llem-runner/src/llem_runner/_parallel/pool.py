"""Runs the shards of a study on the GPUs of this machine, one per GPU at a time."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from pathlib import Path

import msgspec

from llem_config import Settings
from llem_runner._control import MAX_WAIT_S, Control
from llem_runner._events import (
    Event,
    Note,
    PreflightWarning,
    ReadingInputs,
    StudyEnded,
    StudyStarted,
)
from llem_runner._parallel.messages import WorkerTask
from llem_runner._parallel.process import ShardProcess
from llem_runner._storage.divided_folder import DividedFolder

_MAX_CRASHES = 1
_NOT_FORWARDED = (StudyStarted, StudyEnded, ReadingInputs)


class OnGpu(msgspec.Struct, frozen=True):
    """An event of a run, and the GPU on which it runs."""

    gpu: str
    """UUID."""
    shard: int
    """Number of the shard of the run, from 1."""
    event: Event
    """What happened, as `run_study` reports it."""


Send = Callable[[Event | OnGpu], None]


class GpuPool:
    """The processes of shards on some GPUs, and the shards that wait for one."""

    def __init__(
        self,
        folder: DividedFolder,
        gpus: Sequence[str],
        shards: Sequence[int],
        *,
        settings: Settings,
        measure: bytes,
        control: Control,
        on_event: Send,
        retry: int,
        retry_failed: bool = False,
        time_limit_s: float | None,
    ) -> None:
        """Prepare to run shards.

        Args:
            folder: of the study.
            gpus: UUIDs, each once.
            shards: numbers of the shards to run.
            settings: of this machine.
            measure: what each run calls, pickled.
            control: stops all shards.
            on_event: called in this thread.
            retry: as in `run_study`.
            retry_failed: as in `resume_shards`.
            time_limit_s: for all shards together, in seconds.
        """
        self._folder = folder
        self._free = deque(gpus)
        self._waiting = deque(shards)
        self._n_places = min(len(gpus), len(shards))
        self._settings = settings
        self._measure = measure
        self._control = control
        self._on_event = on_event
        self._retry = retry
        self._retry_failed = retry_failed
        self._ends_s = None if time_limit_s is None else time.monotonic() + time_limit_s
        self._running: list[ShardProcess] = []
        self._n_crashes: Counter[int] = Counter()
        self._told: set[str] = set()
        self._n_requests = 0

    def run(self) -> None:
        """Run the shards, until none waits, no GPU is left, or a stop was requested."""
        try:
            while True:
                self._start()
                if not self._running:
                    break
                processes = {process.fileno(): process for process in self._running}
                ready = wait([*processes, self._control.fileno()], timeout=MAX_WAIT_S)
                self._pass_on_requests()
                for number in ready:
                    if isinstance(number, int) and number in processes:
                        self._read(processes[number])
        finally:
            for process in self._running:  # after an error of the caller's callback
                process.stop()
            for process in self._running:
                process.close()
        if self._waiting and not self._control.stop_requested and not self._is_over:
            self._tell(f"{len(self._waiting)} shards have not run, because no GPU is left for them")

    @property
    def _is_over(self) -> bool:
        return self._ends_s is not None and time.monotonic() >= self._ends_s

    def _start(self) -> None:
        while self._free and self._waiting and not self._control.stop_requested:
            if self._is_over:
                return
            gpu, shard = self._free.popleft(), self._waiting.popleft()
            # A model that runs on the CPU is metered with the GPU that it was given.
            devices = self._settings.devices.model_copy(update={"gpus": (gpu,)})
            left_s = None if self._ends_s is None else self._ends_s - time.monotonic()
            task = WorkerTask(
                folder=str(self._folder.folder),
                shard=shard,
                settings=self._settings.model_copy(update={"devices": devices}).model_dump_json(),
                measure=self._measure,
                retry=self._retry,
                retry_failed=self._retry_failed,
                time_limit_s=left_s,
            )
            log = log_of(self._folder.folder, shard)
            self._running.append(ShardProcess(task, gpu, log, is_alone=self._n_places == 1))

    def _pass_on_requests(self) -> None:
        """Stop all processes as often as a stop was requested here."""
        self._control.acknowledge()
        while self._n_requests < self._control.n_requests:
            self._n_requests += 1
            for process in self._running:
                process.stop()

    def _read(self, process: ShardProcess) -> None:
        events, has_ended = process.read()
        for event in events:
            if isinstance(event, PreflightWarning | Note):
                self._tell(event.warning if isinstance(event, PreflightWarning) else event.text)
            elif not isinstance(event, _NOT_FORWARDED):
                self._on_event(OnGpu(process.gpu, process.shard, event))
        if has_ended:
            self._running.remove(process)
            self._end(process, process.close())

    def _end(self, process: ShardProcess, exit_code: int) -> None:
        """Take a GPU back, and a shard that another process or another GPU may still run."""
        outcome = process.outcome
        if outcome is None:
            self._free.append(process.gpu)
            self._tell(_why(process, exit_code))
            self._n_crashes[process.shard] += 1
            if process.error is None and self._n_crashes[process.shard] <= _MAX_CRASHES:
                self._waiting.append(process.shard)
        elif outcome.end in ("unfit", "again") and not self._is_over:
            self._waiting.append(process.shard)
            self._tell(f"GPU {process.gpu} runs no more shards: {outcome.reason}")
        else:
            self._free.append(process.gpu)
            if outcome.end == "failed" and outcome.reason:
                self._tell(f"shard {process.shard} on GPU {process.gpu}: {outcome.reason}")

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self._on_event(PreflightWarning(sentence))


def log_of(folder: Path, shard: int) -> Path:
    """Return the file with the output of the process of a shard on this machine."""
    return folder / "cluster" / "local" / f"{shard:04d}.log"


def _why(process: ShardProcess, exit_code: int) -> str:
    """Return why a process has ended without an outcome."""
    place = f"the process of shard {process.shard} on GPU {process.gpu}"
    if process.error is not None:
        return f"{place}: {process.error}"
    how = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"
    return f"{place} {how}; see {process.log}"
