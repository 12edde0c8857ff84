"""What the parts of `energy_accuracy.py` and `energy_meter.py` share: both sides, and a row of a table."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fakes.fake_nvml import FakeGpu, true_energy_j
from fakes.traces import Window

from benchmarks.energy.peers.run import Measured, Missing, Peers

OUR_SIDE = ("-m", "benchmarks.energy.our_side")
METER_SIDE = ("-m", "benchmarks.energy.meter_side")
N_WAITING = 8
"""Processes that wait most of the time and run at once."""


class HasCells(Protocol):
    """A row of any table."""

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the row."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table; `met` is None if it is unknown, for example without the peer."""

    what: str
    goal: str
    ours: str
    peer: str
    ratio: str
    met: bool | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the row."""
        return (self.what, self.goal, self.ours, self.peer, self.ratio, verdict(self.met))


def verdict(met: bool | None) -> str:
    """Return the cell that says whether a goal is met; None if it has none, or is not known."""
    return "-" if met is None else "yes" if met else "**no**"


class Bench:
    """Runs our meter and the peers on the same scripts."""

    def __init__(
        self,
        folder: Path,
        *,
        quick: bool,
        only: str = "",
        seed: str = "",
        has_peers: bool = True,
    ) -> None:
        """Prepare.

        Args:
            folder: for the environments of the peers.
            quick: fewer windows, shorter runs.
            only: part of the names of the counters with flaws to play.
            seed: of their loads and their idle power.
            has_peers: whether Zeus and CodeCarbon measure the counters with flaws too.
        """
        self.peers = Peers(folder)
        self.folder = folder
        self.only, self.seed = only, seed
        self.has_peers = has_peers
        self.n = 200 if quick else 1000
        self.n_bound = 500 if quick else 10_000
        self.n_flaws = 10 if quick else 50  # of each length, of four
        self.seconds = 5.0 if quick else 30.0
        self.n_turns = 40 if quick else 3000
        self.trials = 500 if quick else 4000

    def run_our_side(
        self,
        part: str,
        gpus: Sequence[FakeGpu],
        request: Mapping[str, Any],
        side: Sequence[str] = OUR_SIDE,
        python: Path | str = sys.executable,
    ) -> Any:
        """Run a part of `our_side`, or of another program, in a new process; return its answer.

        Args:
            part: its name.
            gpus: that it sees.
            request: what to do.
            side: the program.
            python: the interpreter that runs it.
        """
        done = subprocess.run(
            [python, *side, part], input=json.dumps(request) + "\n",
            env=self.environment(gpus), capture_output=True, text=True, check=False, timeout=2400,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{part}: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def environment(self, gpus: Sequence[FakeGpu]) -> dict[str, str]:
        """Return the variables of an llem process; it has one thread, because machines may be small."""
        return self.peers.environment(gpus) | {"OMP_NUM_THREADS": "1"}

    def windows(
        self, gpu: FakeGpu, windows: Sequence[Window], *, guard: bool
    ) -> tuple[list[Measured], dict[str, Any]]:
        """Return our energies of windows on the virtual clock, and the whole answer."""
        answer = self.run_our_side("windows", [gpu], {"windows": windows, "guard": guard})
        pairs = zip(windows, answer["energies_j"], strict=True)
        return [Measured(w, energy_j, true_energy_j(gpu, *w)) for w, energy_j in pairs], answer


def p95(measured: Sequence[Measured]) -> float:
    """Return the 95th percentile of the absolute error, in percent."""
    errors = sorted(abs(window.error_percent) for window in measured)
    return errors[int(0.95 * (len(errors) - 1))]


def worst(measured: Sequence[Measured]) -> float:
    """Return the largest absolute error, in percent."""
    return max(abs(window.error_percent) for window in measured)


def bias(measured: Sequence[Measured]) -> float:
    """Return the mean error, signed, in percent."""
    return statistics.fmean(window.error_percent for window in measured)


def compared(what: str, goal: float, ours: float, peer: float | Missing, unit: str) -> Row:
    """Return a row whose goal is a max. ratio to the peer."""
    if isinstance(peer, Missing):
        return Row(what, f"<= {goal:g} x", f"{ours:.3g} {unit}", peer.reason[:60], "", None)
    ratio = ours / peer if peer else float("inf")
    return Row(
        what, f"<= {goal:g} x", f"{ours:.3g} {unit}", f"{peer:.3g} {unit}", f"{ratio:.3g} x",
        ratio <= goal,
    )  # fmt: skip
