"""Energy counters of a processor in a folder, in the layout of the kernel's powercap files."""

from __future__ import annotations

from pathlib import Path

RANGE_UJ = 262_143_328_850
"""The value at which a counter starts again from zero, in microjoules."""


def add_domain(
    root: Path, folder: str, name: str, energy_uj: int, *, range_uj: int = RANGE_UJ
) -> Path:
    """Add the counter of one domain below `root` and return its file; microjoules."""
    path = root / folder
    path.mkdir()
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path / "energy_uj"
