"""The tables of points and levels: the same figures as the analysis, null where there are none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from report.study_data.folders import make_folder

from llem_config import ExperimentConfig
from llem_report import analyse, table

SWEEP = "sweep: {n: [2, 4], max_output_tokens: [4, 8]}\n"


def known(config: ExperimentConfig, number: int) -> dict[str, Any]:
    """Return 1 J/token, half of it at n = 4, with a spread of 1 % from run to run."""
    value = (0.5 if config.n == 4 else 1.0) * (1 + 0.01 * (number % 3))
    return {"energy_per_output_token_j": value, "tokens_per_second": 100.0 / value}


def test_points_are_those_of_the_analysis(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, SWEEP, known, n_cycles=4)
    analysis = analyse(folder)
    rows = table(folder, "points").to_pylist()
    assert [row["config_hash"] for row in rows] == [p.config_hash for p in analysis.points]
    for row, point in zip(rows, analysis.points, strict=True):
        assert (row["figure"], row["unit"]) == ("energy_per_output_token_j", "J/token")
        assert (row["factor.n"], row["n_runs"], row["n_planned"]) == (point.levels["n"], 4, 4)
        assert (row["value"], row["ci95_low"]) == (point.value, point.ci95_low)
        assert point.ratio_to_best is not None
        assert row["ratio_to_best"] == point.ratio_to_best.ratio
        assert row["ratio_to_best_ci95_high"] == point.ratio_to_best.ci95_high
        assert row["on_front"] == point.on_front


def test_levels_are_the_pairs_of_the_analysis(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, SWEEP, known, n_cycles=4)
    rows = {row["factor"]: row for row in table(folder, "levels").to_pylist()}
    assert rows.keys() == {"n", "max_output_tokens"}
    n = rows["n"]
    assert {n["a"], n["b"]} == {"2", "4"}
    expected = 2.0 if n["a"] == "2" else 0.5
    assert math.isclose(n["ratio"], expected, rel_tol=0.02)
    assert n["ratio_ci95_low"] < n["ratio"] < n["ratio_ci95_high"]
    assert (n["n_contexts"], n["n_points"]) == (2, 4)


def test_what_was_not_measured_is_null(tmp_path: Path) -> None:
    def failing(config: ExperimentConfig, number: int) -> dict[str, Any]:
        if config.n == 4:
            raise ValueError("does not fit")
        return known(config, number)

    folder = make_folder(tmp_path, SWEEP, failing, n_cycles=4)
    rows = table(folder, "points").to_pylist()
    missing = [row for row in rows if row["factor.n"] == "4"]
    assert len(missing) == 2
    for row in missing:
        assert (row["n_runs"], row["n_planned"]) == (0, 4)
        assert {row[name] for name in ("value", "ci95_low", "ratio_to_best")} == {None}
        assert row["energy_per_output_token_j"] is None
    pairs = table(folder, "levels").to_pylist()
    assert {row["factor"] for row in pairs} == {"max_output_tokens"}


def test_a_study_without_results_has_points_and_no_levels(tmp_path: Path) -> None:
    def failing(_: ExperimentConfig, __: int) -> dict[str, Any]:
        raise ValueError("nothing works")

    folder = make_folder(tmp_path, SWEEP, failing, n_cycles=1)
    assert table(folder, "points").column("value").to_pylist() == [None] * 4
    assert table(folder, "levels").num_rows == 0
