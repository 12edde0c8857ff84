"""The energy of whole machines in a few lines, apart from all figures."""

from __future__ import annotations

from typing import Any

from llem_cli._display.node_energy import node_energy_lines
from llem_runner.records import NodeEnergy


def attempt(number: int, **fields: Any) -> NodeEnergy:
    whole: dict[str, Any] = {
        "shard": number, "attempt": 1, "cluster": "slurm", "job": f"7_{number}", "machine": "n1",
        "whole_machine": True, "energy_j": 1000.0, "meter": "ipmi", "covers": "machine", "n_runs": 2,
        "measured_j": 300.0, "measured_s": 20.0, "measured_share": 0.3, "measured_time_share": 0.2,
    }  # fmt: skip
    return NodeEnergy(**whole | fields)


def missing(number: int, reason: str) -> NodeEnergy:
    return attempt(number, energy_j=None, reason=reason, measured_share=None)


def test_a_study_whose_cluster_was_not_asked_has_no_line() -> None:
    assert list(node_energy_lines([])) == []


def test_the_shares_of_all_attempts_are_one_line() -> None:
    lines = list(
        node_energy_lines([attempt(1), attempt(2, measured_share=0.4, measured_time_share=0.25)])
    )
    assert lines == [
        "energy of whole machines by the cluster (ipmi): the runs measured 30% to 40% of it, in 20% to "
        "25% of the time (2 attempts); a cross-check, used in no figure"
    ]


def test_a_meter_of_other_devices_is_named_as_such() -> None:
    other = attempt(1, meter="rapl", covers="processor", measured_j=None, measured_share=None)
    assert list(node_energy_lines([other])) == [
        "energy of processors and their memory by the cluster (rapl): no run there has energies of the "
        "same devices (1 attempt); a cross-check, used in no figure"
    ]


def test_contradictions_and_each_reason_for_what_is_missing_are_lines() -> None:
    lines = list(
        node_energy_lines(
            [
                missing(1, "no plugin"),
                missing(2, "no plugin"),
                attempt(3, problem="too many joules"),
            ]
        )
    )
    assert lines[1:] == [
        "warning: too many joules (1 attempt)",
        "energy of whole machines is missing: no plugin (2 attempts)",
    ]
