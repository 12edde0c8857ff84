"""The dictionary of columns: each has a meaning, a source, and the unit that its name states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from report.tables.folders import study_of, write_folder

from llem_energy import ExperimentResult, read_result
from llem_report import export_columns, table
from llem_report._tables.columns import unit_of
from llem_report._tables.dictionary import columns_of
from llem_report._tables.run_parts import FIGURES
from llem_report._tables.table_data import KEYS, TableName

NAMES: tuple[TableName, ...] = ("runs", "requests", "points", "levels", "samples")


@pytest.mark.parametrize("name", NAMES)
def test_every_column_has_a_meaning_and_a_source(name: TableName) -> None:
    for column in columns_of(name):
        assert len(column.description) > 10, column.name
        assert not column.description.endswith(":"), column.name
        assert "None" not in column.description, column.name
        assert ".json" in column.source or ".parquet" in column.source, column.name


@pytest.mark.parametrize("name", NAMES)
def test_every_quantity_has_a_unit(name: TableName) -> None:
    without = {
        column.name
        for column in columns_of(name)
        if column.unit is None
        and column.type == "number"
        # Shares and ratios have no unit.
        and not re.search(
            r"share|agreement|_cv|load_average|utilisation|utilization|ratio|\.m[fb]u$",
            column.name,
        )
    }
    assert without <= {
        *("config.decoder.temperature", "config.decoder.top_p", "config.decoder.min_p"),
        *("config.decoder.repetition_penalty", "config.warmup.cv_threshold"),
        *("config.pytorch.length_penalty",),
        *("config.dataset.input_tokens.mean", "config.dataset.input_tokens.sd"),
        *("value", "ci95_low", "ci95_high"),  # their unit is in the column `unit`
    }


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("energy_per_output_token_j", "J/token"),
        ("phase.prefill.energy_per_token_j", "J/token"),
        ("energy_per_prompt_j", "J/prompt"),
        ("energy_total_j", "J"),
        ("tokens_per_second", "tokens/s"),
        ("time_to_first_token_p99_s", "s"),
        ("config.warmup.max_warmup_seconds", "s"),
        ("gpu.0.temperature_c", "°C"),
        ("warmup.temperature_slope_c_per_min", "°C/min"),
        ("device.1.sm_clock_mean_mhz", "MHz"),
        ("peak_memory_bytes", "bytes"),
        ("n_repeats", None),
        ("energy_disagreement", None),
    ],
)
def test_the_unit_is_that_of_the_name(name: str, unit: str | None) -> None:
    assert unit_of(name, "number") == unit


@pytest.mark.parametrize("name", NAMES)
def test_no_column_is_listed_twice_and_the_key_exists(name: TableName) -> None:
    names = [column.name for column in columns_of(name)]
    assert len(names) == len(set(names))
    assert set(KEYS[name]) <= set(names)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_the_columns_of_the_dictionary_in_its_order(
    folder: Path, name: TableName
) -> None:
    listed = export_columns()["tables"][name]["columns"]
    patterns = [
        re.compile(re.escape(column["name"]).replace("NAME", ".+").replace(r"\.N\.", r"\.\d+\."))
        for column in listed
    ]
    position = 0
    for column in table(folder, name).column_names:
        while not patterns[position].fullmatch(column):
            # Only a pattern may match none or several columns.
            position += 1
        assert patterns[position].fullmatch(column)


def test_the_first_columns_are_short_and_the_figures_are_near(folder: Path) -> None:
    names = table(folder).column_names
    assert names[:3] == ["study_name", "study_design_hash", "run_index"]
    factors = [name for name in names if name.startswith("factor.")]
    assert names.index("energy_per_output_token_j") == 11 + len(factors)
    assert names[-1] == "problem"
    first = table(folder).column("study_name").to_pylist()
    assert max(len(cell) for cell in first) <= 100


def test_every_figure_of_a_result_has_a_column(tmp_path: Path) -> None:
    study = study_of()
    folder = write_folder(tmp_path / "grid", study)
    names = set(table(folder).column_names)
    result = read_result(next(folder.glob("0001*/result.json")))
    figures = {
        name
        for name in ExperimentResult.__struct_fields__
        if isinstance(getattr(result, name), int | float) and name != "schema_version"
    }
    assert len(figures) > 20
    assert figures <= names
    stored = Path(__file__).parents[2] / "energy" / "result" / "data" / "result_v3.json"
    assert set(read_result(stored).figures) <= set(FIGURES)
