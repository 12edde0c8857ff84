"""The base class of every error that llem raises on purpose.

LlemError
  ConfigError            llem_config: one or more mistakes in a file, a flag or a variable
  MeasurementError       llem_energy
  StudyError             llem_runner
  ReportError            llem_report
"""

from __future__ import annotations

from llem_config.credentials import struck_out
from llem_config.text import visible


class LlemError(Exception):
    """Base class of every error that llem raises on purpose.

    Its text may be shown and stored: what it quotes from files and libraries has no control
    characters, and no passwords that are known as such.
    """

    def __str__(self) -> str:
        """Return the message, in which each character is seen and no password is."""
        return visible(struck_out(super().__str__()))
