"""Runs on the virtual clock of the fake driver, and what is said about other users of their GPU.

`energy_tenants.py` starts this process under the fake driver. Readings are taken when the sampler
and the guards of a measurement take them, through the real source and binding; from there on the
code of a measurement runs unchanged.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from benchmarks.energy.peers.stage import main, virtual_clock
from llem_energy._estimation.figures import Quality
from llem_energy._estimation.window_energy import energy_figures
from llem_energy._machine.environment import snapshot_environment
from llem_energy._measurement.baseline import baseline_figures
from llem_energy._measurement.gpu_sharing import TenantLists, gpu_sharing
from llem_energy._measurement.idle import IdleSpan
from llem_energy._measurement.raw_measurement import Idles
from llem_energy._measurement.tenancy_flags import idle_change_flags, tenancy_flags
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.window import MeasuredSpan
from llem_energy._sources.gpu_tenants import gpu_tenants
from llem_energy.sources import NvmlSource, calibrate

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
        self._recorder = Recorder(None)

    def _to(self, t_s: float) -> None:
        """Move the clock, and read at the ticks of the sampler until then."""
        first = round(self.now_s / _TICK_S) + 1
        for tick in range(first, int(t_s / _TICK_S) + 1):
            self._read(tick * _TICK_S, details=tick % _DETAILS_EVERY == 0)
        self._read(t_s)

    def _read(self, t_s: float, *, details: bool = False) -> None:
        self.now_s = max(self.now_s, t_s)
        self._move(self.now_s)
        self._recorder.add(self._source.read(details=details))

    def _dense(self, t_s: float) -> None:
        while self.now_s + _DENSE_S < t_s:
            self._read(self.now_s + _DENSE_S)
        self._read(t_s)

    def _idle(self, name: str) -> IdleSpan:
        start_s, end_s = (self._start_s + t_s for t_s in self._plan[name])
        self._to(end_s)
        return IdleSpan(start_s, end_s)

    def reasons(self, own_pids: list[int], calibration: Any) -> dict[str, Any]:
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
        lists = TenantLists(at_start, before_window, self._recorder.seen_pids, gpu_tenants())
        span = MeasuredSpan(start_s, end_s, 0.0, 1, guard_s)
        idles = Idles(context=context, before=before, after=after)
        # The fields of a measurement that the flags of other users read.
        raw: Any = SimpleNamespace(
            source=self._source,
            gpus=self._source.devices,
            environment=snapshot_environment(own_pids),
            gpu_sharing=gpu_sharing(lists, own_pids=own_pids, used=self._source.devices),
            samples=self._recorder,
            idles=idles,
            memory=SimpleNamespace(peak_bytes=1 << 30, weights_bytes=1 << 30),
        )
        middle_s = (start_s + end_s) / 2
        between = self._recorder.between
        baseline = baseline_figures(self._source, between, idles, calibration, middle_s, "boot")
        samples = between(start_s - 3, end_s + 3)
        energy = energy_figures(self._source, samples, span, calibration)
        flags = (*tenancy_flags(raw, span), *idle_change_flags(raw, baseline.figures))
        total = Quality("ok").with_reasons(flags)
        self._source.close()
        return {
            "value_j": energy.total_j,
            "window": [start_s, end_s],
            "status": total.status,
            "reasons": list(total.reasons),
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
