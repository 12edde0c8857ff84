"""The completion of bash, zsh and fish, by the shells themselves: commands, options, choices, files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.terminal import shown_by

from llem_cli._commands.completion_script import completion_script

LINES = {
    "llem-cli stu": "study",
    "llem-cli study resu": "resume",
    "llem-cli study run --time-l": "--time-limit",
    "llem-cli study run --order seq": "sequential",
    "llem-cli study run quic": "quickstart.yaml",
    "llem study val": "validate",
}
"""What a person types, and to what Tab completes the last word."""
BASH = """
source ./script
line=$1
read -ra COMP_WORDS <<< "$line"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line}
specification=$(complete -p "${COMP_WORDS[0]}") || exit 1
[[ $specification =~ -F\\ ([^ ]+) ]]
"${BASH_REMATCH[1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a study file and programs of both names."""
    (tmp_path / "quickstart.yaml").touch()
    for name in ("llem-cli", "llem"):
        (tmp_path / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m llem_cli "$@"\n')
        (tmp_path / name).chmod(0o755)
    return tmp_path


def need(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


def completed(command: list[str], folder: Path) -> list[str]:
    path = os.pathsep.join((str(folder), os.environ["PATH"]))
    done = subprocess.run(
        command,
        cwd=folder, env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("line", LINES)
def test_bash_completes(folder: Path, line: str) -> None:
    need("bash")
    (folder / "script").write_text(completion_script("bash"))
    (folder / "ask").write_text(BASH)
    assert completed(["bash", "--norc", "ask", line], folder) == [LINES[line]]


@pytest.mark.parametrize("line", LINES)
def test_fish_completes(folder: Path, line: str) -> None:
    need("fish")
    (folder / "script").write_text(completion_script("fish"))
    ask = "source ./script; complete -C $argv[1]"
    assert completed(["fish", "--no-config", "-c", ask, line], folder) == [LINES[line]]


@pytest.mark.parametrize(
    "set_up",
    [
        "fpath=($ZDOTDIR $fpath); autoload -Uz compinit; compinit -u -d ./dump",  # as the README says
        "autoload -Uz compinit; compinit -u -d ./dump; source ./_llem-cli",
    ],
    ids=["file of fpath", "sourced"],
)
def test_zsh_completes_when_tab_is_pressed(folder: Path, set_up: str) -> None:
    need("zsh")
    (folder / "_llem-cli").write_text(completion_script("zsh"))
    (folder / ".zshrc").write_text(f"PS1='ready> '\npath=(. $path)\n{set_up}\n")
    to_type = list(LINES)
    expected = [f"ready> {line.rsplit(' ', 1)[0]} {LINES[line]}" for line in LINES]
    found: list[str] = []
    is_typed = False

    def press_keys(screen: str, terminal: int) -> None:
        nonlocal is_typed
        last = screen.rsplit("\n", 1)[-1].strip()
        if not is_typed and last == "ready>":
            is_typed = True
            keys = f"{to_type[len(found)]}\t" if len(found) < len(to_type) else "exit\n"
            os.write(terminal, keys.encode())
        elif is_typed and len(found) < len(expected) and last == expected[len(found)]:
            is_typed = False
            found.append(last)
            os.write(terminal, b"\x15")  # Ctrl-U: begin again

    shown = shown_by(
        ["zsh", "-i"],
        cwd=folder, env={"ZDOTDIR": str(folder)}, on_screen=press_keys, limit_s=60,
    )  # fmt: skip
    assert found == expected, shown.text
