"""Which factors of a study can be compared: dropped, merged, nested, and found from fields."""

from __future__ import annotations

from typing import Any

import pytest

from llem_config import ExperimentConfig, canonical
from llem_report._study_data.field_columns import columns_of_fields
from llem_report._study_data.level_columns import Column, Factors, Levels, comparable_factors
from llem_report._study_data.study_data import StudyFactor


def factors_of(*columns: Column) -> Factors:
    return comparable_factors(columns, len(columns[0].levels))


def column(key: str, labels: tuple[str, ...], levels: Levels, *, numeric: bool = False) -> Column:
    return Column(key, labels, numeric, levels)


def levels_of(factors: Factors, key: str) -> list[str | None]:
    """Return the label of a factor at each point."""
    position = [factor.key for factor in factors.factors].index(key)
    labels = factors.factors[position].levels
    levels = [row[position] for row in factors.levels]
    return [None if level is None else labels[level] for level in levels]


def fields_of(*points: dict[str, Any]) -> Factors:
    """Return the factors of a list of points."""
    configs = [ExperimentConfig.model_validate({"model": "a/b", **point}) for point in points]
    return comparable_factors(columns_of_fields([canonical(c) for c in configs]), len(configs))


def test_levels_that_no_point_has_are_left_out_and_numbers_ascend() -> None:
    factors = factors_of(
        column("size", ("10", "9", "8"), (0, 2, 0, 2), numeric=True),
        column("kind", ("c", "b", "a"), (2, 2, 0, 0)),
    )
    assert factors.factors == (
        StudyFactor(key="size", levels=("8", "10"), numeric=True),
        StudyFactor(key="kind", levels=("c", "a"), numeric=False),
    )
    assert factors.levels == ((1, 1), (0, 1), (1, 0), (0, 0))


def test_a_factor_with_one_level_left_is_dropped_and_named() -> None:
    factors = factors_of(
        column("a", ("x", "y"), (0, 1)),
        column("b", ("x", "y"), (1, 1)),
        column("c", ("x",), (None, None)),
    )
    assert [factor.key for factor in factors.factors] == ["a"]
    assert [(each.key, each.reason) for each in factors.dropped] == [
        ("b", "b has only one level left, y"),
        ("c", "c has no level"),
    ]


def test_seeds_are_noise_and_no_factor() -> None:
    factors = factors_of(
        column("random_seed", ("1", "2"), (0, 1, 0, 1), numeric=True),
        column("a", ("x", "y"), (0, 0, 1, 1)),
    )
    assert [factor.key for factor in factors.factors] == ["a"]
    assert factors.dropped[0].reason.startswith("random_seed is no choice")


def test_factors_that_determine_each_other_are_one_under_both_names() -> None:
    factors = factors_of(
        column("pytorch.batch_size", ("1", "8"), (0, 1, 0, 1), numeric=True),
        column("precision", ("bf16", "fp32"), (1, 0, 1, 0)),
        column("pytorch.torch_compile", ("true", "false"), (0, 1, 0, 1)),
        column("n", ("1", "2"), (0, 0, 1, 1), numeric=True),
    )
    merged, n = factors.factors
    assert merged.key == "pytorch.batch_size+precision+pytorch.torch_compile"
    assert merged.levels == (
        "batch_size=1+fp32+torch_compile",
        "batch_size=8+bf16+no_torch_compile",
    )
    assert (merged.numeric, n.key, n.numeric) == (False, "n", True)
    assert factors.levels == ((0, 0), (1, 0), (0, 1), (1, 1))


def test_a_factor_that_another_one_determines_is_kept() -> None:
    factors = factors_of(
        column("model", ("a", "b", "c"), (0, 1, 2)), column("weights", ("r", "p"), (0, 1, 1))
    )
    assert [factor.key for factor in factors.factors] == ["model", "weights"]


def test_a_factor_is_nested_in_those_at_whose_levels_it_exists_only_partly() -> None:
    factors = factors_of(
        column("backend", ("p", "v"), (0, 0, 0, 1, 1)),
        column("compile", ("yes", "no"), (0, 0, 1, None, None)),
        column("mode", ("fast", "slow"), (0, 1, None, None, None)),
        column("size", ("8", "16"), (None, None, None, 0, 1), numeric=True),
    )
    assert {factor.key: factor.nested_in for factor in factors.factors} == {
        "backend": (),
        "compile": ("backend",),
        "mode": ("backend", "compile"),
        "size": ("backend",),
    }


def test_every_field_that_differs_is_a_factor() -> None:
    factors = fields_of(
        {"n": 1, "precision": "fp32"}, {"n": 1, "precision": "bf16"},
        {"n": 2, "precision": "fp32"},
    )  # fmt: skip
    assert [(factor.key, factor.levels) for factor in factors.factors] == [
        ("n", ("1", "2")),
        ("precision", ("fp32", "bf16")),
    ]


@pytest.mark.parametrize(
    ("points", "key", "levels"),
    [
        ([{"lora": {"adapter": "x"}}, {}], "lora.adapter+lora.merge_weights",
         ["x+no_merge_weights", "adapter=default+merge_weights=default"]),
        ([{"pytorch": {"torch_compile": True}}, {}], "pytorch.torch_compile", ["true", "default"]),
        ([{"pytorch": {"batch_size": 8}}, {"pytorch": {"batch_size": 16}}, {}],
         "pytorch.batch_size", ["8", "16", "default"]),
        ([{"energy": {"phases": ["prefill", "decode"]}}, {"energy": {"phases": ["decode"]}}],
         "energy.phases", ["prefill+decode", "decode"]),
    ],
)  # fmt: skip
def test_a_field_that_a_point_leaves_to_the_library_has_a_level_too(
    points: list[dict[str, Any]], key: str, levels: list[str]
) -> None:
    factors = fields_of(*points)
    assert [factor.key for factor in factors.factors] == [key]
    assert sorted(map(str, levels_of(factors, key))) == sorted(levels)


def test_fields_of_a_backend_exist_only_there() -> None:
    factors = fields_of(
        {"backend": "pytorch", "pytorch": {"batch_size": 1}},
        {"backend": "pytorch", "pytorch": {"batch_size": 8}},
        {"backend": "vllm", "vllm": {"block_size": 16}},
    )
    assert [(factor.key, factor.nested_in) for factor in factors.factors] == [
        ("backend", ()),
        ("pytorch.batch_size", ("backend",)),
    ]
    assert levels_of(factors, "pytorch.batch_size") == ["1", "8", None]


def test_fields_of_sampling_do_not_exist_with_greedy_decoding() -> None:
    factors = fields_of(
        {"decoder": {"temperature": 0.0}},
        {"decoder": {"temperature": 0.7, "top_k": 5}},
        {"decoder": {"temperature": 0.7}},
    )
    assert levels_of(factors, "decoder.top_k") == [None, "5", "default"]
    assert [factor.key for factor in factors.factors] == ["decoder.temperature", "decoder.top_k"]


def test_weights_that_follow_from_the_model_are_no_factor() -> None:
    factors = fields_of({"model": "builtin:tiny-llama"}, {"model": "c/d"}, {"model": "e/f"})
    assert [factor.key for factor in factors.factors] == ["model"]


def test_a_point_of_which_nothing_is_known_has_no_levels() -> None:
    columns = columns_of_fields([{"n": 1}, {"n": 2}, {}])
    assert comparable_factors(columns, 3).levels == ((0,), (1,), (None,))


def test_one_point_has_no_factors() -> None:
    factors = fields_of({"n": 1})
    assert (factors.factors, factors.levels) == ((), ((),))
