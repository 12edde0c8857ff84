"""One factor a column in tables of points; numbers where the terminal is too narrow (CLI-11)."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from llem_cli._display.point_names import by_factor, print_rows

LEVELS = {
    "a": {"precision": "bf16", "pytorch.batch_size": "8", "attention": "sdpa+torch_compile"},
    "b": {"precision": "bf16", "pytorch.batch_size": "1"},
}
LABELS = {
    "a": "precision=bf16 pytorch.attn_implementation=sdpa pytorch.batch_size=8",
    "b": "precision=bf16 pytorch.batch_size=1",
}


def printed(width: int, **options: int) -> list[str]:
    text = io.StringIO()
    rows = [("b", ("1",), ("b-hash", "-")), ("a", ("2",), ("a-hash", "2 s"))]
    console = Console(file=text, width=width)
    print_rows(rows, (("run",), ("hash", "gap")), LEVELS, LABELS, console, **options)
    return text.getvalue().splitlines()


def test_each_factor_has_a_column_without_its_section() -> None:
    lines = printed(80)
    assert lines[1].split() == ["run", "precision", "size", "attention", "hash", "gap"]
    assert lines[2].split() == ["1", "bf16", "1", "-", "b-hash", "-"]
    assert lines[3].split() == ["2", "bf16", "8", "sdpa+torch_compile", "a-hash", "2", "s"]


def test_an_optional_column_goes_before_the_factors_do() -> None:
    lines = printed(50, n_optional=1)
    assert lines[1].split() == ["run", "precision", "size", "attention", "gap"]
    assert max(map(len, lines)) <= 50


def test_points_have_numbers_if_their_factors_do_not_fit() -> None:
    lines = printed(40)
    assert lines[0].split() == ["run", "point", "hash", "gap"]
    assert lines[1].split() == ["1", "2", "b-hash", "-"]
    assert [line.rstrip() for line in lines[3:]] == [
        "points:",
        "  1  precision=bf16",
        "     pytorch.attn_implementation=sdpa",
        "     pytorch.batch_size=8",
        "  2  precision=bf16 pytorch.batch_size=1",
    ]
    assert max(map(len, lines)) <= 40


@pytest.mark.parametrize(
    "levels",
    [
        {},
        {"a": LEVELS["a"]},
        {"a": {}, "b": {}},
        {"a": {"precision": "bf16"}, "b": {"precision": "bf16"}},
    ],
)
def test_labels_stay_where_factors_do_not_tell_points_apart(
    levels: dict[str, dict[str, str]],
) -> None:
    names = by_factor(levels, LABELS)
    assert names.columns == ("point",)
    assert names.cells == {point: (label,) for point, label in LABELS.items()}


def test_sections_stay_where_two_fields_have_the_same_name() -> None:
    levels = {
        "a": {"pytorch.batch_size": "8", "vllm.batch_size": "1"},
        "b": {"pytorch.batch_size": "1", "vllm.batch_size": "1"},
    }
    columns = [name.replace("\n", "") for name in by_factor(levels, LABELS).columns]
    assert columns == ["pytorch.batch_size", "vllm.batch_size"]
