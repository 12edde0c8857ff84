"""Zeus and CodeCarbon beside us: the same traces, windows and faults, the same fake driver.

    uv run python benchmarks/energy_peers/run.py [PART ...]

Each peer is installed by uv into an environment of its own, for this run only, and is not changed;
what runs there imports nothing of ours. Where a peer cannot be installed, its figures are a
`Missing` with the reason. Run as a program, it prints the peers' figures alone; the comparison is
`benchmarks/energy_accuracy.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # neither benchmarks nor fakes are installed
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu, true_energy_j
from fakes.faults import FAULTS, HEALTHY, WINDOW, Scenario, Verdict, verdict
from fakes.traces import CONSTANT, LLM, SQUARE, TRACES, Window, blocks, random_windows

from benchmarks.energy_peers.meter import Cost, measure_cost

ROOT = Path(__file__).parents[2]
ZEUS = "zeus==0.16.0"
CODECARBON = "codecarbon==3.3.2"
_SCRIPTS = {ZEUS: "zeus_runs", CODECARBON: "codecarbon_runs"}
# Compiles the bytecode, or the first start to be measured would be several times slower than a
# user's.
_FIRST_RUN = {
    ZEUS: "import zeus.monitor",
    CODECARBON: "from codecarbon import OfflineEmissionsTracker as T\n"
    "t = T(country_iso_code='FRA', output_methods=[], log_level='error')\nt.start()\nt.stop()",
}
# How long before the window each begins to start; longer after it was late on a busy machine.
_LEADS_S = {"ZeusMonitor": 1.0, "Zeus PowerMonitor": 6.0, "CodeCarbon": 3.0}
_DOMAINS = ("device_instant", "device_average", "memory_average")


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no figure, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What a peer gave for one window, and the truth of the same window."""

    window: Window
    energy_j: float | None
    truth_j: float

    @property
    def error_percent(self) -> float:
        """Return the error, signed; nothing given counts as 0 J."""
        return 100 * ((self.energy_j or 0.0) / self.truth_j - 1)


