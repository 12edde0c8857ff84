"""The energy of nodes from the accounting of Slurm, as far as a plugin of the site counts it.

Source: the manual pages sacct(1), `ConsumedEnergyRaw`, and slurm.conf(5), `AcctGatherEnergyType`. The steps
of a job have it, and not the job. Every task of llem is one batch step, on one node. Without a plugin Slurm
22.05 reports 0 J for a step, and for some seconds after its end also with one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from llem_runner import StudyError
from llem_runner.clusters import Coverage, JobStart, NodeReading
from llem_slurm._commands import ask

_COVERS: Mapping[str, Coverage] = {
    "gpu": "gpus",
    "ibmaem": "machine",
    "ipmi": "machine",
    "pm_counters": "machine",
    "rapl": "processor",
    "xcc": "machine",
}
_FIELDS = "JobID,State,NodeList,Start,End,ElapsedRaw,ConsumedEnergyRaw"
_LATE_S = 60.0
"""The energy of a step comes after its end, by seconds."""
_RECORD_LATE_S = 6 * 3600.0
"""While the accounting is down, Slurm keeps the records of jobs and hands them over later, by hours."""
_MAX_W = 200_000.0
"""More than any node draws; numbers of Slurm that mean `not known` are far above it."""
_MARGIN_S = 5.0
_UNENDED = {"PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "REQUEUED"}


class _Step(NamedTuple):
    """The batch step of one start of a task."""

    state: str
    node: str
    start_s: float | None
    end_s: float | None
    elapsed_s: float | None
    energy: str


def node_energy(
    starts: Sequence[JobStart], *, now: Callable[[], float] = time.time
) -> list[NodeReading]:
    """Return what the accounting says of each start; one `sacct` for each array of jobs.

    Args:
        starts: of tasks that have ended.
        now: returns the present time in seconds since 1970.
    """
    try:
        meter = _meter()
    except StudyError as error:
        return [NodeReading(reason=str(error), is_final=False)] * len(starts)
    if meter is None:
        reason = "the Slurm of this site has no plugin that counts energy (AcctGatherEnergyType)"
        return [NodeReading(reason=reason)] * len(starts)
    arrays = dict.fromkeys(start.job.partition("_")[0] for start in starts)
    answers = {array: _steps(array) for array in arrays}
    readings = []
    for start in starts:
        steps = answers[start.job.partition("_")[0]]
        found = steps if isinstance(steps, NodeReading) else _reading(start, steps, now())
        readings.append(msgspec.structs.replace(found, meter=meter, covers=_COVERS.get(meter)))
    return readings


def _meter() -> str | None:
    """Return the plugin of the site that counts energy; None if it has none.

    Raises:
        StudyError: Slurm does not answer.
    """
    answer = ask("scontrol", "show", "config", timeout_s=30)
    match = re.search(r"^AcctGatherEnergyType\s*=\s*(?:\w+/)?(\S+)", answer.text, re.MULTILINE)
    if not answer.is_ok or match is None:
        raise StudyError(
            "Slurm does not tell whether it counts energy; merge the study again later"
        )
    return None if match[1] in ("none", "(null)") else match[1]


def _steps(array: str) -> dict[str, list[_Step]] | NodeReading:
    """Return the batch steps of an array by their task, first start to last; else why there are none."""
    try:
        answer = ask("sacct", "-n", "-P", "-D", "-j", array, "-o", _FIELDS, timeout_s=60)
    except StudyError as error:
        return NodeReading(reason=str(error), is_final=False)
    if not answer.is_ok:
        text = (answer.problem or answer.text).splitlines()
        if "accounting storage is disabled" in answer.problem:
            return NodeReading(reason="the Slurm of this site has no accounting")
        said = text[-1] if text else "no text"
        return NodeReading(
            reason=f"the accounting of Slurm does not answer: {said}", is_final=False
        )
    steps: dict[str, list[_Step]] = {}
    for line in answer.text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        task, _, step = cells[0].partition(".")
        if (
            len(cells) == 7 and step == "batch"
        ):  # others, such as extern, count the same joules again
            _, state, node, start, end, elapsed, energy = cells
            found = _Step(
                state.partition(" ")[0],
                node,
                _number(start),
                _number(end),
                _number(elapsed),
                energy,
            )
            steps.setdefault(task, []).append(found)
    for each in steps.values():
        each.sort(key=lambda step: step.start_s or 0.0)
    return steps


def _reading(start: JobStart, steps: Mapping[str, Sequence[_Step]], now_s: float) -> NodeReading:
    """Return what the steps say of one start of a task."""
    of_task = steps.get(start.job, ())
    if not 0 <= start.n_restarts < len(of_task):
        return NodeReading(
            reason=f"the accounting of Slurm has {len(of_task)} starts of the job, not start "
            f"{start.n_restarts + 1}",
            is_final=_is_old(start, now_s),
        )
    step = of_task[start.n_restarts]
    if step.state in _UNENDED or step.start_s is None or step.end_s is None:
        return NodeReading(reason="its job had not ended; merge the study again", is_final=False)
    energy_j = _number(step.energy)
    reason = _other_attempt(start, step) or _why_no_energy(energy_j, step.elapsed_s or 1.0)
    # The joules of a step that has just ended may be on their way.
    is_late = not energy_j and now_s - step.end_s < _LATE_S
    return NodeReading(
        energy_j=energy_j if reason is None else None,
        reason=reason,
        started_at=_instant(step.start_s),
        ended_at=_instant(step.end_s),
        is_final=not is_late,
    )


def _is_old(start: JobStart, now_s: float) -> bool:
    """Return whether an attempt ended so long ago that the accounting will get no more of it.

    One that did not end by itself has no known end, so each merge asks again.
    """
    if start.ended_at is None:
        return False
    return now_s - datetime.fromisoformat(start.ended_at).timestamp() > _RECORD_LATE_S


def _why_no_energy(energy_j: float | None, elapsed_s: float) -> str | None:
    """Return why a number of joules says nothing; None if it does."""
    if not energy_j:  # also 0: no machine needs nothing
        return f"the accounting of Slurm has {'no energy' if energy_j is None else '0 J'}"
    power_w = energy_j / max(1.0, elapsed_s)
    if power_w > _MAX_W:
        return (
            f"the accounting of Slurm has {energy_j:.3g} J, a mean power of {power_w:.3g} W, which no node "
            "draws"
        )
    return None


def _other_attempt(start: JobStart, step: _Step) -> str | None:
    """Return why a step cannot be the one that made an attempt; None if it can."""
    if start.machine is not None and step.node != start.machine:
        return (
            f"it cannot be told which start of the job it was: it ran on {start.machine}, and the accounting "
            f"of Slurm has {step.node} for it"
        )
    if start.attempt_s is not None and (step.elapsed_s or 0.0) + _MARGIN_S < start.attempt_s:
        return (
            f"it cannot be told which start of the job it was: it took {start.attempt_s:.0f} s, and the "
            f"accounting of Slurm has {step.elapsed_s or 0:.0f} s for it"
        )
    return None


def _number(text: str) -> float | None:
    """Return a whole number; None if Slurm has none, such as an end that is not yet known."""
    return float(text) if text.isascii() and text.isdigit() else None


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
