"""A study folder with runs in every state."""

from __future__ import annotations

from pathlib import Path

import pytest
from report.tables.folders import study_of, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two cycles of three points, of which three runs are completed."""
    return write_folder(tmp_path / "grid", study_of())
