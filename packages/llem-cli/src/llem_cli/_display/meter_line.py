"""The line of `llem-cli meter` on a terminal while it measures: time, energy so far, and power."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable

from llem_cli._display.console import duration


class LiveLine:
    """Draws one line on stderr every second; without a terminal it draws nothing.

    The cursor is at the start of the line, so that output of a program replaces it.
    """

    def __init__(
        self,
        wanted: bool | None,
        power_w: Callable[[], float | None],
        energy_j: Callable[[], float | None],
        *,
        beside_output: bool,
    ) -> None:
        """Prepare.

        Args:
            wanted: whether the user requests it; None decides by the streams.
            power_w: returns the present power in watts; None if it is not known.
            energy_j: returns the energy so far in joules; None if it is not known.
            beside_output: whether a program prints to our stdout.
        """
        is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        # A line between those that the program prints to the same terminal would spoil them.
        is_alone = not (beside_output and os.isatty(_stdout()))
        self._is_drawn = is_terminal and (is_alone if wanted is None else wanted)
        self._power_w, self._energy_j = power_w, energy_j
        self._since_s = time.monotonic()

    def begin(self) -> None:
        """Count the time from now on."""
        self._since_s = time.monotonic()

    def draw(self) -> None:
        """Draw the line."""
        if self._is_drawn:
            joules, watts = self._energy_j(), self._power_w()
            energy = "energy not known" if joules is None else f"{joules:.0f} J"
            power = "power not known" if watts is None else f"{watts:.4g} W"
            took = duration(time.monotonic() - self._since_s)
            self._write(f"\r\x1b[K{took}, {energy}, {power}\r")

    def clear(self) -> None:
        """Remove the line."""
        if self._is_drawn:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal was closed
            sys.stderr.write(text)
            sys.stderr.flush()


def _stdout() -> int:
    from llem_cli._display.streams import results

    try:
        return results().fileno()
    except (OSError, ValueError):
        return -1
