"""The PyTorch backend passes the checks that llem ships for every backend."""

from __future__ import annotations

from typing import Any

import pytest
from energy.parts import experiment

from llem_energy.testing import BACKEND_CHECKS

CONFIGS: dict[str, dict[str, Any]] = {
    "padded batches": {},
    "a static cache, sorted": {
        "pytorch": {"cache_implementation": "static", "batching": "sorted"},
    },
    "drafts, sampled": {
        "decoder": {"temperature": 0.8},
        "pytorch": {"batch_size": 1, "prompt_lookup_num_tokens": 2},
    },
}


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
def test_the_pytorch_backend_passes_every_check(changes: dict[str, Any], check: Any) -> None:
    check(experiment(**changes))
