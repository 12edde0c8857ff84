"""Whether the peers detect the scripted faults, in real time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fakes.faults import FAULTS, HEALTHY, WINDOW, Scenario, Verdict, verdict

from benchmarks.energy.peers.installed import CODECARBON, ZEUS, Missing, Peers

# Time before the window at which each meter starts; increased if it was late on a busy machine.
_LEADS_S = {"ZeusMonitor": 1.0, "Zeus PowerMonitor": 6.0, "CodeCarbon": 3.0}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of one meter to one scenario.

    Attributes:
        meter: `ZeusMonitor`, `Zeus PowerMonitor` or `CodeCarbon`.
        scenario: name of the scenario.
        value_j: energy of the window; None if the meter returned none.
        truth_j: true energy of the window that the meter measured.
        error: class and message of the exception; empty if there was none.
        warnings: its log messages and warnings, without those that a healthy GPU causes too.
        helper_log: exceptions in its helper processes, which appear only on the terminal.
        verdict: an exception or a warning flags the value, `helper_log` does not.
    """

    meter: str
    scenario: str
    value_j: float | None
    truth_j: float
    error: str
    warnings: tuple[str, ...]
    helper_log: tuple[str, ...]
    verdict: Verdict

    @property
    def only_logged(self) -> bool:
        """Return whether only a line in a log distinguishes a wrong value from a right one."""
        return self.verdict == "flagged" and self.value_j is not None and not self.error


def zeus_faults(peers: Peers, *, n_at_once: int = 5) -> list[Outcome] | Missing:
    """Return the answer of ZeusMonitor to each fault; the healthy GPU comes first."""
    return _faults(peers, ZEUS, "ZeusMonitor", n_at_once)


def zeus_power_faults(peers: Peers, *, n_at_once: int = 2) -> list[Outcome] | Missing:
    """Return the answer of Zeus PowerMonitor to each fault, with all power domains it detects."""
    return _faults(peers, ZEUS, "Zeus PowerMonitor", n_at_once)


def codecarbon_faults(peers: Peers, *, n_at_once: int = 4) -> list[Outcome] | Missing:
    """Return the answer of a CodeCarbon task to each fault."""
    return _faults(peers, CODECARBON, "CodeCarbon", n_at_once)


def _faults(peers: Peers, peer: str, meter: str, n_at_once: int) -> list[Outcome] | Missing:
    part = "power_fault" if meter == "Zeus PowerMonitor" else "fault"

    def measure(scenario: Scenario) -> tuple[Any, str] | Missing:
        late_s = 0.0
        for factor in (1, 2, 5):
            request = {"window": WINDOW, "lead_s": factor * _LEADS_S[meter]}
            answer = peers.ask(peer, part, scenario.gpus, request)
            if isinstance(answer, Missing):
                return answer
            late_s = answer[0]["late_s"]
            if late_s <= 0:
                return answer
        return Missing(f"{meter} started {late_s:.1f} s late in {scenario.name!r}")

    scenarios = (HEALTHY, *FAULTS)
    with ThreadPoolExecutor(n_at_once) as pool:
        answers = list(pool.map(measure, scenarios))
    outcomes: list[Outcome] = []
    usual: set[str] = set()  # messages of the peer on the healthy GPU, which comes first
    for scenario, answer in zip(scenarios, answers, strict=True):
        if isinstance(answer, Missing):
            return answer
        result, stderr = answer
        helper_log = _exceptions(stderr) if peer == ZEUS else []  # CodeCarbon has no helpers
        if scenario is HEALTHY:
            usual = {*result["warnings"], *helper_log}
        outcomes.append(_outcome(meter, scenario, result, helper_log, usual))
    return outcomes


def _outcome(
    meter: str,
    scenario: Scenario,
    result: Mapping[str, Any],
    helper_log: Sequence[str],
    usual: set[str],
) -> Outcome:
    warnings = tuple(dict.fromkeys(line for line in result["warnings"] if line not in usual))
    truth_j = scenario.truth_j(*result["window"])
    return Outcome(
        meter=meter,
        scenario=scenario.name,
        value_j=result["value_j"],
        truth_j=truth_j,
        error=result["error"],
        warnings=warnings,
        helper_log=tuple(dict.fromkeys(line for line in helper_log if line not in usual)),
        verdict=verdict(result["value_j"], truth_j, flagged=bool(result["error"] or warnings)),
    )


def _exceptions(stderr: str) -> list[str]:
    """Return the last line of each traceback in the output of several processes."""
    lines = [line[:300] for line in stderr.splitlines()]
    pairs = pairwise(lines)
    return [after for line, after in pairs if line.startswith("  ") and not after.startswith(" ")]
