"""What the scripts inside the peers' environments share: a clock, a way to answer, open ears.

Imports the standard library only. Times are seconds of the fake driver.
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
    """Run the part that the command line names on the request in the first line of stdin."""
    request = json.loads(sys.stdin.readline())
    say(parts[sys.argv[1]](request))


def say(answer: dict[str, Any]) -> None:
    """Print one line of JSON for the parent."""
    print(json.dumps(answer), flush=True)


def stay(started_s: float) -> dict[str, Any]:
    """Tell the parent that all is running, and do nothing until it closes stdin.

    Args:
        started_s: how long the start took, imports left out.
    """
    say({"started_s": started_s})
    sys.stdin.read()
    return {}


def start_clock(at_s: float = 0.0) -> None:
    """Let it be `at_s` of the fake now; before anything has opened the driver's library."""
    os.environ[_EPOCH] = repr(time.monotonic() - at_s)


def now_s() -> float:
    """Return the time of the fake."""
    return time.monotonic() - float(os.environ[_EPOCH])


def wall_s(t_s: float) -> float:
    """Return the wall-clock time, as `time.time` tells it, of a time of the fake."""
    return time.time() + t_s - now_s()


def wait_until(t_s: float) -> None:
    """Sleep until a time of the fake."""
    time.sleep(max(0.0, t_s - now_s()))


def virtual_clock() -> Callable[[float], None]:
    """Return the function that sets the time of the fake, which then stands still in between."""
    set_time = ctypes.CDLL("libnvidia-ml.so.1").fake_nvml_set_time
    set_time.argtypes, set_time.restype = [ctypes.c_double], None

    def move(t_s: float) -> None:
        set_time(t_s)

    return move


class Listener(logging.Handler):
    """Collects what a peer logs as a warning or worse, and what it warns of."""

    def __init__(self, *loggers: str) -> None:
        """Listen to these loggers and to the root."""
        super().__init__(logging.WARNING)
        self.heard: list[str] = []
        for name in (None, *loggers):
            logging.getLogger(name).addHandler(self)
        logging.captureWarnings(True)
        warnings.simplefilter("always")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first line of a message."""
        self.heard.append(record.getMessage().partition("\n")[0][:300])


class Play:
    """One window of a scripted fault: sets the clock, keeps the times, hears and catches."""

    def __init__(self, request: Mapping[str, Any], *loggers: str) -> None:
        """Plan the window.

        Args:
            request: `window`, its begin and end, and `lead_s`, the time that the peer has to start.
            loggers: see `Listener`.
        """
        self._planned_s = request["window"]
        self._lead_s = request["lead_s"]
        self._loggers = loggers
        self._error = ""
        self._late_s = 0.0
        self.window = (0.0, 0.0)

    def __enter__(self) -> Self:
        """Set the clock of the fake, which nothing may have opened before."""
        self._listener = Listener(*self._loggers)
        start_clock(self._planned_s[0] - self._lead_s)
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: all has been caught."""

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Return what `action` returns; None if it raises, or if anything has raised before."""
        if self._error:
            return None
        try:
            return action()
        except Exception as error:  # noqa: BLE001  the peer's own classes are what is asked for
            self._error = f"{type(error).__name__}: {error}"[:300]
            return None

    def begin(self, action: Callable[[], Any]) -> None:
        """Do `action` at the planned begin; the window begins when it returns."""
        self._late_s = now_s() - self._planned_s[0]
        wait_until(self._planned_s[0])
        self.attempt(action)
        self.window = (now_s(), 0.0)

    def end(self, action: Callable[[], Any]) -> Any:
        """Do `action` at the planned end; the window ends when it is called."""
        wait_until(self._planned_s[1])
        self.window = (self.window[0], now_s())
        return self.attempt(action)

    def answer(self, value_j: float | None) -> dict[str, Any]:
        """Return what happened, for the parent."""
        return {
            "late_s": self._late_s,
            "window": self.window,
            "value_j": value_j,
            "error": self._error,
            "heard": self._listener.heard,
        }
