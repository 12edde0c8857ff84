"""Tables for LaTeX: every name stays text, and every row has all cells."""

from __future__ import annotations

import pytest
from report import examples

from llem_report._figures.scales import number
from llem_report._page.latex import effects_tex, latex, points_tex


def test_no_character_of_a_name_is_a_command() -> None:
    assert latex(r"a_b & 50% \input{x} $1$ #~^") == (
        r"a\_b \& 50\% \textbackslash{}input\{x\} \$1\$ \#\textasciitilde{}\textasciicircum{}"
    )


def test_the_space_of_large_numbers_is_one_of_latex() -> None:
    assert latex(number(12345)) == r"12\,345"


@pytest.mark.parametrize("shape", ["flawed", "hostile", "one_cycle", "one_point", "no_energy"])
def test_every_row_has_as_many_cells_as_the_table_has_columns(shape: str) -> None:
    analysis = examples.SHAPES[shape]()
    for table in (effects_tex(analysis), points_tex(analysis)):
        lines = table.splitlines()
        columns = next(line for line in lines if line.startswith("\\begin{tabular}"))
        n_columns = len(columns.removeprefix("\\begin{tabular}{").removesuffix("}"))
        rows = [line for line in lines if line.endswith("\\\\")]
        assert rows
        assert all(row.count(" & ") == n_columns - 1 for row in rows)
        assert "\\toprule" in lines
        assert lines[-1] == "\\end{tabular}"


def test_the_effects_have_ratios_intervals_and_ranks() -> None:
    table = effects_tex(examples.paper())
    first = next(line for line in table.splitlines() if "pytorch.batch" in line)
    assert first.startswith("1 & pytorch.batch\\_size & $\\times$1.50 & 1.49--1.51 & 64 & 1 & ")
