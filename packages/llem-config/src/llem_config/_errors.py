"""What can go wrong with a study file, and the root of every error that llem raises on purpose.

LlemError
  ConfigError            here: one or more faults in what a person wrote
  MeasurementError       llem_energy
  StudyError             llem_runner
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class LlemError(Exception):
    """Except this to catch everything that llem raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a study file, at the place where a person must edit it."""

    file: Path | str  # a file, or a label such as "<command line>" where there is none
    line: int  # 1-based, as editors count; 0 where the source has no lines
    column: int  # 1-based; 0 where the source has no lines
    key: str  # as written, e.g. "sweep.pytorch.batch_size[2]"; empty for the file as a whole
    problem: str  # what was expected, what was found

    def __str__(self) -> str:
        """Return `file:line:column: key: problem`, which editors turn into a link."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else f"{self.file}"
        return ": ".join(part for part in (place, self.key, self.problem) if part)


class ConfigError(LlemError):
    """A study, experiment or settings file that cannot be used, with every fault at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
