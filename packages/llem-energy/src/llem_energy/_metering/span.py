"""What the figures of a window need to know about when it was open."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Span(Protocol):
    """A window on the clock of the samples, with the idle times next to it."""

    @property
    def start_s(self) -> float:
        """When it was opened."""

    @property
    def end_s(self) -> float:
        """When it was closed."""

    @property
    def guard_s(self) -> float:
        """The shorter of the idle times before and after; 0 if the device may have been busy."""

    @property
    def after_s(self) -> float:
        """The idle time after the end; 0 if it is not known."""


class WindowSpan(msgspec.Struct, frozen=True):
    """When a window was open, on the clock of the samples."""

    start_s: float
    """When it was opened, in seconds."""
    end_s: float
    """When it was closed, in seconds."""
    guard_s: float = 0.0
    """The shorter of the idle times before and after; 0 if the device may have been busy."""
    after_s: float = 0.0
    """The idle time after the end."""
