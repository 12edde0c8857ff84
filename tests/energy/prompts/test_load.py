"""Prompts from files, and the errors for bad files (CM-19, CFG-08)."""

from __future__ import annotations

import csv
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from energy.parts import experiment

from llem_config import DatasetConfig
from llem_energy import DatasetError, measure
from llem_energy._prompts.load import fingerprint, load_prompts, read_prompts
from llem_energy._prompts.synthetic import longest_synthetic

TEXTS = ["first, with a comma", 'second "quoted"', "third\nover two lines", "vierte: Überraschung"]


def write(path: Path, column: str, texts: list[str]) -> DatasetConfig:
    rows = [{"id": str(i), column: text} for i, text in enumerate(texts)]
    match path.suffix:
        case ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", "utf-8")
        case ".csv":
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, ["id", column])
                writer.writeheader()
                writer.writerows(rows)
        case _:
            pq.write_table(pa.Table.from_pylist(rows), path)
    return DatasetConfig(source=str(path))


formats = pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])


@formats
@pytest.mark.parametrize("column", ["prompt", "text", "question"])
def test_the_prompt_column_is_found_by_its_name(tmp_path: Path, suffix: str, column: str) -> None:
    dataset = write(tmp_path / f"prompts{suffix}", column, TEXTS)
    assert read_prompts(dataset, 4) == tuple(TEXTS)
    assert read_prompts(dataset, 2) == tuple(TEXTS[:2])


@formats
def test_a_named_column_is_used(tmp_path: Path, suffix: str) -> None:
    dataset = write(tmp_path / f"prompts{suffix}", "my own", TEXTS)
    named = dataset.model_copy(update={"column": "my own"})
    assert read_prompts(named, 4) == tuple(TEXTS)
    with pytest.raises(DatasetError, match=r"found 'id', 'my own'; set `dataset\.column`"):
        read_prompts(dataset, 4)
    with pytest.raises(DatasetError, match="expected a column 'other', found 'id', 'my own'"):
        read_prompts(dataset.model_copy(update={"column": "other"}), 4)


@formats
def test_too_few_rows_are_an_error_with_both_numbers(tmp_path: Path, suffix: str) -> None:
    dataset = write(tmp_path / f"prompts{suffix}", "prompt", TEXTS)
    with pytest.raises(DatasetError, match="at least n = 5 prompts, found 4"):
        read_prompts(dataset, 5)


@formats
def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"absent{suffix}"
    with pytest.raises(DatasetError, match=rf"absent\{suffix}: .*o such file.*; correct the path$"):
        read_prompts(DatasetConfig(source=str(path)), 1)


def test_a_source_that_is_neither_file_nor_folder_nor_hub_id_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected a file, a folder or a hub id"):
        read_prompts(DatasetConfig(source=str(tmp_path / "absent")), 1)


@pytest.mark.parametrize("option", [{"subset": "a"}, {"split": "test"}])
def test_subset_and_split_of_a_file_are_refused(tmp_path: Path, option: dict[str, str]) -> None:
    dataset = write(tmp_path / "prompts.jsonl", "prompt", TEXTS)
    with pytest.raises(DatasetError, match="no subset and no split"):
        read_prompts(dataset.model_copy(update=option), 1)


def test_synthetic_prompts_have_the_exact_length_and_follow_the_seed() -> None:
    config = experiment(n=5, max_input_tokens=17)
    prompts = load_prompts(config, range(8, 100))
    assert [len(prompt) for prompt in prompts] == [17] * 5
    assert all(token in range(8, 100) for prompt in prompts for token in prompt)
    assert load_prompts(config, range(8, 100)) == prompts
    other = load_prompts(config.model_copy(update={"random_seed": 7}), range(8, 100))
    assert fingerprint(other) != fingerprint(prompts)


def lengths(seed: int = 1, **distribution: Any) -> list[int]:
    dataset = {"input_tokens": distribution}
    config = experiment(n=4000, max_input_tokens=64, dataset=dataset, random_seed=seed)
    drawn = [len(prompt) for prompt in load_prompts(config, range(8, 20))]
    assert max(drawn) == longest_synthetic(config)
    return drawn


def test_uniform_lengths_include_both_ends() -> None:
    drawn = lengths(distribution="uniform", min=10, max=29)
    assert set(drawn) == set(range(10, 30))
    assert statistics.fmean(drawn) == pytest.approx(19.5, abs=0.4)
    assert max(lengths(distribution="uniform")) == 64  # max_input_tokens, because no max is given


def test_lognormal_lengths_have_the_requested_mean_and_deviation() -> None:
    drawn = lengths(distribution="lognormal", mean=20.0, sd=5.0)
    assert statistics.fmean(drawn) == pytest.approx(20, abs=0.4)
    assert statistics.stdev(drawn) == pytest.approx(5, abs=0.4)
    logarithms = [math.log(n) for n in drawn]
    assert statistics.fmean(logarithms) == pytest.approx(statistics.median(logarithms), abs=0.03)
    limited = lengths(distribution="lognormal", mean=20.0, sd=5.0, min=18, max=22)
    assert (min(limited), max(limited)) == (18, 22)


def test_random_lengths_follow_the_seed_and_are_counted_exactly() -> None:
    uniform: dict[str, Any] = {"distribution": "uniform", "min": 2, "max": 9}
    assert lengths(**uniform) == lengths(**uniform) != lengths(seed=2, **uniform)
    config = experiment(n=6, max_input_tokens=9, dataset={"input_tokens": uniform})
    result = measure(config)
    drawn = [len(prompt) for prompt in load_prompts(config, range(8, 100))]
    assert len(set(drawn)) > 1
    assert result.input_tokens == result.n_repeats * sum(drawn)
    assert result.n_truncated_prompts == 0


def test_lengths_whose_logarithm_overflows_are_cut_to_the_limits() -> None:
    options = {"distribution": "lognormal", "mean": 1e-300, "sd": 1e6}
    config = experiment(n=3, max_input_tokens=9, dataset={"input_tokens": options})
    assert [len(prompt) for prompt in load_prompts(config, range(8, 20))] == [9, 9, 9]


@pytest.mark.parametrize("n", [10**20, 10**400, 10**9])
@pytest.mark.parametrize("options", [None, {"distribution": "uniform", "min": 2}])
def test_too_many_synthetic_prompts_are_refused_before_they_are_drawn(
    n: int, options: dict[str, Any] | None
) -> None:
    config = experiment(max_input_tokens=10).model_copy(update={"n": n})
    dataset = DatasetConfig.model_validate({"input_tokens": options})
    config = config.model_copy(update={"dataset": dataset})
    with pytest.raises(DatasetError, match=r"1,000,000,000 synthetic tokens.*; lower `n`"):
        load_prompts(config, range(8, 20))
    assert longest_synthetic(config) == 10


def test_the_fingerprint_depends_on_content_and_order() -> None:
    assert fingerprint(["a", "b"]) == fingerprint(["a", "b"])
    assert len({fingerprint(p) for p in (["a", "b"], ["b", "a"], ["ab"], ["a"])}) == 4
