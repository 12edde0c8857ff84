"""Hostile environments: real processes with closed streams, odd variables, few descriptors."""

from __future__ import annotations

import random
import shlex
import shutil
import subprocess
import sys

from benchmarks.hostile.folders import finished_study, interrupt
from benchmarks.hostile.place import FaultFound, Kind, Place
from benchmarks.hostile.process import CODES

_TIMEOUT_S = 120.0
_SETTINGS = {
    "no stdin": "exec <&-",
    "no stdout": "exec >&-",
    "no stderr": "exec 2>&-",
    "no streams": "exec <&- >&- 2>&-",
    "full stdout": "exec >/dev/full",
    "full stderr": "exec 2>/dev/full",
    "stdin is a folder": "exec <.",
    "LANG=C": "export LANG=C LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0",
    "an encoding of one byte": "export PYTHONIOENCODING=latin-1",
    "an unknown locale": "export LANG=xx_YY.UTF-9 LC_ALL=xx_YY.UTF-9",
    "TERM=dumb": "export TERM=dumb",
    "no TERM": "unset TERM",
    "an odd TERM": "export TERM=$(printf 'a\\033[2Jb')",
    "no HOME": "unset HOME XDG_CONFIG_HOME XDG_CACHE_HOME LLEM_CACHE",
    "HOME is a file": "touch h; export HOME=$PWD/h; unset XDG_CONFIG_HOME XDG_CACHE_HOME LLEM_CACHE",
    "HOME is read-only": "mkdir h; chmod 555 h; export HOME=$PWD/h; unset XDG_CONFIG_HOME LLEM_CACHE",
    "TMPDIR is missing": "export TMPDIR=/nonexistent",
    "NO_COLOR": "export NO_COLOR=1",
    "FORCE_COLOR": "export FORCE_COLOR=1",
    "COLUMNS=0": "export COLUMNS=0 LINES=0",
    "COLUMNS is text": "export COLUMNS=x",
    "16 descriptors": "ulimit -n 16",
    "10 descriptors": "ulimit -n 10",
    "umask 0": "umask 0",
    "umask 077": "umask 077",
    "umask 777": "umask 777",
    "cwd is deleted": "mkdir gone; cd gone; rmdir ../gone",
    "signals are ignored": "trap '' HUP INT TERM USR1 USR2 PIPE CHLD",
    "no core, small stack": "ulimit -c 0; ulimit -s 1024",
    "an empty PATH": "export PATH=",
    "a session without a terminal": "true",
}
_FORCE = ("FORCE_COLOR", "an odd TERM")
_RESUME = """
import sys
from pathlib import Path
from fakes import measures
from llem_cli import _app
from llem_cli._commands.study.resume import resume
if __name__ == "__main__":
    _app.app = lambda *_, **__: resume(Path(sys.argv[1]), measure=measures.quick)
    _app.main([])
"""
_COMMANDS = ("show", "show --json", "plan", "validate", "config", "schema", "--help", "resume")


def _arguments(name: str, place: Place) -> list[str]:
    folder = str(place.work / "night")
    llem = [sys.executable, "-m", "llem_cli"]
    match name:
        case "show" | "show --json":
            return [*llem, "study", *name.split(), folder]
        case "plan" | "validate":
            return [*llem, "study", name, str(place.work / "night" / "study.yaml")]
        case "resume":
            (place.root / "resume.py").write_text(_RESUME)
            return [sys.executable, str(place.root / "resume.py"), folder]
        case _:
            return [*llem, name]


def use(place: Place, rng: random.Random, index: int) -> int:
    """Run a command in one hostile environment, or in two at once."""
    names = [list(_SETTINGS)[index % len(_SETTINGS)]]
    if rng.random() < 0.3:
        names.append(rng.choice(list(_SETTINGS)))
    name = rng.choice(_COMMANDS)
    folder = place.work / "night"
    shutil.copytree(finished_study(place.root.parent), folder)
    interrupt(folder)
    script = "; ".join(
        [*(_SETTINGS[each] for each in names), "exec " + shlex.join(_arguments(name, place))]
    )
    before = place.snapshot(place.work)
    done = subprocess.run(
        ["sh", "-c", script], cwd=place.work, env=place.environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors="surrogateescape", check=False,
        timeout=_TIMEOUT_S, start_new_session=True,
    )  # fmt: skip
    where = f"{name} with {names}"
    text = done.stdout + done.stderr
    if "Traceback" in text or "error in llem itself" in text or "Exception ignored" in text:
        raise FaultFound(f"{where}: {text[-800:]!r}")
    if done.returncode not in CODES:
        raise FaultFound(f"{where}: exit code {done.returncode}: {text[-800:]!r}")
    if "\x1b" in text and not set(names) & set(_FORCE):
        raise FaultFound(f"{where}: control characters: {text[-300:]!r}")
    place.check(before, place.work)
    return 1


KINDS = (Kind("environment", use, len(_SETTINGS) // 2, 120),)
