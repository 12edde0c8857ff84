"""Are other users of a GPU noticed, and is a quiet GPU left alone? Exits with code 1 if not.

    uv run python benchmarks/energy_tenants.py [--quiet N]

Each neighbour plays on its own GPU of the scripted driver of `tests/fakes`, on the virtual clock. The
runs idle, load, idle, warm up, are measured for 10 s, and idle again. The quiet runs have ripple, idle
power that rises by up to 3 % over the window, and a tail of up to 0.4 s after the work. In every
second one the driver lists the run with the id of another number space.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu, Neighbour, Process, true_energy_j

PLAN: dict[str, Any] = {
    "context": (2.0, 12.0), "before": (14.0, 24.0), "guard_s": 0.35, "window": (30.5, 40.5),
    "after": (43.0, 53.0),
}  # fmt: skip
_ALWAYS = (-2.0, 60.0)
_WARM_UP, _END_S = (24.2, 30.1), 54.0
_APART_S = 70.0  # from one run on a GPU to the next
_IDLE_W, _WORK_W = 90.0, 420.0
_OWN, _OTHER, _HOST = 100, 4242, 31007
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Case:
    """A neighbour: its times since the start of the run, and what can be noticed of it."""

    name: str
    t0_s: float
    t1_s: float
    watts: float = 150.0
    is_listed: bool = False
    busy_percent: int = 0
    used_bytes: int = 0
    in_container: bool = False  # the driver lists processes by the ids of the host
    list_of: Literal["compute", "mps", "graphics"] = "compute"
    every_s: float | None = None  # works for a second, and again after this time

    def spans(self) -> list[tuple[float, float]]:
        """Return when it works."""
        if self.every_s is None:
            return [(self.t0_s, self.t1_s)]
        n = int((self.t1_s - self.t0_s) / self.every_s)
        starts = (self.t0_s + i * self.every_s for i in range(n))
        return [(t_s, t_s + 1.0) for t_s in starts]


CASES = (
    Case("listed, all along", *_ALWAYS, is_listed=True),
    Case("listed, from the middle of the window on", 33.0, 60.0, is_listed=True),
    Case("listed, comes and goes inside the window", 33.0, 37.0, is_listed=True),
    Case("listed, gone before the run has a context", -2.0, 0.4, is_listed=True),
    Case("listed, gone before the window", 16.0, 27.0, is_listed=True),
    Case("listed, comes after the window", 44.0, 60.0, is_listed=True),
    Case("listed, draws nothing", 20.0, 60.0, watts=0.0, is_listed=True),
    Case("listed by ids of the host, in the window", 33.0, 37.0, is_listed=True, in_container=True),
    Case("listed by ids of the host, comes with the run", 10.0, 60.0, is_listed=True,
         in_container=True),
    Case("a client of the multi-process service, in the window", 33.0, 37.0, is_listed=True,
         list_of="mps"),
    Case("a graphics process, in the window", 33.0, 37.0, is_listed=True, list_of="graphics"),
    Case("unlisted, 150 W for 1 of every 5 s, all along", -2.0, 60.0, every_s=5.0),
    Case("unlisted, all along, 30 % busy", *_ALWAYS, busy_percent=30),
    Case("unlisted, all along, 20 W and 3 % busy", *_ALWAYS, watts=20.0, busy_percent=3),
    Case("unlisted, 150 W from the middle of the window on", 33.0, 60.0),
    Case("unlisted, 12 W from the middle of the window on", 33.0, 60.0, watts=12.0),
    Case("unlisted, 150 W until the middle of the window", -2.0, 35.0),
    Case("unlisted, 150 W in the window and next to it", 29.0, 41.5),
    Case("unlisted, memory only, all along", *_ALWAYS, watts=0.0, used_bytes=4 * GIB),
    Case("unlisted, memory only, in the window", 33.0, 37.0, watts=0.0, used_bytes=GIB),
)  # fmt: skip
UNSEEN = Case("unlisted, 150 W inside the window only", 33.0, 37.0)
"""Leaves no trace outside the window: nothing here can tell its power from that of the run."""


def _run_points(start_s: float, rng: random.Random) -> Iterator[tuple[float, float]]:
    """Yield the power of one quiet run."""
    drift, tail_s = rng.uniform(0.0, 0.03), rng.uniform(0.0, 0.4)
    (on_s, off_s), (warm_s, rest_s) = PLAN["window"], _WARM_UP
    t_s = -5.0
    while t_s < _END_S + 5:
        idle_w = _IDLE_W * (1 + drift * (t_s > off_s)) * rng.uniform(0.99, 1.01)
        works = warm_s <= t_s < rest_s or on_s <= t_s < off_s
        power_w = _WORK_W * rng.uniform(0.96, 1.04) if works else idle_w
        since_s = t_s - off_s
        if tail_s and 0 <= since_s < tail_s:
            power_w += (_WORK_W - _IDLE_W) * math.exp(-4 * since_s / tail_s)
        yield start_s + t_s, power_w
        # Work begins and ends at a step of the power, as it does in a run.
        ends_s = [end_s for end_s in (warm_s, rest_s, on_s, off_s) if t_s < end_s]
        t_s = min([t_s + 0.05 * rng.uniform(0.7, 1.3), *ends_s])


def _gpu(number: int, starts_s: Sequence[float], pids: Sequence[int]) -> FakeGpu:
    rng = random.Random(number)
    points = tuple(point for start_s in starts_s for point in _run_points(start_s, rng))
    own = (
        Process(pid, GIB, t0_s=start_s + 0.5, t1_s=start_s + _END_S)
        for start_s, pid in zip(starts_s, pids, strict=True)
    )
    return FakeGpu(
        uuid=f"GPU-{number}", points=points, idle_w=_WORK_W, processes=tuple(own),
        counter_phase_s=0.037,
    )  # fmt: skip


def shared(gpu: FakeGpu, case: Case, start_s: float) -> FakeGpu:
    """Return a GPU with a neighbour on it: its power, its process, its memory and its work."""
    t0_s, t1_s = start_s + case.t0_s, start_s + case.t1_s
    spans_s = [(start_s + on_s, start_s + off_s) for on_s, off_s in case.spans()]
    edges_s = {edge_s for span_s in spans_s for edge_s in span_s}
    points = tuple(
        (t, gpu.power_w(t) + case.watts * any(on_s <= t < off_s for on_s, off_s in spans_s))
        for t in sorted({t_s for t_s, _ in gpu.points} | edges_s)
    )
    process = Process(
        _OTHER, case.used_bytes, t0_s=t0_s, t1_s=t1_s, mps=case.list_of == "mps",
        graphics=case.list_of == "graphics",
    )  # fmt: skip
    listed = (process,) if case.is_listed else ()
    neighbour = Neighbour(t0_s, t1_s, case.busy_percent, case.used_bytes)
    return replace(gpu, points=points, processes=gpu.processes + listed, neighbours=(neighbour,))


def measure(gpus: Sequence[FakeGpu], runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Measure the runs in a process that sees these GPUs."""
    with tempfile.TemporaryDirectory() as folder:
        library = fake_nvml.build(Path(folder))
        trace = Path(folder) / "gpus.trace"
        fake_nvml.write_trace(trace, gpus)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.energy.tenants_side", "runs"],
            input=json.dumps({"plan": PLAN, "runs": runs}) + "\n", text=True, check=False,
            env=os.environ | fake_nvml.environment(library, trace), capture_output=True,
            cwd=Path(__file__).parents[1], timeout=1200,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    answers: list[dict[str, Any]] = json.loads(done.stdout)["runs"]
    return answers


