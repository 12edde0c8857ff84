"""What a window of `EnergyMeter`, its thread and its import cost."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator

from fakes.fake_nvml import FakeGpu
from fakes.traces import LLM

from benchmarks.energy.bench import METER_SIDE, Bench, Row, compared
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.meter import measure_cost
from benchmarks.energy.peers.run import Missing

_HEAVY = {"pynvml", "torch", "transformers", "pydantic", "numpy"}


def edges(bench: Bench) -> Iterator[Row]:
    """Return the duration of begin and end in the mode light, back to back and after a sleep.

    A sleep empties the caches of the processor, and what is called after it takes longer. An edge runs
    more Python than a bare read does, so an empty function shows by how much longer that takes.
    """
    n_repeats, n = (3, 500) if bench.n < 1000 else (9, 2000)
    for pause_s, period_s in ((0.0, 0.1), (0.05, 0.1), (0.05, 0.02)):
        gpu = FakeGpu(latency_us=200, counter_period_s=period_s)
        n_windows = n if not pause_s else n // 10
        request = {"n": n_windows, "pause_s": pause_s}
        took = [
            bench.run_our_side("edges", [gpu], request, side=METER_SIDE) for _ in range(n_repeats)
        ]
        ratios = [(each["begin_s"] + each["end_s"]) / (2 * each["bare_s"]) for each in took]
        ours, bare = (
            1e6 * statistics.median(sum(each[name] for name in names) for each in took)
            for names in (("begin_s", "end_s"), ("bare_s", "bare_s"))
        )
        empty_us = 1e6 * statistics.median(each["empty_s"] for each in took)
        when = f"after {pause_s:g} s of sleep each" if pause_s else "back to back"
        what = f"begin + end, light, {when}, counter of {1e3 * period_s:g} ms"
        yield Row(
            f"{what}, vs two bare reads in turn with it, median of {n_repeats} runs", "<= 1.1 x",
            f"{ours:.0f} us", f"{bare:.0f} us",
            f"{statistics.median(ratios):.3f} x ({min(ratios):.3f} to {max(ratios):.3f}); "
            f"an empty function takes {empty_us:.2g} us", statistics.median(ratios) <= 1.1,
        )  # fmt: skip
        zeus = peer_runs.zeus_edges(bench.peers, n=n_windows, pause_s=pause_s)
        yield compared(
            f"{what}, vs ZeusMonitor", 1.1, ours,
            zeus if isinstance(zeus, Missing) else 1e6 * (zeus.begin_s + zeus.end_s), "us",
        )  # fmt: skip


def cost(bench: Bench) -> Iterator[Row]:
    """Return the cost of the thread, and of many windows."""
    ours = measure_cost(
        [sys.executable, *METER_SIDE, "cost"], {}, seconds=bench.seconds, env=bench.environment([LLM]),
        cwd=bench.folder,
    )  # fmt: skip
    yield Row(
        "meter at 10 Hz with an open window, of a core", "< 1 %", f"{ours.cpu_percent:.3g} %", "",
        f"start {1e3 * ours.started_s:.0f} ms with calibration", ours.cpu_percent < 1,
    )  # fmt: skip
    n = 1000 if bench.n < 1000 else 10_000
    for keeps in (False, True):
        answer = bench.run_our_side(
            "many", [LLM], {"n": n, "length_s": 0.02, "keeps": keeps}, side=METER_SIDE
        )
        first, last = answer["memory_bytes"][0], answer["memory_bytes"][-1]
        grown_bytes = last - first
        note = (
            f"{1e6 * answer['cpu_s'] / n:.0f} us of CPU time per window, thread included; "
            f"{answer['n_missing']} missing"
        )
        if keeps:  # the objects that the user keeps
            yield Row(
                f"memory of a window whose object is kept and not read, {n} windows", "",
                f"{grown_bytes / (0.9 * n) / 2**10:.1f} KiB", "", note, None,
            )  # fmt: skip
            continue
        yield Row(
            f"memory after {n} windows, above that after {n // 10}", "< 5 MiB",
            f"{grown_bytes / 2**20:.1f} MiB", "", note, grown_bytes < 5 * 2**20,
        )  # fmt: skip


def imports(bench: Bench) -> Iterator[Row]:
    """Return the CPU time of importing the meter, above that of Python, and what is loaded."""
    n = 9 if bench.n < 1000 else 25
    for program in ("import llem_energy", "from llem_energy import EnergyMeter"):
        took_ms = [1e3 * (_cpu_s(program) - _cpu_s("pass")) for _ in range(n)]  # in turn
        show = f"{program}; import sys; print(*sorted({_HEAVY} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True)
        loaded = (done.stdout if done.returncode == 0 else done.stderr).strip()
        median_ms = statistics.median(took_ms)
        yield Row(
            f"`{program}`, CPU time, median of {n}", "< 60 ms", f"{median_ms:.0f} ms", "",
            f"{min(took_ms):.0f} to {max(took_ms):.0f} ms; "
            f"loads {loaded or 'neither NVML nor torch'}", median_ms < 60 and not loaded,
        )  # fmt: skip


def _cpu_s(program: str) -> float:
    """Return the CPU time of a program, which depends less on other load than its duration."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
