"""A fixture for the tests of the fake driver."""

from pathlib import Path

import pytest
from fakes.nvml_probe import Rig


@pytest.fixture
def rig(library: Path, tmp_path: Path) -> Rig:
    """Return a rig with a new trace file."""
    return Rig(library, tmp_path / "gpus.trace")
