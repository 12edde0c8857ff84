"""What the scripts in the environments of the peers share: clock, answers, collected warnings.

Imports only the standard library. Times are seconds of the fake driver.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self

_EPOCH = "LLEM_FAKE_NVML_EPOCH"
Part = Callable[[dict[str, Any]], dict[str, Any]]


def main(parts: Mapping[str, Part]) -> None:
    """Run the part named on the command line with the request in the first line of stdin."""
    request = json.loads(sys.stdin.readline())
    answer(parts[sys.argv[1]](request))


def answer(values: dict[str, Any]) -> None:
    """Print one line of JSON for the parent."""
    print(json.dumps(values), flush=True)


def stay(started_s: float) -> dict[str, Any]:
    """Report to the parent that the meter is running, and wait until the parent closes stdin.

    Args:
        started_s: duration of the start, without imports.
    """
    answer({"started_s": started_s})
    sys.stdin.read()
    return {}


def start_clock(at_s: float = 0.0) -> None:
    """Set the time of the fake to `at_s`; call it before the library of the driver is loaded."""
    os.environ[_EPOCH] = repr(time.monotonic() - at_s)


def now_s() -> float:
    """Return the time of the fake."""
    return time.monotonic() - float(os.environ[_EPOCH])


def wall_s(t_s: float) -> float:
    """Return the wall-clock time, as of `time.time`, that corresponds to a time of the fake."""
    return time.time() + t_s - now_s()


def wait_until(t_s: float) -> None:
    """Sleep until a time of the fake."""
    time.sleep(max(0.0, t_s - now_s()))


def virtual_clock() -> Callable[[float], None]:
    """Return a function that sets the time of the fake; between two calls the time is constant."""
    set_time = ctypes.CDLL("libnvidia-ml.so.1").fake_nvml_set_time
    set_time.argtypes, set_time.restype = [ctypes.c_double], None

    def move(t_s: float) -> None:
        set_time(t_s)

    return move


class Listener(logging.Handler):
    """Collects the Python warnings of a peer, and its log messages from level WARNING."""

    def __init__(self, *loggers: str) -> None:
        """Listen to these loggers and to the root logger."""
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        for name in (None, *loggers):
            logging.getLogger(name).addHandler(self)
        logging.captureWarnings(True)
        warnings.simplefilter("always")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first line of a message."""
        self.messages.append(record.getMessage().partition("\n")[0][:300])


class Play:
    """One window with a scripted fault: sets the clock and records times, warnings and errors."""

    def __init__(self, request: Mapping[str, Any], *loggers: str) -> None:
        """Plan the window.

        Args:
            request: `window`, its start and end, and `lead_s`, the time for the start of the peer.
            loggers: see `Listener`.
        """
        self._planned_s = request["window"]
        self._lead_s = request["lead_s"]
        self._loggers = loggers
        self._error = ""
        self._late_s = 0.0
        self.window = (0.0, 0.0)

    def __enter__(self) -> Self:
        """Set the clock of the fake; its library must not be loaded yet."""
        self._listener = Listener(*self._loggers)
        start_clock(self._planned_s[0] - self._lead_s)
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: errors are caught earlier."""

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Return the result of `action`; None if it raises or an earlier action has raised."""
        if self._error:
            return None
        try:
            return action()
        except Exception as error:  # noqa: BLE001  peers raise any class
            self._error = f"{type(error).__name__}: {error}"[:300]
            return None

    def begin(self, action: Callable[[], Any]) -> None:
        """Run `action` at the planned start; the window starts when it returns."""
        self._late_s = now_s() - self._planned_s[0]
        wait_until(self._planned_s[0])
        self.attempt(action)
        self.window = (now_s(), 0.0)

    def end(self, action: Callable[[], Any]) -> Any:
        """Run `action` at the planned end; the window ends when it is called."""
        wait_until(self._planned_s[1])
        self.window = (self.window[0], now_s())
        return self.attempt(action)

    def answer(self, value_j: float | None) -> dict[str, Any]:
        """Return the outcome for the parent."""
        return {
            "late_s": self._late_s,
            "window": self.window,
            "value_j": value_j,
            "error": self._error,
            "warnings": self._listener.messages,
        }
