"""The effects of factors in two studies, side by side."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from report.study_data.folders import Changes, make_folder

from llem_config import ExperimentConfig
from llem_report import compare

SWEEP = "sweep: {n: [2, 4, 8], max_output_tokens: [4, 8]}\n"


def energy(seed: int, n_exponent: float, long: float = 1.1) -> Changes:
    """Return results whose energy is n to a power, times `long` for long outputs."""
    noise = random.Random(seed)

    def changes(config: ExperimentConfig, _: int) -> dict[str, Any]:
        tokens = long if config.max_output_tokens == 8 else 1.0
        value = config.n**n_exponent * tokens * math.exp(noise.gauss(0, 0.004))
        return {"energy_per_output_token_j": value, "energy_per_device_j": {"GPU-1": 1.0}}

    return changes


def folder(parent: Path, seed: int, n_exponent: float, long: float = 1.1, **other: Any) -> Path:
    parent = parent / f"{seed}"
    parent.mkdir()
    return make_folder(
        parent, other.pop("text", SWEEP), energy(seed, n_exponent, long), n_cycles=4, **other
    )


def test_a_factor_whose_effect_changed_is_told_from_one_that_did_not(tmp_path: Path) -> None:
    base = folder(tmp_path, 1, n_exponent=-0.3)
    new = folder(tmp_path, 2, n_exponent=-0.2)
    n, tokens = compare(base, new).factors
    assert (n.key, tokens.key) == ("n", "max_output_tokens")
    assert (n.changed, tokens.changed) == (True, False)
    assert n.base is not None
    assert n.new is not None
    assert math.isclose(n.base.ratio, 4**0.3, rel_tol=0.02)
    assert math.isclose(n.new.ratio, 4**0.2, rel_tol=0.02)
    assert (n.base_rank, n.new_rank, tokens.new_rank) == ((1, 1), (1, 1), (2, 2))
    assert (n.base_best, n.new_best) == ("8", "8")


def test_an_effect_of_the_same_size_in_the_other_direction_has_changed(tmp_path: Path) -> None:
    base = folder(tmp_path, 1, n_exponent=-0.3)
    new = folder(tmp_path, 2, n_exponent=0.3)
    n, tokens = compare(base, new).factors
    assert (n.base_best, n.new_best, n.changed, tokens.changed) == ("8", "2", True, False)


def test_the_order_is_that_of_the_new_ranking(tmp_path: Path) -> None:
    base = folder(tmp_path, 1, n_exponent=-0.3)
    new = folder(tmp_path, 2, n_exponent=-0.02)
    factors = compare(base, new).factors
    assert [factor.key for factor in factors] == ["max_output_tokens", "n"]
    assert (factors[0].base_rank, factors[0].new_rank) == ((2, 2), (1, 1))


def test_a_folder_with_itself_and_swapped_studies_agree(tmp_path: Path) -> None:
    base = folder(tmp_path, 1, n_exponent=-0.3)
    new = folder(tmp_path, 2, n_exponent=-0.2)
    assert [factor.changed for factor in compare(base, base).factors] == [False, False]
    there = {factor.key: factor for factor in compare(base, new).factors}
    for back in compare(new, base).factors:
        assert (back.base, back.new) == (there[back.key].new, there[back.key].base)
        assert back.changed == there[back.key].changed


def test_with_other_points_a_change_cannot_be_told(tmp_path: Path) -> None:
    base = folder(tmp_path, 1, n_exponent=-0.3)
    fewer = "sweep: {n: [2, 8], max_output_tokens: [4, 8]}\n"
    new = folder(tmp_path, 2, n_exponent=-0.1, text=fewer)
    compared = compare(base, new)
    assert len(compared.unpaired) == 2
    assert [factor.changed for factor in compared.factors] == [None, None]
    assert compared.factors[0].new is not None


def test_without_intervals_a_change_cannot_be_told(tmp_path: Path) -> None:
    base = folder(tmp_path, 1, n_exponent=-0.3)
    order = ", cycle_order: sequential"
    new = folder(tmp_path, 2, n_exponent=-0.1, execution=order)
    assert [factor.changed for factor in compare(base, new).factors] == [None, None]
