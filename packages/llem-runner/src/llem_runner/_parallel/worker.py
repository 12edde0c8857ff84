"""The process of one shard on one GPU."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading

import msgspec

from llem_config import LlemError, Settings
from llem_runner._control import Control
from llem_runner._events import Event
from llem_runner._executors.task import Measure
from llem_runner._parallel.messages import ErrorLine, WorkerTask, encode_line
from llem_runner._shards.outcome import ShardOutcome
from llem_runner._shards.run_shard import run_shard


def main() -> None:
    """Read a task from stdin, run its shard, and write lines to the descriptor that is named.

    The process stops its run when stdin ends, because then the process that started it is gone.
    """
    descriptor = int(sys.argv[2])
    sys.argv = ["llem-shard"]  # a library that reads it must find no option of ours
    os.set_inheritable(descriptor, False)
    lines = os.fdopen(descriptor, "wb", buffering=0)
    task = msgspec.msgpack.decode(_read_task(), type=WorkerTask)
    control = Control()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: control.request_stop())
    threading.Thread(target=_stop_with_parent, args=[control], daemon=True).start()

    def send(message: Event | ShardOutcome | ErrorLine) -> None:
        with contextlib.suppress(BrokenPipeError):
            lines.write(encode_line(message))

    measure: Measure = pickle.loads(task.measure)
    try:
        outcome = run_shard(
            task.folder,
            task.shard,
            control=control,
            on_event=send,
            measure=measure,
            settings=Settings.model_validate_json(task.settings),
            retry=task.retry,
            retry_failed=task.retry_failed,
            time_limit_s=task.time_limit_s,
        )
    except (LlemError, KeyboardInterrupt) as error:
        send(ErrorLine(str(error)))
        sys.exit(1)
    send(outcome)
    sys.exit(outcome.exit_code)


def _read_task() -> bytes:
    """Return the task, whose size is in the 8 bytes before it; stdin stays open."""
    size = int.from_bytes(_read_exactly(8))
    return _read_exactly(size)


def _read_exactly(size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = os.read(0, size - len(content))
        if not part:
            os._exit(0)  # the parent is gone
        content += part
    return content


def _stop_with_parent(control: Control) -> None:
    with contextlib.suppress(OSError):
        os.read(0, 1)
    control.request_stop()