@dataclass(frozen=True, slots=True)
class Edges:
    """Median seconds that a caller waits at the edges of a window."""

    begin_s: float
    end_s: float
    bare_s: float | None  # one read of the counter through the binding alone


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one meter made of one scenario.

    Attributes:
        meter: `ZeusMonitor`, `Zeus PowerMonitor` or `CodeCarbon`.
        scenario: its name.
        value_j: None if it gave none.
        truth_j: of the window that was really measured.
        error: what it raised, with the class; empty if nothing.
        heard: what it logged as a warning or warned of, less what it says of a healthy GPU too.
        helper_log: exceptions of its helper processes, which reach the terminal and nothing else.
        verdict: anything raised or heard flags the value, `helper_log` does not.
    """

    meter: str
    scenario: str
    value_j: float | None
    truth_j: float
    error: str
    heard: tuple[str, ...]
    helper_log: tuple[str, ...]
    verdict: Verdict

    @property
    def only_logged(self) -> bool:
        """Tell whether a wrong value looks like any other, but for a line in a log."""
        return self.verdict == "flagged" and self.value_j is not None and not self.error


class Peers:
    """The peers in environments of their own, and the fake driver that they run under."""

    def __init__(self, folder: Path) -> None:
        """Build the driver and install the peers.

        Args:
            folder: for everything that this needs; it may be removed afterwards.

        Raises:
            FileNotFoundError: no C compiler, so no fake driver.
        """
        self._folder = folder
        self._library = fake_nvml.build(folder / "driver")
        self._pythons = {peer: _install(peer, folder / peer) for peer in _SCRIPTS}
        stub = folder / "bin" / "nvidia-smi"  # CodeCarbon looks for a GPU only where this runs
        stub.parent.mkdir(exist_ok=True)
        stub.write_text("#!/bin/sh\n")
        stub.chmod(0o755)

    def missing(self, peer: str) -> Missing | None:
        """Return why `ZEUS` or `CODECARBON` is not here; None if it is."""
        python = self._pythons[peer]
        return python if isinstance(python, Missing) else None

    def environment(self, gpus: Sequence[FakeGpu]) -> dict[str, str]:
        """Return the variables of a process that sees these GPUs; their time 0 is now."""
        scratch = Path(tempfile.mkdtemp(dir=self._folder))
        fake_nvml.write_trace(scratch / "gpus.trace", gpus)
        own = fake_nvml.environment(self._library, scratch / "gpus.trace")
        own |= {"HOME": str(scratch), "PYTHONPATH": str(ROOT)}
        own["PATH"] = f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return _own_variables() | own

    def command(self, peer: str, part: str) -> list[str] | Missing:
        """Return the command that runs a part of a peer's script."""
        python = self._pythons[peer]
        if isinstance(python, Missing):
            return python
        return [str(python), "-m", f"benchmarks.energy_peers.{_SCRIPTS[peer]}", part]

    def ask(
        self, peer: str, part: str, gpus: Sequence[FakeGpu], request: Mapping[str, Any]
    ) -> tuple[Any, str] | Missing:
        """Run a part of a peer's script and return its answer and what it wrote to stderr."""
        command = self.command(peer, part)
        if isinstance(command, Missing):
            return command
        done = subprocess.run(
            command, input=json.dumps(request) + "\n", env=self.environment(gpus),
            cwd=self._folder, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        if done.returncode:
            return Missing(f"{peer}, {part}: {done.stderr.strip()[-500:]}")
        return json.loads(done.stdout), done.stderr

    def cost(
        self, peer: str, gpu: FakeGpu, request: Mapping[str, Any], seconds: float
    ) -> Cost | Missing:
        """Return what a peer's meter costs while it runs for some seconds."""
        command = self.command(peer, "cost")
        if isinstance(command, Missing):
            return command
        return measure_cost(
            command, request, seconds=seconds, env=self.environment([gpu]), cwd=self._folder
        )


def _own_variables() -> dict[str, str]:
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def _install(peer: str, folder: Path) -> Path | Missing:
    """Return the interpreter of a new environment that holds one peer.

    Not `uv run --with`: uv would stay between us and the peer, and be metered with it.
    """
    first = [str(folder / "bin" / "python"), "-c", _FIRST_RUN[peer]]
    uv = os.environ.get("UV", "uv")  # which `uv run` sets to itself
    python = folder / "bin" / "python"
    make = [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)]
    fill = [uv, "pip", "install", "--quiet", "--python", str(python), peer, "nvidia-ml-py"]
    try:
        for command in (make, fill, first):
            subprocess.run(
                command, env=_own_variables(), capture_output=True, text=True, check=True,
                timeout=300,
            )  # fmt: skip
    except FileNotFoundError:
        return Missing(f"{peer} is not installed: there is no uv")
    except subprocess.TimeoutExpired:
        return Missing(f"{peer} is not installed: uv took more than 300 s")
    except subprocess.CalledProcessError as error:
        return Missing(f"{peer} is not installed: {str(error.stderr).strip()[-300:]}")
    return python


def _measured(
    gpu: FakeGpu, windows: Iterable[Window], energies_j: Iterable[float | None]
) -> list[Measured]:
    return [
        Measured((t0_s, t1_s), energy_j, true_energy_j(gpu, t0_s, t1_s))
        for (t0_s, t1_s), energy_j in zip(windows, energies_j, strict=True)
    ]


def zeus_windows(peers: Peers, gpu: FakeGpu, windows: Sequence[Window]) -> list[Measured] | Missing:
    """Return what ZeusMonitor gives for windows on the virtual clock, thousands in a second."""
    answer = peers.ask(ZEUS, "windows", [gpu], {"windows": windows})
    if isinstance(answer, Missing):
        return answer
    return _measured(gpu, windows, answer[0]["energies_j"])


def zeus_power_windows(
    peers: Peers, gpu: FakeGpu, windows: Sequence[Window], *, period_s: float = 0.1
) -> list[Measured] | Missing:
    """Return what Zeus's PowerMonitor gives for windows of one recording in real time.

    Args:
        peers: where it is.
        gpu: the trace.
        windows: in seconds after the recording began, so not in those of the trace; they may
            overlap. The windows returned are in those of the trace.
        period_s: how often it reads the instant power.
    """
    request = {"windows": windows, "period_s": period_s}
    answer = peers.ask(ZEUS, "power_windows", [gpu], request)
    if isinstance(answer, Missing):
        return answer
    start_s = answer[0]["start_s"]
    shifted = [(start_s + t0_s, start_s + t1_s) for t0_s, t1_s in windows]
    return _measured(gpu, shifted, answer[0]["energies_j"])


