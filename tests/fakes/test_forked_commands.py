"""A forked command is like a new process: what it has, how it ends, and when it must not be forked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fakes.forked_commands import ForkedCommands

STATE = """
import json, os, signal, sys, threading, time
print(json.dumps({
    "arguments": sys.argv,
    "path": sys.path,
    "flags": list(sys.flags),
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "of_c": __import__("subprocess").run(
        ["env", "-0"], capture_output=True, text=True, errors="surrogateescape"
    ).stdout,
    "umask": os.umask(0),
    "files": sorted(os.listdir("/proc/self/fd")),
    "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
    "blocked": [str(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    "threads": [threading.active_count(), threading.current_thread() is threading.main_thread()],
    "group": [os.getpgid(0), os.getsid(0)],
    "streams": [
        [s.encoding, s.errors, s.line_buffering, s.isatty(), s.writable() and s.seekable()]
        for s in (sys.stdin, sys.stdout, sys.stderr)
    ],
    "input": sys.stdin.read(),
    "main": [__name__, sys.modules["__main__"].__dict__ is globals()],
    "zone": time.tzname,
}))
"""
ENDS = {
    "0": "print('out')",
    "a code": "import sys; print('out'); sys.exit(7)",
    "a sentence": "import sys; sys.exit('what to do')",
    "an exception": "print('out'); raise ValueError('wrong')",
    "_exit": "import os; print('lost'); os._exit(3)",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "SIGKILL": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "an interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "an abort": "import os; os.abort()",
    "exit handlers": "import atexit; atexit.register(print, 'handler'); print('out')",
    "a thread": "import threading, time\n"
    "def f():\n    time.sleep(0.2); print('late')\nthreading.Thread(target=f).start()",
    "a closed stdout": "import os; print('out'); os.close(1)",
    "a child that writes later": "import os, time; os.fork() or (time.sleep(0.2), print('child'))",
    "much output": "import sys; print('a' * 300_000); print('b' * 300_000, file=sys.stderr)",
    "line ends": r"import sys; sys.stdout.buffer.write(b'a\r\nb\rc\n')",
}


@pytest.fixture(scope="module")
def forked() -> Iterator[ForkedCommands]:
    commands = ForkedCommands()
    yield commands
    commands.close()


def new(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def without_places(text: str) -> str:
    """Return the last line of a text, because the lines of a traceback name files."""
    return "".join(text.splitlines()[-1:])


def test_a_forked_process_has_what_a_new_one_has(forked: ForkedCommands, tmp_path: Path) -> None:
    environment = {**os.environ, "LLEM_TEST_EMPTY": "", "LLEM_TEST_NAME": "ä \udcff\n"}
    del environment["LLEM_PROC"]
    arguments = ["-c", STATE, "--flag", "", "ä \udcff", "x" * 100_000]
    before = os.umask(0o027)
    try:
        expected = new(*arguments, cwd=tmp_path, env=environment)
        found = forked.run(arguments, cwd=tmp_path, env=environment, timeout=60)
    finally:
        os.umask(before)
    assert (found.returncode, found.stderr, found.args) == (0, "", expected.args)
    assert json.loads(found.stdout) == json.loads(expected.stdout)


@pytest.mark.parametrize("program", ENDS.values(), ids=ENDS)
def test_a_forked_process_ends_as_a_new_one(
    forked: ForkedCommands, tmp_path: Path, program: str
) -> None:
    expected = new("-c", program, cwd=tmp_path, env=dict(os.environ))
    found = forked.run(["-c", program], cwd=tmp_path, env=os.environ, timeout=60)
    assert (found.returncode, found.stdout) == (expected.returncode, expected.stdout)
    assert without_places(found.stderr) == without_places(expected.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["study", "plan", "absent.yaml", "--json"],
        ["study", "plan", "study.yaml"],
        ["config", "--json"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_a_forked_command_prints_what_a_new_one_prints(
    forked: ForkedCommands, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "study.yaml").write_text("model: builtin:tiny-llama\nsweep: {n: [1, 2]}\n")
    command = ["-m", "llem_cli", *arguments]
    expected = new(*command, cwd=tmp_path, env=dict(os.environ))
    found = forked.run(command, cwd=tmp_path, env=os.environ, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (
        (expected.returncode, expected.stdout, expected.stderr)
    )
    assert found.stdout + found.stderr


def test_nothing_of_one_process_reaches_the_next(forked: ForkedCommands, tmp_path: Path) -> None:
    change = "import os, sys, json; json.changed = 1; os.environ['A'] = ''; sys.path.append('/a')"
    look = (
        "import os, sys, json; print(hasattr(json, 'changed'), 'A' in os.environ, '/a' in sys.path)"
    )
    forked.run(["-c", change], cwd=tmp_path, env=os.environ, timeout=60)
    found = forked.run(["-c", look], cwd=tmp_path, env=os.environ, timeout=60)
    assert found.stdout == "False False False\n"


@pytest.mark.parametrize(
    ("changes", "can_start"),
    [
        ({"LLEM_CONFIG": "/a.yaml", "LLEM_DEVICES__GPUS": "[]", "NO_COLOR": "1"}, True),
        ({"XDG_CONFIG_HOME": "/a", "COLUMNS": "40", "HF_HUB_OFFLINE": "1"}, True),
        ({"LD_LIBRARY_PATH": "/a"}, False),
        ({"LD_PRELOAD": "/a.so"}, False),
        ({"PYTHONPATH": "/a"}, False),
        ({"PYTHONHASHSEED": "1"}, False),
        ({"LC_ALL": "C"}, False),
        ({"LANG": "C"}, False),
        ({"TZ": "Europe/Berlin"}, False),
        ({"LLEM_POWERCAP": "/a"}, False),  # read while `llem_energy` is imported
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_a_variable_that_counts_only_at_the_start_needs_a_new_process(
    forked: ForkedCommands, changes: dict[str, str], can_start: bool
) -> None:
    assert forked.can_start({**os.environ, **changes}) is can_start


def test_a_missing_variable_counts_as_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLEM_POWERCAP", "/a")
    commands = ForkedCommands()
    try:
        assert commands.can_start(os.environ)
        assert not commands.can_start({k: v for k, v in os.environ.items() if "POWERCAP" not in k})
    finally:
        commands.close()


def test_a_process_is_killed_after_its_time(forked: ForkedCommands, tmp_path: Path) -> None:
    program = "import os, time, pathlib; pathlib.Path('pid').write_text(str(os.getpid()))\n"
    with pytest.raises(subprocess.TimeoutExpired):
        forked.run(["-c", program + "time.sleep(600)"], cwd=tmp_path, env=os.environ, timeout=2)
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()
    assert forked.run(["-c", ""], cwd=tmp_path, env=os.environ, timeout=60).returncode == 0


def test_a_process_that_has_closed_its_output_is_killed_too(
    forked: ForkedCommands, tmp_path: Path
) -> None:
    program = (
        "import os, time, pathlib; pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "os.closerange(0, 3); time.sleep(600)"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        forked.run(["-c", program], cwd=tmp_path, env=os.environ, timeout=2)
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_processes_run_side_by_side(forked: ForkedCommands, tmp_path: Path) -> None:
    """Each waits for a file of the other."""
    program = (
        "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\n"
        "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)\nprint(sys.argv[1])"
    )

    def run(names: tuple[str, str]) -> Any:
        arguments = ["-c", program, *names]
        return forked.run(arguments, cwd=tmp_path, env=os.environ, timeout=60).stdout

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, [("a", "b"), ("b", "a")])) == ["a\n", "b\n"]


def test_a_server_that_has_ended_is_an_error(tmp_path: Path) -> None:
    commands = ForkedCommands()
    commands.close()
    with pytest.raises(OSError, match="descriptor"):
        commands.run(["-c", ""], cwd=tmp_path, env=os.environ, timeout=60)
