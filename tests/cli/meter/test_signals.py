"""Signals reach the measured command, and what was measured is printed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from cli.meter.conftest import Start, wait_for_file

COUNTS_SIGNALS = """
import signal, sys, time
received = []
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
    signal.signal(getattr(signal, name), lambda number, _: received.append(number))
print("ready", file=open("ready", "w"), flush=True)
while not received:
    time.sleep(0.01)
time.sleep(0.3)
print(received, file=open("received", "w"), flush=True)
sys.exit(9)
"""
LASTS = "echo ready > ready; exec sleep 600"


def become_foreground() -> None:
    """Make the terminal on stdin that of this session, as a shell does."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def output_of(master: int, process: subprocess.Popen[bytes], until: bytes | None = None) -> bytes:
    """Return what a process prints to a terminal, to its end or until a text is there."""
    output, deadline_s = b"", time.monotonic() + 120
    while time.monotonic() < deadline_s and (until is None or until not in output):
        if not select.select([master], [], [], 0.1)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            chunk = os.read(master, 65536)
        except OSError:  # Linux reports the closed terminal as an error
            break
        output += chunk
    return output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_the_command_once_and_its_exit_code_is_passed_on(
    start: Start, tmp_path: Path, number: int
) -> None:
    process = start("--", sys.executable, "-c", COUNTS_SIGNALS)
    wait_for_file(tmp_path / "ready")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert wait_for_file(tmp_path / "received") == f"[{int(number)}]\n"
    assert process.returncode == 9
    assert errors.startswith(b"energy")
    assert b"Traceback" not in errors


def test_ctrl_c_on_a_terminal_reaches_the_command_once_and_the_energy_is_printed(
    start: Start, tmp_path: Path
) -> None:
    master, slave = pty.openpty()
    process = start(
        "--", sys.executable, "-c", COUNTS_SIGNALS,
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=become_foreground,
    )  # fmt: skip
    os.close(slave)
    wait_for_file(tmp_path / "ready")
    os.write(master, b"\x03")
    output = output_of(master, process)
    os.close(master)
    assert process.wait(timeout=60) == 9
    assert wait_for_file(tmp_path / "received") == f"[{int(signal.SIGINT)}]\n"
    assert b"energy" in output
    assert b"\x1b" not in output  # the command prints to this terminal, so there is no live line


def test_a_command_without_a_handler_ends_with_the_code_of_the_signal(
    start: Start, tmp_path: Path
) -> None:
    process = start("--", "sh", "-c", LASTS)
    wait_for_file(tmp_path / "ready")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert errors.startswith(b"energy")


def test_a_signal_ends_a_span_and_what_was_measured_is_printed(start: Start) -> None:
    process = start("--for", "600s", "--output", "report.json")
    children = Path(f"/proc/{process.pid}/status")
    deadline_s = time.monotonic() + 60
    # Once the signal is blocked, it can only end the measurement.
    while not _blocks(children, signal.SIGINT) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert out.startswith(b"energy")


def _blocks(status: Path, number: int) -> bool:
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("SigBlk:")]
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_a_signal_stops_a_series_after_the_run_in_progress(start: Start, tmp_path: Path) -> None:
    process = start("--runs", "50", "--", sys.executable, "-c", COUNTS_SIGNALS)
    wait_for_file(tmp_path / "ready")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 9
    assert b"stopped early: signal 15" in errors


def test_the_exit_code_is_known_where_the_end_of_children_is_ignored(start: Start) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        process = start("--", "sh", "-c", "exit 5")
    finally:
        signal.signal(signal.SIGCHLD, before)
    process.communicate(timeout=60)
    assert process.returncode == 5


def test_under_nohup_the_command_continues_when_its_terminal_closes(
    start: Start, tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start("--", "sh", "-c", "echo ready > ready; sleep 1; exit 4")
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for_file(tmp_path / "ready")
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 4


def test_a_terminal_shows_energy_and_power_while_some_seconds_are_measured(start: Start) -> None:
    master, slave = pty.openpty()
    process = start("--for", "600s", stdin=slave, stderr=slave)
    os.close(slave)
    output = output_of(master, process, until=b"3 s, ")
    output += output_of(master, process, until=b" W")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    os.close(master)
    assert b"\r\x1b[K" in output
    assert any(f"{watts} W".encode() in output for watts in (150, 250, 400))
    shown_j = [float(number) for number in re.findall(rb" s, (\d+) J, ", output)]
    assert len(shown_j) >= 2 and shown_j == sorted(shown_j)
    # 295 W on average, and at least 150 W.
    assert shown_j[0] > 100 and shown_j[-1] > shown_j[0] + 150


def test_a_command_continues_if_its_meter_is_killed(start: Start, tmp_path: Path) -> None:
    # As under `time` and `perf stat`: hours of work must not be lost with their meter.
    process = start("--", "sh", "-c", "echo $$ > ready; sleep 1; echo done > done")
    pid = int(wait_for_file(tmp_path / "ready"))
    process.kill()
    process.communicate(timeout=60)
    os.kill(pid, 0)  # raises if the command has ended too
    assert wait_for_file(tmp_path / "done") == "done\n"


def test_ctrl_c_before_the_command_starts_starts_nothing(start: Start, tmp_path: Path) -> None:
    process = start("--", "touch", "started")
    status = Path(f"/proc/{process.pid}/status")
    while not _blocks(status, signal.SIGINT):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if not (tmp_path / "started").exists():  # else the machine was faster than this test
        assert process.returncode == 130
        assert errors == b"interrupted by signal 2 before the command started\n"
