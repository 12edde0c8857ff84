"""Fixtures of the tests that count the processes of runs."""

from __future__ import annotations

import pytest
from fakes.processes import forget_children


@pytest.fixture
def own_children() -> None:
    """Let `n_children` count only processes of this test."""
    forget_children()