def neighbours(cases: Sequence[Case]) -> list[tuple[Case, dict[str, Any]]]:
    """Return what a run says beside each neighbour; `error` is the share that it adds."""
    start_s = 10.0
    pids = [_HOST if case.in_container else _OWN for case in cases]
    alone = [_gpu(number, [start_s], [pid]) for number, pid in enumerate(pids)]
    gpus = [shared(gpu, case, start_s) for gpu, case in zip(alone, cases, strict=True)]
    runs = [{"index": i, "start_s": start_s, "own_pids": [_OWN]} for i in range(len(cases))]
    answers = measure(gpus, runs)
    for gpu, answer in zip(alone, answers, strict=True):
        answer["error"] = answer["value_j"] / true_energy_j(gpu, *answer["window"]) - 1
    return list(zip(cases, answers, strict=True))


def quiet(n: int) -> list[dict[str, Any]]:
    """Return what `n` runs on a GPU without a neighbour say."""
    starts_s = [10.0 + _APART_S * i for i in range(n)]
    gpu = _gpu(0, starts_s, [_HOST if i % 2 else _OWN for i in range(n)])
    return measure([gpu], [{"index": 0, "start_s": t, "own_pids": [_OWN]} for t in starts_s])


def main() -> int:
    """Print the tables; return 1 if a neighbour was missed or a quiet run flagged."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quiet", type=int, default=200, help="number of quiet runs")
    n_quiet = parser.parse_args().quiet
    print(f"{platform.machine()}, Python {platform.python_version()}\n")
    print("| neighbour | added energy | flagged | first reason |\n| --- | --- | --- | --- |")
    n_missed = 0
    for case, answer in neighbours((*CASES, UNSEEN)):
        is_flagged = answer["status"] == "flagged"
        n_missed += not is_flagged and case is not UNSEEN
        reason = answer["reasons"][0] if is_flagged else "-"
        verdict = "yes" if is_flagged else "no"
        print(f"| {case.name} | {answer['error']:+.1%} | {verdict} | {reason} |")
    flagged = [answer for answer in quiet(n_quiet) if answer["status"] != "ok"]
    print(f"\n{len(CASES) - n_missed} of {len(CASES)} neighbours that leave a trace are flagged;")
    print(f"{len(flagged)} of {n_quiet} quiet runs are flagged")
    for answer in flagged[:5]:
        print(f"  {answer['reasons']}")
    return int(bool(n_missed or flagged))


if __name__ == "__main__":
    sys.exit(main())
