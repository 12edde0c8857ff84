"""Warns before a study if other processes keep the machine busy."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import ExperimentConfig
from llem_energy._backends.registry import facts_of
from llem_energy._host.load_limits import other_load_problem
from llem_energy._machine.machine import Machine
from llem_energy._preflight.findings import Finding, findings


def other_load_warnings(
    experiments: Sequence[ExperimentConfig], machine: Machine
) -> tuple[Finding, ...]:
    """Return a warning if other load will disturb experiments.

    Args:
        experiments: to be run.
        machine: with its load just now.
    """
    if machine.load is None:
        return ()
    points: dict[str, list[int]] = {}
    for point, config in enumerate(experiments):
        device = facts_of(config.backend).device(config)
        on_gpu = device != "cpu" and bool(machine.gpus)
        if problem := other_load_problem(machine.load, on_gpu=on_gpu):
            points.setdefault(problem, []).append(point)
    return findings(
        {
            f"{problem} just now; stop them, or the results may be flagged": group
            for problem, group in points.items()
        }
    )
