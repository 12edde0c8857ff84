"""A terminal for a real command: what it shows at a given width, and what a person would type."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyte

_ROWS = 600
"""High enough that nothing scrolls out of sight."""
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")


class Shown(NamedTuple):
    """What a command has shown in a terminal, and how it ended."""

    code: int
    sent: bytes
    """What the command has written, with the escape codes."""
    lines: list[str]
    """The final screen; a line that is wider than the terminal has become several."""

    @property
    def text(self) -> str:
        """Return the final screen."""
        return "\n".join(self.lines)

    @property
    def written_lines(self) -> list[str]:
        """Return the lines as they were written, without escape codes, of any width."""
        plain = _ESCAPE.sub(b"", self.sent).decode("utf-8", "replace")
        return [line.rsplit("\r", 1)[-1] for line in plain.replace("\r\n", "\n").split("\n")]

    @property
    def has_escape_codes(self) -> bool:
        """Return whether anything but text was written."""
        return b"\x1b" in self.sent


def shown_by(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    columns: int = 80,
    env: Mapping[str, str] | None = None,
    on_screen: Callable[[str, int], None] = lambda _screen, _terminal: None,
    limit_s: float = 280.0,
) -> Shown:
    """Run a command in a terminal of its own until it ends, and return what it has shown.

    Args:
        command: the program and its arguments.
        cwd: where it runs.
        columns: width of the terminal.
        env: changes of the environment.
        on_screen: called with the screen after each output, and with the descriptor of the
            terminal, to which keys can be written.
        limit_s: the command is killed after this number of seconds.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=cwd,
        env={**_environment(), **(env or {})},
        stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True,
        # The controlling terminal of the session: Ctrl-C in it becomes a signal.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(slave)
    killer = threading.Timer(limit_s, process.kill)
    killer.daemon = True
    killer.start()
    screen = pyte.Screen(columns, _ROWS)
    stream = pyte.ByteStream(screen)
    sent = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # Linux reports the end of a terminal as an error
            break
        if not chunk:
            break
        sent += chunk
        stream.feed(chunk)
        on_screen(_text(screen), master)
    os.close(master)
    killer.cancel()
    return Shown(process.wait(), sent, _text(screen).split("\n"))


def _text(screen: pyte.Screen) -> str:
    return "\n".join(line.rstrip() for line in screen.display).rstrip("\n")


def _environment() -> dict[str, str]:
    """Return the environment of this process, without what would override the terminal."""
    overriding = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "TTY_COMPATIBLE")
    kept = {name: value for name, value in os.environ.items() if name not in overriding}
    return {**kept, "TERM": "xterm-256color", "HF_HUB_OFFLINE": "1"}
