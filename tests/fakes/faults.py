"""The faults that an energy measurement must survive, each scripted on the fake driver.

Each fault occurs during the same window on a GPU that serves requests. The value of a meter for the
window is correct if it is within 5 % of the truth. If it is not, the meter must flag it (by an
error, a warning or no value); otherwise the meter is silently wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from fakes.fake_nvml import FakeGpu, Fault, true_energy_j
from fakes.traces import LLM

WINDOW = (4.0, 7.0)  # seconds of the fake
TOLERANCE = 0.05
_T0, _T1 = WINDOW
_ALWAYS = -1000.0  # before time 0, because a slow meter starts earlier
_NOT_SUPPORTED, _DRIVER_NOT_LOADED, _GPU_IS_LOST, _UNKNOWN = 3, 9, 15, 999
_COUNTER = ("nvmlDeviceGetTotalEnergyConsumption", "field:83", "field:191")
Verdict = Literal["correct", "flagged", "wrong"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault and the GPUs on which it occurs.

    Attributes:
        name: as printed in tables.
        gpus: all GPUs with their faults.
    """

    name: str
    gpus: tuple[FakeGpu, ...]

    def truth_j(self, t0_s: float, t1_s: float) -> float:
        """Return the true joules of all GPUs together between two instants."""
        return sum(true_energy_j(gpu, t0_s, t1_s) for gpu in self.gpus)


def verdict(value_j: float | None, truth_j: float, *, flagged: bool) -> Verdict:
    """Return whether the value of a meter is correct, flagged or silently wrong.

    Args:
        value_j: its value for the window; None if it returned none or raised.
        truth_j: the true energy of the same window.
        flagged: whether it marked the value as doubtful, or warned.
    """
    if value_j is not None and abs(value_j - truth_j) <= TOLERANCE * truth_j:
        return "correct"
    return "flagged" if flagged or value_j is None else "wrong"


_OTHER = replace(LLM, uuid="GPU-00000000-0000-0000-0000-000000000002")


def _counter_faults(code: int, t0_s: float = _ALWAYS, t1_s: float = math.inf) -> tuple[Fault, ...]:
    return tuple(Fault(function, code, t0_s, t1_s) for function in _COUNTER)


def _failing(faults: Iterable[Fault]) -> FakeGpu:
    return replace(LLM, faults=tuple(faults))


_LOST = Fault("*", _GPU_IS_LOST, _T0 + 1.5)

HEALTHY = Scenario("healthy", (LLM,))
FAULTS = (
    Scenario("no counter on Hopper", (_failing(_counter_faults(_NOT_SUPPORTED)),)),
    Scenario(
        "counter fails at begin", (_failing(_counter_faults(_UNKNOWN, _T0 - 0.2, _T0 + 0.3)),)
    ),
    Scenario("counter fails at end", (_failing(_counter_faults(_UNKNOWN, _T1 - 0.2, _T1 + 0.3)),)),
    Scenario("all calls fail for 0.3 s", (_failing([Fault("*", _UNKNOWN, _T0 + 1.2, _T0 + 1.5)]),)),
    Scenario("counter stalls", (replace(LLM, stalls=((_T0 + 1.0, math.inf),)),)),
    Scenario("counter is reset", (replace(LLM, resets=(_T0 + 1.5,)),)),
    Scenario("GPU is lost", (_failing([_LOST]),)),
    Scenario("no instant power", (_failing([Fault("field:186", _NOT_SUPPORTED, _ALWAYS)]),)),
    Scenario("1 of 2 GPUs is lost", (LLM, replace(_OTHER, faults=(_LOST,)))),
    Scenario(
        "old driver without counter and fields",
        (
            replace(
                LLM,
                missing=("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetFieldValues"),
            ),
        ),
    ),
    Scenario(
        "driver does not start",
        (_failing([Fault("nvmlInitWithFlags", _DRIVER_NOT_LOADED, _ALWAYS)]),),
    ),
    Scenario(
        "calls take 0.5 s at the end",
        (replace(LLM, latency_spikes=((500_000, _T1 - 0.02, _T1 + 0.3),)),),
    ),
)
