"""Ctrl-C, SIGTERM, the countdown that Enter skips, and closed streams (CLI-11, STU-06)."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from llem_runner import read_manifest, read_study_result

SCRIPT = """
import sys
from pathlib import Path
from fakes import measures
from llem_cli._commands.study.run import run
if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), output=Path(sys.argv[2]),
                 measure=getattr(measures, sys.argv[3])))
"""
STUDY = """\
model: builtin:tiny-llama
n: 2
pytorch: {{device: cpu}}
execution: {{n_cycles: 2, config_gap_seconds: {gap}, cycle_gap_seconds: {gap}}}
"""


def start(
    tmp_path: Path, measure: str, gap: float, terminal: int | None = None, term: str = "xterm"
) -> subprocess.Popen[bytes]:
    (tmp_path / "study.yaml").write_text(STUDY.format(gap=gap))
    (tmp_path / "script.py").write_text(SCRIPT)
    stream = subprocess.PIPE if terminal is None else terminal
    return subprocess.Popen(
        [sys.executable, "script.py", "study.yaml", "out", measure],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TERM": term},
        stdin=subprocess.DEVNULL if terminal is None else terminal,
        stdout=stream,
        stderr=stream,
        start_new_session=True,
        # The controlling terminal of the session: only its foreground process may read from it.
        preexec_fn=None if terminal is None else lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )


def wait_for_status(tmp_path: Path, status: str) -> Path:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for manifest in (tmp_path / "out").glob("*/manifest.json"):
            if any(e.status == status for e in read_manifest(manifest.parent).entries):
                return manifest.parent
        time.sleep(0.05)
    raise AssertionError(f"no run became {status}")


@pytest.mark.parametrize(
    "number",
    [
        *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2),
        signal.SIGXCPU,  # the kernel and batch systems, at a limit of processor time
    ],
)
def test_a_signal_that_ends_programs_interrupts_the_study_with_exit_code_130(
    tmp_path: Path, number: int
) -> None:
    process = start(tmp_path, "hangs", 0)
    folder = wait_for_status(tmp_path, "running")
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    last = errors.decode().splitlines()[-1]
    assert last == f"continue with `llem-cli study resume {folder.relative_to(tmp_path)}`"
    assert b"Traceback" not in errors
    manifest = read_manifest(folder)
    assert manifest.status == "interrupted"
    assert [entry.status for entry in manifest.entries] == ["interrupted", "pending"]


def test_a_closed_terminal_interrupts_the_study_and_leaves_no_process(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = start(tmp_path, "hangs", 0, terminal=slave)
    os.close(slave)
    folder = wait_for_status(tmp_path, "running")
    os.close(master)  # the kernel sends SIGHUP to the session of this terminal
    assert process.wait(timeout=30) == 130
    manifest = read_manifest(folder)
    assert manifest.status == "interrupted"
    assert [entry.status for entry in manifest.entries] == ["interrupted", "pending"]
    assert read_study_result(folder).status == "interrupted"


def test_a_study_continues_under_nohup_when_its_terminal_closes(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start(tmp_path, "takes_a_second", 0)
    finally:
        signal.signal(signal.SIGHUP, before)
    folder = wait_for_status(tmp_path, "running")
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert read_manifest(folder).status == "completed"


def test_ctrl_c_during_the_imports_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "cyclopts.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-c", "from llem_cli import main; main()"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_ctrl_c_during_a_gap_ends_the_gap_immediately(tmp_path: Path) -> None:
    process = start(tmp_path, "quick", 300)
    folder = wait_for_status(tmp_path, "completed")
    time.sleep(0.5)
    command = [sys.executable, "-m", "llem_cli", "study", "show", str(folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "no run in progress: in a gap, or waiting for a GPU" in shown
    command.append("--json")
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    state = json.loads(shown)
    assert (state["status"], state["running"], state["result"]) == ("running", True, None)
    assert state["left_s"] > 0
    assert state["manifest"]["totals"]["completed"] == 1
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert [e.status for e in read_manifest(folder).entries] == ["completed", "pending"]


def test_a_terminal_shows_a_countdown_and_enter_skips_the_gap(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = start(tmp_path, "quick", 300, terminal=slave)
    os.close(slave)
    output = b""
    deadline = time.monotonic() + 240
    skipped = False
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([master], [], [], 0.2)[0]:
            try:
                output += os.read(master, 65536)
            except OSError:
                break
        # The first frame states whole minutes (300 s); Enter may end the gap before the second.
        if b"Enter skips it" in output and b"s left" in output and not skipped:
            os.write(master, b"\n")
            skipped = True
    os.close(master)
    process.wait(timeout=60)
    assert skipped, output
    assert process.returncode == 0
    assert b"gap skipped" in output
    assert b"\x1b[" in output  # a terminal gets a live status


def test_a_study_continues_when_its_output_is_closed(tmp_path: Path) -> None:
    process = start(tmp_path, "takes_a_second", 0)
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.close()  # `2>&1 | head -1`, or a lost connection
    assert process.stdout is not None
    process.stdout.close()
    process.wait(timeout=60)
    (folder,) = (tmp_path / "out").iterdir()
    assert read_manifest(folder).status == "completed"


def test_results_reach_stdout_after_stderr_was_closed(tmp_path: Path) -> None:
    process = start(tmp_path, "takes_a_second", 0)
    assert process.stderr is not None
    assert process.stdout is not None
    process.stderr.readline()
    process.stderr.close()
    results = process.stdout.read()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert b"2 of 2 runs completed" in results


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = start(tmp_path, "quick", 0, terminal=slave, term="dumb")
    os.close(slave)
    output = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # Linux reports the closed terminal as an error
            break
        if not chunk:
            break
        output += chunk
    os.close(master)
    assert process.wait(timeout=60) == 0
    assert b"run 1 (cycle 1): " in output
    assert b"2 of 2 runs completed" in output
    assert b"\x1b" not in output