def codecarbon_tasks(
    peers: Peers, gpu: FakeGpu, tasks: Sequence[tuple[float, float]]
) -> tuple[list[Measured], Edges] | Missing:
    """Return what CodeCarbon gives for tasks in real time, one after the other, and their edges.

    Args:
        peers: where it is.
        gpu: the trace.
        tasks: for each the seconds before it and its length, in seconds.
    """
    answer = peers.ask(CODECARBON, "tasks", [gpu], {"tasks": tasks})
    if isinstance(answer, Missing):
        return answer
    found = answer[0]["tasks"]
    windows = [(task["window"][0], task["window"][1]) for task in found]
    edges = Edges(
        begin_s=statistics.median(task["begin_s"] for task in found),
        end_s=statistics.median(task["end_s"] for task in found),
        bare_s=None,
    )
    return _measured(gpu, windows, [task["energy_j"] for task in found]), edges


def zeus_cost(
    peers: Peers, *, n_domains: int, period_s: float | None = 0.1, seconds: float = 20.0
) -> Cost | Missing:
    """Return what Zeus's PowerMonitor costs.

    Args:
        peers: where it is.
        n_domains: 1: instant power; 2: the average too; 3: the memory's too.
        period_s: how often each is read; None: what Zeus finds for itself.
        seconds: how long it is watched.
    """
    request = {"domains": _DOMAINS[:n_domains], "period_s": period_s}
    return peers.cost(ZEUS, replace(LLM, memory_share=0.2), request, seconds)


def codecarbon_cost(
    peers: Peers, *, period_s: float = 1.0, seconds: float = 20.0
) -> Cost | Missing:
    """Return what a CodeCarbon tracker costs that measures every `period_s`."""
    return peers.cost(CODECARBON, LLM, {"period_s": period_s}, seconds)


def idle_cost(peers: Peers, *, seconds: float = 20.0) -> Cost:
    """Return what a Python process costs that only waits: the floor of the others."""
    program = "import sys; sys.stdin.readline(); print('{\"started_s\": 0.0}', flush=True)\n"
    command = [sys.executable, "-c", program + "sys.stdin.read()"]
    env = peers.environment([LLM])
    return measure_cost(command, {}, seconds=seconds, env=env, cwd=Path(env["HOME"]))


def zeus_edges(peers: Peers, *, latency_us: int = 200, n: int = 2000) -> Edges | Missing:
    """Return how long ZeusMonitor takes at an edge while every NVML call takes `latency_us`."""
    gpu = FakeGpu(latency_us=latency_us)
    answer = peers.ask(ZEUS, "latency", [gpu], {"n": n})
    return answer if isinstance(answer, Missing) else Edges(**answer[0])


def zeus_faults(peers: Peers, *, n_at_once: int = 5) -> list[Outcome] | Missing:
    """Return what ZeusMonitor makes of each fault, in real time; the healthy GPU comes first."""
    return _faults(peers, ZEUS, "ZeusMonitor", n_at_once)


def zeus_power_faults(peers: Peers, *, n_at_once: int = 2) -> list[Outcome] | Missing:
    """Return what Zeus's PowerMonitor makes of each fault, with all powers that it finds."""
    return _faults(peers, ZEUS, "Zeus PowerMonitor", n_at_once)


def codecarbon_faults(peers: Peers, *, n_at_once: int = 4) -> list[Outcome] | Missing:
    """Return what a task of CodeCarbon makes of each fault."""
    return _faults(peers, CODECARBON, "CodeCarbon", n_at_once)


