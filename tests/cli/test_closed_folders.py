"""A folder that a user may not look into, and a name that no file can have, in every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import Run

STRANGER = 65534  # a user without rights
_CALL = """
import os, sys
from llem_cli._app import main, run
run(eval(sys.argv[1]))  # with another folder, so that all modules are imported while they can be
sys.stderr.write("start\\n")
os.setgroups([])
os.setgid(STRANGER)
os.setuid(STRANGER)
main(sys.argv[2:])
""".replace("STRANGER", str(STRANGER))


def arguments_of(name: str, folder: str, out: Path) -> list[str]:
    match name:
        case "compare":
            return [folder, folder]
        case "merge":
            return [str(out / "merged"), folder, folder]
        case "export":
            return [folder, str(out / "runs.csv")]
        case _:
            return [folder]


COMMANDS = ("show", "resume", "compare", "merge", "export", "report", "watch")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_name_that_is_too_long_is_a_sentence(llem: Run, tmp_path: Path, name: str) -> None:
    done = llem("study", name, *arguments_of(name, "x" * 300, tmp_path))
    assert done.returncode in (1, 2)
    assert " of a study, found one that cannot be read: File name" in done.stderr


def test_a_name_of_a_results_folder_that_is_too_long_is_a_sentence(
    llem: Run, tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text("model: builtin:tiny-llama\npytorch: {device: cpu}\n")
    done = llem("study", "run", "s.yaml", "--output", "x" * 300)
    assert done.returncode == 1
    assert "expected a folder, found one that cannot be read: File name too long" in done.stderr
    assert "itself" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_in_a_closed_folder_is_a_sentence(open_folder: Path, name: str) -> None:
    closed = open_folder / "closed"
    (closed / "study").mkdir(parents=True)
    (closed / "study" / "manifest.json").write_text("{}")
    closed.chmod(0)
    first = ["study", name, *arguments_of(name, str(open_folder / "no such folder"), open_folder)]
    then = ["study", name, *arguments_of(name, str(closed / "study"), open_folder)]
    done = subprocess.run(
        [sys.executable, "-c", _CALL, repr(first), *then],
        capture_output=True, text=True, check=False, cwd="/", timeout=120,
    )  # fmt: skip
    assert done.returncode in (1, 2), done.stderr
    _, _, said = done.stderr.partition("start\n")
    assert "Permission denied" in said
    assert "itself" not in said
    assert said.count("\n") == 1
