"""Stand-ins for `measure` that never return."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from fakes.measures.succeeding import quick
from fakes.results import make_result

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_energy._metering.live_file import LIVE, LiveFile


def hangs(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Never return."""
    time.sleep(600)
    return make_result(config)


def hangs_with_a_live_file(
    config: ExperimentConfig, *, timeseries: Path | None = None, **_: Any
) -> ExperimentResult:
    """Never return, with the file of a real measurement in place."""
    assert timeseries is not None
    file = timeseries.with_name(LIVE)
    LiveFile(file).begin("window")
    print(f"live file: {file.stat().st_size} bytes", flush=True)
    time.sleep(600)
    return make_result(config)


def ignores_sigterm(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Never return, and ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(config.model).with_suffix(".ready").write_text(str(os.getpid()))
    time.sleep(600)
    return make_result(config)


def is_slow_to_stop(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Record a request to stop, and that the process is still alive 1.5 s later."""
    base = Path(config.model)

    def stop(*_: object) -> None:
        base.with_suffix(".stop-requested").touch()
        time.sleep(1.5)
        base.with_suffix(".survived").touch()

    signal.signal(signal.SIGTERM, stop)
    base.with_suffix(".ready").touch()
    time.sleep(600)
    return make_result(config)


def starts_a_process_and_hangs(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Start a process that would outlive this one, then hang."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(config.model).with_suffix(".grandchild").write_text(str(child.pid))
    time.sleep(600)
    return make_result(config)


def interrupts_its_parent(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Send SIGINT to the parent, as Ctrl-C does, then hang."""
    threading.Timer(0.2, lambda: os.kill(os.getppid(), signal.SIGINT)).start()
    time.sleep(600)
    return quick(config, **rest)


def starts_a_process_and_reports_it(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Start a process in the same session, write its pid to `.ready`, and hang."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(config.model).with_suffix(".ready").write_text(str(child.pid))
    time.sleep(600)
    return make_result(config)


def hangs_in_its_window(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Report a stage, then never return."""
    rest["on_stage"]("window")
    time.sleep(600)
    return make_result(config)


def hangs_in_native_code(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Never return from a C function that holds the GIL, and ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.PyDLL(None).sleep(600)
    return make_result(config)


def reports_stages_forever(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Report stages with long names without a pause, and never return."""
    while True:
        rest["on_stage"]("window" * 2000)


def is_slow_to_stop_in_its_window(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Ignore SIGTERM, report a stage, and record that the process is still alive 1.5 s later."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    rest["on_stage"]("window")
    time.sleep(1.5)
    Path(config.model).with_suffix(".survived").touch()
    time.sleep(600)
    return make_result(config)


def works_silently(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Compute forever without any output."""
    while True:
        sum(range(10_000))
