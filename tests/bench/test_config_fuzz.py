"""A short run of `benchmarks/config_fuzz.py`: no traceback, no slow file, no wrong position.

Covers the reading of arbitrary files in CFG-11 to CFG-14.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FUZZ = Path(__file__).parents[2] / "benchmarks" / "config_fuzz.py"


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("config_fuzz", FUZZ)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_thousand_broken_files_load_or_are_refused_with_a_position(fuzz: ModuleType) -> None:
    outcomes, wrong = fuzz.failures(20_261_123, range(2000))
    assert not wrong, wrong[0]
    assert outcomes["valid"] > 50
    assert outcomes["refused"] > 1000


def test_a_case_is_reproducible_from_its_number(fuzz: ModuleType) -> None:
    texts = fuzz.seeds()
    assert len(texts) > 4
    assert [fuzz.case(1, n, texts) for n in range(50)] == [
        fuzz.case(1, n, texts) for n in range(50)
    ]
