"""Broken study files, data sets and models, by the fuzzers of this folder."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from benchmarks import config_fuzz, data_fuzz, model_fuzz
from benchmarks.hostile.place import FaultFound, Kind, Place

Failures = Callable[[int, range], tuple[Counter[str], list[str]]]


def _fuzz(failures: Failures, n_each: int) -> Callable[[Place, random.Random, int], int]:
    def run(place: Place, rng: random.Random, index: int) -> int:
        del place
        outcomes, wrong = failures(rng.randrange(10**6), range(index, index + n_each))
        if wrong:
            raise FaultFound(wrong[0])
        return outcomes.total()

    return run


KINDS = (
    Kind("study file", _fuzz(config_fuzz.failures, 50), 10, 400),
    Kind("data set", _fuzz(data_fuzz.failures, 50), 10, 200),
    Kind("model folder", _fuzz(model_fuzz.failures, 5), 2, 60),
)