def _faults(peers: Peers, peer: str, meter: str, n_at_once: int) -> list[Outcome] | Missing:
    part = "power_fault" if meter == "Zeus PowerMonitor" else "fault"

    def ask(scenario: Scenario) -> tuple[Any, str] | Missing:
        late_s = 0.0
        for patience in (1, 2, 5):
            request = {"window": WINDOW, "lead_s": patience * _LEADS_S[meter]}
            answer = peers.ask(peer, part, scenario.gpus, request)
            if isinstance(answer, Missing):
                return answer
            late_s = answer[0]["late_s"]
            if late_s <= 0:
                return answer
        return Missing(f"{meter} began {late_s:.1f} s late, on {scenario.name!r}")

    scenarios = (HEALTHY, *FAULTS)
    with ThreadPoolExecutor(n_at_once) as pool:
        answers = list(pool.map(ask, scenarios))
    outcomes: list[Outcome] = []
    usual: set[str] = set()  # what the peer says of a healthy GPU, which comes first
    for scenario, answer in zip(scenarios, answers, strict=True):
        if isinstance(answer, Missing):
            return answer
        found, stderr = answer
        helpers = _said(stderr) if peer == ZEUS else []  # CodeCarbon has none
        if scenario is HEALTHY:
            usual = {*found["heard"], *helpers}
        outcomes.append(_outcome(meter, scenario, found, helpers, usual))
    return outcomes


def _outcome(
    meter: str,
    scenario: Scenario,
    found: Mapping[str, Any],
    helpers: Sequence[str],
    usual: set[str],
) -> Outcome:
    heard = tuple(dict.fromkeys(line for line in found["heard"] if line not in usual))
    truth_j = scenario.truth_j(*found["window"])
    return Outcome(
        meter=meter,
        scenario=scenario.name,
        value_j=found["value_j"],
        truth_j=truth_j,
        error=found["error"],
        heard=heard,
        helper_log=tuple(dict.fromkeys(line for line in helpers if line not in usual)),
        verdict=verdict(found["value_j"], truth_j, flagged=bool(found["error"] or heard)),
    )


def _said(stderr: str) -> list[str]:
    """Return the last line of each traceback in the output of some processes."""
    lines = [line[:300] for line in stderr.splitlines()]
    pairs = pairwise(lines)
    return [after for line, after in pairs if line.startswith("  ") and not after.startswith(" ")]


# ---- The peers' figures alone ----


def _spread(measured: list[Measured] | Missing) -> str:
    if isinstance(measured, Missing):
        return measured.reason
    errors = sorted(abs(one.error_percent) for one in measured)
    bias = statistics.fmean(one.error_percent for one in measured)
    return (
        f"|error| p50 {statistics.median(errors):7.2f} %, "
        f"p95 {errors[int(0.95 * (len(errors) - 1))]:7.2f} %, worst {errors[-1]:7.2f} %, "
        f"bias {bias:+7.2f} %  ({len(errors)} windows, "
        f"{sum(one.energy_j == 0 for one in measured)} of 0 J)"
    )


def show_windows(peers: Peers) -> None:
    """Print the errors of ZeusMonitor on the virtual clock."""
    lengths_s, n = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0), 1000
    windows = [window for length_s in lengths_s for window in random_windows(length_s, n)]
    for name, gpu in TRACES.items():
        found = zeus_windows(peers, gpu, windows)
        for i, length_s in enumerate(lengths_s):
            part = found if isinstance(found, Missing) else found[n * i : n * (i + 1)]
            print(f"ZeusMonitor, {name:13} {length_s:5} s: {_spread(part)}")
    for tail_s in (0.0, 0.4):
        script = blocks(tail_s=tail_s)
        found = zeus_windows(peers, script.gpu, script.windows)
        print(f"ZeusMonitor, isolated blocks, tail {tail_s} s: {_spread(found)}")


def show_power(peers: Peers) -> None:
    """Print the errors of Zeus's PowerMonitor in real time."""
    traces = {"constant": CONSTANT, "square 0.8 s": SQUARE, "LLM": LLM}
    lengths_s, n = (1.0, 2.0, 5.0, 10.0), 100
    windows = [
        window
        for length_s in lengths_s
        for window in random_windows(length_s, n, start_s=0.0, span_s=20.0)
    ]
    with ThreadPoolExecutor(len(traces)) as pool:
        all_found = list(
            pool.map(lambda gpu: zeus_power_windows(peers, gpu, windows), traces.values())
        )
    for name, found in zip(traces, all_found, strict=True):
        for i, length_s in enumerate(lengths_s):
            part = found if isinstance(found, Missing) else found[n * i : n * (i + 1)]
            print(f"Zeus PowerMonitor, {name:13} {length_s:4} s: {_spread(part)}")


