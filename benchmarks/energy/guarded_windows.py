"""Our side of the table of counters with flaws: isolated loads, measured by the code of a run.

Windows have the same quiet edges as in a measurement, on the virtual clock: they last as long as they
would, and nothing sleeps. The load begins when the window opens, so its power is set while the fake
driver runs.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from benchmarks.energy.peers.stage import virtual_clock
from llem_energy.sources import (
    Edges,
    NvmlSource,
    Sample,
    Sampler,
    SourceVersions,
    WindowEnergy,
    calibrate,
    window_energy,
)

_TICK_S = 0.05  # the default sample period
_DENSE_S = 0.002  # a real guard is read slightly more often
_CALL_S = 1e-5
_RIPPLE_S = 0.07
_AROUND_S = 3.5

Points = Sequence[tuple[float, float]]  # seconds after the start, watts


class _Stage:
    """The virtual clock with idle power, and a source on it that keeps what it has read."""

    name: Final = "nvml"
    kind: Final = "gpu"

    def __init__(self, idle_w: float, ripple: float, seed: str) -> None:
        self.now_s = 0.0
        self._move = virtual_clock()
        self._move(0.0)
        self.source = NvmlSource([0], clock=self.clock)
        self.devices, self.gain_share = self.source.devices, self.source.gain_share
        library = ctypes.CDLL("libnvidia-ml.so.1")
        self._set_power = library.fake_nvml_set_power
        self._set_power.argtypes = [ctypes.c_uint, ctypes.c_double, ctypes.c_double]
        self._truth = library.fake_nvml_true_energy
        self._truth.argtypes = [ctypes.c_uint, ctypes.c_double, ctypes.c_double]
        self._truth.restype = ctypes.c_double
        self.idle_w, self._ripple = idle_w, ripple
        """Idle power, from the next ripple on."""
        self.rng = random.Random(seed)
        self.points: list[tuple[float, float]] = []
        self.samples: list[Sample] = []
        self.set_power(0.0, idle_w)
        self.idle_from_s = 0.0
        """Until then power is already set."""

    def truth_j(self, t0_s: float, t1_s: float) -> float:
        """Return the true energy of a window."""
        return float(self._truth(0, t0_s, t1_s))

    def set_power(self, t_s: float, watts: float) -> None:
        """Set the power from an instant on."""
        if not self._set_power(0, t_s, watts):
            raise RuntimeError(f"the fake driver refused {watts} W at {t_s} s")
        if self.points and self.points[-1][0] == t_s:  # replaced
            self.points.pop()
        self.points.append((t_s, watts))

    def wait_until(self, t_s: float) -> None:
        """Move the clock; idle power ripples."""
        while self.idle_from_s <= t_s:
            share = self.rng.uniform(-self._ripple, self._ripple)
            self.set_power(self.idle_from_s, self.idle_w * (1 + share))
            self.idle_from_s += _RIPPLE_S * self.rng.uniform(0.7, 1.3)
        self.now_s = t_s
        self._move(t_s)

    def clock(self) -> float:
        """Return the time."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Move the clock, in a dense reading by a little more than requested."""
        self.wait_until(self.now_s + max(seconds, _DENSE_S))

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        """Read once; a call takes a moment."""
        self.wait_until(self.now_s + _CALL_S)
        samples = self.source.read(details=details)
        self.samples.extend(samples)
        return samples

    def add(self, samples: Sequence[Sample]) -> None:
        """Keep nothing: `read` has done it."""

    def versions(self) -> SourceVersions:
        """Return the versions of the driver and its binding."""
        return self.source.versions()

    def power_limit_w(self, device: str) -> float | None:
        """Return the power limit of the GPU."""
        return self.source.power_limit_w(device)

    def close(self) -> None:
        """Close the driver."""
        self.source.close()

    def load(self, length_s: float, points: Points) -> None:
        """Play a load from now on, and sample it at the normal rate."""
        start_s = self.now_s
        for after_s, watts in points:
            self.set_power(start_s + after_s, watts)
        self.idle_from_s = start_s + max(length_s, points[-1][0] + 1e-6)
        tick_s = start_s + self.rng.uniform(0, _TICK_S)
        while tick_s < start_s + length_s:
            self.wait_until(tick_s)
            self.read()
            tick_s += _TICK_S
        self.wait_until(start_s + length_s)


def guarded(request: dict[str, Any]) -> dict[str, Any]:
    """Measure isolated loads; return figures, windows, truth, and the power that was played."""
    stage = _Stage(request["idle_w"], request["ripple"], request["seed"])
    # Power before 0 is that at 0, which changes when power at 0 is set: a false update.
    stage.wait_until(1.0)
    calibration = calibrate(
        stage.source,
        clock=stage.clock,
        sleep=lambda seconds: stage.wait_until(stage.now_s + seconds),
    )
    sampler = Sampler(stage, _TICK_S, stage, clock=stage.clock, sleep=stage.sleep)
    edges = Edges(sampler, calibration, stage.devices)
    if request.get("knows_idle"):
        edges.note_idle(edges.approach(stage.now_s).idle_w)
    answers = []
    for load in request["loads"]:
        stage.samples.clear()
        stage.idle_w = request["idle_w"]
        stage.wait_until(stage.now_s + stage.rng.uniform(0.7, 1.3))
        if load.get("before_s"):
            stage.load(load["before_s"], [(0.0, load["before_w"])])
        quiet = edges.approach(stage.now_s)
        sampler.read()
        start_s = stage.now_s
        stage.idle_w = load.get("idle_after_w", request["idle_w"])
        stage.load(load["length_s"], [(after_s, watts) for after_s, watts in load["points"]])
        end_s = stage.now_s
        sampler.read()
        span = edges.leave(quiet, start_s, end_s)
        around = [s for s in stage.samples if s.t_s >= span.start_s - _AROUND_S]
        estimated = partial(
            window_energy,
            stage,
            around,
            span,
            calibration,
            exact=stage.devices if request["is_checked"] else (),
            late_s=dict.fromkeys(stage.devices, request["late_s"]),
            steps_s=[request["step_s"]] if request["step_s"] else (),
        )
        energy = estimated(seen=stage.devices if request["is_checked"] else ())
        # The same readings of a counter that is known to observe the board all the time.
        if_seen = estimated(seen=stage.devices)
        answers.append(
            {
                "window": (span.start_s, span.end_s),
                "truth_j": stage.truth_j(span.start_s, span.end_s),
                "energy_j": energy.total_j,
                "bound_j": energy.bound_j,
                "uncertainty_j": energy.uncertainty_j,
                "uncertainty_if_seen_j": if_seen.uncertainty_j,
                "sampling_j": energy.sampling_j,
                "far_guard_j": _far_guard_j(energy),
                "reasons": energy.reasons,
                "method": energy.method,
                "before_s": span.start_s - quiet.since_s,
                "after_s": span.after_s,
            }
        )
    return {"windows": answers, "points": stage.points}


def _far_guard_j(energy: WindowEnergy) -> float | None:
    """Return the estimate of the far guard, also where another one was chosen."""
    estimates = energy.devices[0].estimates
    return next((each.energy_j for each in estimates if "far guard" in each.method), None)
