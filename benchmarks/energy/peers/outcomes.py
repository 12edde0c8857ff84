"""What the peers make of the scripted faults, in real time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fakes.faults import FAULTS, HEALTHY, WINDOW, Scenario, Verdict, verdict

from benchmarks.energy.peers.installed import CODECARBON, ZEUS, Missing, Peers

# How long before the window each begins to start; longer after it was late on a busy machine.
_LEADS_S = {"ZeusMonitor": 1.0, "Zeus PowerMonitor": 6.0, "CodeCarbon": 3.0}


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
