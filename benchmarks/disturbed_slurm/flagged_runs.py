"""Why runs of two studies were flagged: for what the machine did at that time, or for something else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

Runs = Mapping[tuple[str, int], dict[str, Any]]
"""The content of `result.json` of each completed run, by point and cycle."""

_OF_THE_MOMENT = re.compile(
    r"other processes kept .* busy during the window|"
    r"the energy includes that of other processes, .*|"
    r"the hypervisor withheld .* of the CPU time of this machine|"
    r"after N warm-up repeats .*"
)
"""Reasons that depend on the moment alone. That a run was stopped is not among them: Slurm can stop it."""
_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def reasons(runs: Runs) -> Counter[str]:
    """Return in how many runs each reason stands, with N for its numbers."""
    return Counter(reason for run in runs.values() for reason in _masked(run))


def differ_by_moment(here: Runs, there: Runs) -> bool:
    """Return whether some runs have other reasons in the other study, and only those of the moment."""
    changed = {
        reason
        for key in here.keys() & there.keys()
        for reason in _masked(here[key]) ^ _masked(there[key])
    }
    return bool(changed) and all(map(_OF_THE_MOMENT.fullmatch, changed))


def _masked(run: dict[str, Any]) -> set[str]:
    return {_NUMBER.sub("N", reason) for reason in _reasons(run)}


def _reasons(run: dict[str, Any]) -> set[str]:
    return {
        reason
        for quality in run["figures"].values()
        if quality["status"] == "flagged"
        for reason in quality["reasons"]
    }
