"""A short run of `benchmarks/data_fuzz.py`: the check before a run finds what loading finds.

Covers the reading of arbitrary data sets in CM-19 and CFG-08.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FUZZ = Path(__file__).parents[2] / "benchmarks" / "data_fuzz.py"


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("data_fuzz", FUZZ)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its structs look up their annotations
    spec.loader.exec_module(module)
    return module


def test_two_thousand_broken_data_sets_are_refused_or_read_completely(fuzz: ModuleType) -> None:
    outcomes, wrong = fuzz.failures(20_261_128, range(2000))
    assert not wrong, wrong[0]
    assert outcomes["loaded"] > 200
    assert outcomes["refused"] > 1000


def test_a_case_is_reproducible_from_its_number(fuzz: ModuleType) -> None:
    first = [fuzz.case(1, n) for n in range(50)]
    assert first == [fuzz.case(1, n) for n in range(50)]
    assert len({data.content for data in first}) > 20


def test_a_problem_that_only_loading_finds_is_a_failed_case(
    fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fuzz.Case("s.jsonl", b'{"prompt": "a"}\n{"prompt": ""}\n', 2, None)
    assert fuzz.check(data, tmp_path) == "refused"
    real = fuzz.check_datasets
    monkeypatch.setattr(
        fuzz, "check_datasets", lambda points: real([c.model_copy(update={"n": 1}) for c in points])
    )
    with pytest.raises(AssertionError, match=r"not found before the run: .*row 2"):
        fuzz.check(data, tmp_path)


def test_ten_bad_rows_of_a_parquet_file_that_is_too_short_are_no_failed_case(
    fuzz: ModuleType, tmp_path: Path
) -> None:
    """Its footer has the number of rows, so that two more problems are known."""
    file = tmp_path / "made.parquet"
    pq.write_table(pa.table({"prompt": [""] * 20}), file)
    data = fuzz.Case("s.parquet", file.read_bytes(), 10**20, None)
    assert fuzz.check(data, tmp_path) == "refused"
