"""What `describe_methods` returns: plain data, to be shown or written as JSON."""

from __future__ import annotations

import msgspec


class MethodRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table of methods."""

    name: str
    values: tuple[str, ...]
    """More than one if the runs differ, each with the number of runs."""


class Methods(msgspec.Struct, frozen=True, kw_only=True):
    """What a study did, from its files alone."""

    study_name: str
    study_design_hash: str
    finding: str
    """What the study found, as a sentence."""
    what: tuple[str, ...]
    """Sentences of the paragraph for a paper: what was measured."""
    on_what: tuple[str, ...]
    """Machine and software."""
    how: tuple[str, ...]
    """Order, warm-up, window, meter."""
    how_sure: tuple[str, ...]
    """Errors and statistics."""
    admissions: tuple[str, ...]
    """What a paper must say beside its figures, a sentence each; empty if there is nothing."""
    rows: tuple[MethodRow, ...]
    """The table."""
    bibliography: str
    """A sentence that cites the study."""

    @property
    def paragraph(self) -> str:
        """Return all sentences as one text."""
        return " ".join((*self.what, *self.on_what, *self.how, *self.how_sure))
