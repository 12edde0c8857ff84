"""Runs on the virtual clock of the fake driver, and what is said about other users of their GPU.

`energy_tenants.py` starts this process under the fake driver. Readings are taken when the sampler
and the guards of a measurement take them, through the real source and binding; from there on the
code of a measurement runs unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.energy.peers.stage import main, virtual_clock
from llem_energy.sources import (
    Calibration,
    NvmlSource,
    Sample,
    WindowSpan,
    calibrate,
    window_energy,
)
from llem_energy.tenants import Idles, IdleSpan, TenantLists, foreign_use, gpu_tenants

_TICK_S = 0.05
_DETAILS_EVERY = 20  # ticks
_DENSE_S = 0.005


class Run:
    """One run on one GPU, from a time on; `plan` has the times of its stages since then."""

    def __init__(self, index: int, start_s: float, plan: dict[str, Any]) -> None:
        self._move = virtual_clock()
        self._start_s = self.now_s = start_s
        self._plan = plan
        self._move(start_s)
        self._source = NvmlSource([index], clock=lambda: self.now_s)
        self._samples: list[Sample] = []

    def _to(self, t_s: float) -> None:
        """Move the clock, and read at the ticks of the sampler until then."""
        first = round(self.now_s / _TICK_S) + 1
        for tick in range(first, int(t_s / _TICK_S) + 1):
            self._read(tick * _TICK_S, details=tick % _DETAILS_EVERY == 0)
        self._read(t_s)

    def _read(self, t_s: float, *, details: bool = False) -> None:
        self.now_s = max(self.now_s, t_s)
        self._move(self.now_s)
        self._samples += self._source.read(details=details)

    def _dense(self, t_s: float) -> None:
        while self.now_s + _DENSE_S < t_s:
            self._read(self.now_s + _DENSE_S)
        self._read(t_s)

    def _idle(self, name: str) -> IdleSpan:
        start_s, end_s = (self._start_s + t_s for t_s in self._plan[name])
        self._to(end_s)
        return IdleSpan(start_s, end_s)

    def reasons(self, own_pids: list[int], calibration: Sequence[Calibration]) -> dict[str, Any]:
        """Go through the run; return the energy of its window and the reasons to doubt it."""
        start_s, end_s = (self._start_s + t_s for t_s in self._plan["window"])
        guard_s = self._plan["guard_s"]
        at_start = gpu_tenants()
        context = self._idle("context")
        before = self._idle("before")
        self._to(start_s - guard_s - 1e-3)
        before_window = gpu_tenants()
        self._dense(start_s - 1e-5)
        self._to(end_s + 1e-5)
        self._dense(end_s + guard_s)
        after = self._idle("after")
        span = WindowSpan(start_s, end_s, guard_s)
        reasons = foreign_use(
            self._source, self._samples, span,
            TenantLists(at_start, before_window, gpu_tenants()), own_pids=own_pids,
            idles=Idles(context=context, before=before, after=after), calibration=calibration,
            own_growth_bytes=0,
        )  # fmt: skip
        around = [s for s in self._samples if start_s - 3 <= s.t_s <= end_s + 3]
        energy = window_energy(self._source, around, span, calibration)
        self._source.close()
        return {
            "value_j": energy.total_j,
            "window": [start_s, end_s],
            "status": "flagged" if reasons else "ok",
            "reasons": list(reasons),
        }


def runs(request: dict[str, Any]) -> dict[str, Any]:
    """Measure `runs`: the index of the GPU, the start, and the ids of the own processes of each."""
    clock = {"now_s": 0.0}
    move = virtual_clock()
    move(0.0)

    def sleep(seconds: float) -> None:
        clock["now_s"] += seconds
        move(clock["now_s"])

    answers = []
    for each in request["runs"]:
        source = NvmlSource([each["index"]], clock=lambda: clock["now_s"])
        clock["now_s"] = each["start_s"] - 2.0
        move(clock["now_s"])
        calibration = calibrate(source, clock=lambda: clock["now_s"], sleep=sleep)
        source.close()
        run = Run(each["index"], each["start_s"], request["plan"])
        answers.append(run.reasons(each["own_pids"], calibration))
    return {"runs": answers}


if __name__ == "__main__":
    main({"runs": runs})