def show_tasks(peers: Peers) -> None:
    """Print the errors of CodeCarbon in real time."""

    def ask(length_s: float) -> tuple[list[Measured], Edges] | Missing:
        rng = Random(0)  # see `random_windows` for why the lengths differ
        n = round(16 / length_s)
        pairs = [(rng.uniform(0.1, 0.3), length_s * rng.uniform(0.9, 1.1)) for _ in range(n)]
        return codecarbon_tasks(peers, LLM, pairs)

    lengths_s = (1.0, 2.0)
    with ThreadPoolExecutor(len(lengths_s)) as pool:
        all_found = list(pool.map(ask, lengths_s))
    for length_s, found in zip(lengths_s, all_found, strict=True):
        if isinstance(found, Missing):
            print(f"CodeCarbon, LLM: {found.reason}")
            continue
        measured, edges = found
        print(f"CodeCarbon, LLM {length_s} s: {_spread(measured)}; start_task "
              f"{edges.begin_s * 1e6:.0f} us, stop_task {edges.end_s * 1e6:.0f} us")  # fmt: skip


def show_cost(peers: Peers, seconds: float = 15.0) -> None:
    """Print what the peers cost."""
    costs = {
        "a process that waits": idle_cost(peers, seconds=seconds),
        "Zeus PowerMonitor, 1 domain, 0.1 s": zeus_cost(peers, n_domains=1, seconds=seconds),
        "Zeus PowerMonitor, 3 domains, 0.1 s": zeus_cost(peers, n_domains=3, seconds=seconds),
        "CodeCarbon, 1 s": codecarbon_cost(peers, seconds=seconds),
    }
    for name, cost in costs.items():
        if isinstance(cost, Missing):
            print(f"{name:36} {cost.reason}")
            continue
        print(f"{name:36} {cost.cpu_percent:.3f} % of a core, start {cost.started_s * 1e3:.0f} ms, "
              f"{cost.n_processes} processes, helpers {cost.helper_bytes / 2**20:.0f} MiB, main "
              f"{cost.main_bytes / 2**20:.0f} MiB")  # fmt: skip


def show_edges(peers: Peers) -> None:
    """Print how long the edges of a window take."""
    for latency_us in (0, 200):
        edges = zeus_edges(peers, latency_us=latency_us)
        if isinstance(edges, Missing):
            print(edges.reason)
            continue
        seconds = {name: f"{s * 1e6:.0f} us" for name, s in asdict(edges).items()}
        print(f"ZeusMonitor, NVML takes {latency_us} us: {seconds}")


def show_faults(peers: Peers) -> None:
    """Print what the peers make of the faults."""
    for ask in (zeus_faults, codecarbon_faults, zeus_power_faults):
        outcomes = ask(peers)
        if isinstance(outcomes, Missing):
            print(outcomes.reason)
            continue
        for one in outcomes:
            value = "nothing" if one.value_j is None else f"{one.value_j:.0f} J"
            said = [one.error or "-", *one.heard, *(f"(helper) {line}" for line in one.helper_log)]
            print(f"{one.meter:17} {one.scenario:37} {one.verdict:7} {value} of "
                  f"{one.truth_j:.0f} J: {' | '.join(said)}")  # fmt: skip
        worth = Counter(one.verdict for one in outcomes[1:])
        only_logged = sum(one.only_logged for one in outcomes[1:])
        print(f"{one.meter}: {dict(worth)}, of these {only_logged} flagged in a log only")


_PARTS = {
    "windows": show_windows,
    "power": show_power,
    "tasks": show_tasks,
    "cost": show_cost,
    "edges": show_edges,
    "faults": show_faults,
}


def main() -> None:
    """Print the peers' figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("part", nargs="*", choices=[*_PARTS, []], help="all if none is named")
    parts = parser.parse_args().part or list(_PARTS)
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        peers = Peers(Path(folder))
        for part in parts:
            start_s = time.perf_counter()
            _PARTS[part](peers)
            print(f"({part}: {time.perf_counter() - start_s:.0f} s)\n")


if __name__ == "__main__":
    main()
