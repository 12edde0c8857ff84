"""What a process and its helpers cost: processor time, memory, number of processes. Linux only."""

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
    """What a meter of energy costs while nothing else happens in its process.

    Attributes:
        started_s: how long its start took, imports left out.
        cpu_percent: of one core, all processes together.
        n_processes: with the main one.
        helper_bytes: proportional set size of all processes but the main one.
        main_bytes: proportional set size of the main one.
    """

    started_s: float
    cpu_percent: float
    n_processes: int
    helper_bytes: int
    main_bytes: int


def process_tree(pid: int) -> tuple[int, ...]:
    """Return a process and all below it; the process first."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:  # it has just ended
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return tuple(found)


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process, ended threads included, to a nanosecond.

    /proc tells them in hundredths of a second, too coarse for a meter that sleeps.

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
    """Return the proportional set size: pages that n processes share count 1/n."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup does not tell Pss")


def measure_cost(
    command: Sequence[str],
    request: Mapping[str, Any],
    *,
    seconds: float,
    settle_s: float = 1.0,
    env: Mapping[str, str],
    cwd: Path,
) -> Cost:
    """Start a process and return what it costs once it runs.

    Args:
        command: a program that reads one line, starts, prints `{"started_s": ...}` on one line and
            then lets its meter run until its stdin is closed.
        request: what it reads, as JSON.
        seconds: how long processor time is watched.
        settle_s: how long it is left alone before.
        env: its variables.
        cwd: its folder.

    Raises:
        RuntimeError: it ended before it was ready; its stderr says why.
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
        used_s, took_s = sum(map(cpu_s, pids)) - before_s, time.perf_counter() - start_s
        sizes = [pss_bytes(pid) for pid in pids]
        process.stdin.close()
    return Cost(
        started_s=json.loads(line)["started_s"],
        cpu_percent=100 * used_s / took_s,
        n_processes=len(pids),
        helper_bytes=sum(sizes[1:]),
        main_bytes=sizes[0],
    )
