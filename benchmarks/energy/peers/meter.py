"""The cost of a process and its helpers: CPU time, memory, number of processes. Linux only."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of an energy meter in a process that does nothing else.

    Attributes:
        started_s: duration of its start, without imports.
        cpu_percent: of one core, all processes together.
        n_processes: number of processes, including the main one.
        helper_bytes: proportional set size of all processes except the main one.
        main_bytes: proportional set size of the main process.
    """

    started_s: float
    cpu_percent: float
    n_processes: int
    helper_bytes: int
    main_bytes: int


def process_tree(pid: int) -> tuple[int, ...]:
    """Return a process and all its descendants; the process itself comes first."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:  # the process has just ended
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    tree = [pid]
    for member in tree:  # grows while it is read
        tree += children.get(member, [])
    return tuple(tree)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process with a resolution of a nanosecond, ended threads included.

    /proc reports hundredths of a second, which is too coarse for a meter that mostly sleeps.

    Raises:
        ProcessLookupError: there is no such process.

    Source: clock_getcpuclockid(3).
    """
    clock = ctypes.c_int()
    code = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if code:
        raise ProcessLookupError(code, os.strerror(code))
    return time.clock_gettime(clock.value)


def pss_bytes(pid: int) -> int:
    """Return the proportional set size: a page that n processes share counts 1/n."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup has no Pss")


def measure_cost(
    command: Sequence[str],
    request: Mapping[str, Any],
    *,
    seconds: float,
    settle_s: float = 1.0,
    env: Mapping[str, str],
    cwd: Path,
) -> Cost:
    """Start a process and return its cost while it runs.

    Args:
        command: a program that reads one line, starts its meter, prints `{"started_s": ...}` on one
            line and keeps the meter running until its stdin is closed.
        request: sent to the program as JSON.
        seconds: duration of the measurement of CPU time.
        settle_s: wait before the measurement.
        env: environment variables of the program.
        cwd: working directory of the program.

    Raises:
        RuntimeError: the program ended before it was ready; the message quotes its stderr.
    """
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=env, cwd=cwd,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        print(json.dumps(request), file=process.stdin, flush=True)
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{command} did not start:\n{process.stderr.read()}")
        time.sleep(settle_s)
        pids = process_tree(process.pid)
        before_s, start_s = sum(map(cpu_s, pids)), time.perf_counter()
        time.sleep(seconds)
        used_s, elapsed_s = sum(map(cpu_s, pids)) - before_s, time.perf_counter() - start_s
        sizes = [pss_bytes(pid) for pid in pids]
        process.stdin.close()
    return Cost(
        started_s=json.loads(line)["started_s"],
        cpu_percent=100 * used_s / elapsed_s,
        n_processes=len(pids),
        helper_bytes=sum(sizes[1:]),
        main_bytes=sizes[0],
    )
