"""What the commands show in a terminal of 80 and of 160 columns, with and without colour (CLI-11)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.swept_study import Measured, run_swept_study
from fakes.terminal import Shown, shown_by

EXAMPLES = Path(__file__).parents[2] / "examples"
LLEM = (sys.executable, "-m", "llem_cli")
COMMANDS = {
    "help": (["--help"], 0, "Measure the energy of LLM inference"),
    "help of study run": (["study", "run", "--help"], 0, "--time-limit"),
    "plan": (["study", "plan", "examples/gpu-sweep.yaml"], 0, "sdpa+torch_compile"),
    "plan of a list": (["study", "plan", "examples/list.yaml"], 0, "run  cycle"),
    "validate": (["study", "validate", "examples/quickstart.yaml"], 0, "4 points x 3 cycles"),
    "a mistake": (["study", "validate", "wrong.yaml"], 2, "precision"),
    "fields": (["study", "fields"], 0, "pytorch.batch_size"),
    "one field": (["study", "fields", "batch"], 0, "pytorch.batch_size"),
    "init": (["study", "init", "builtin:tiny-llama", "--output", "new.yaml", "--force"], 0, "new.yaml"),
    "show": (["study", "show", "first"], 0, "pytorch.batch_size"),
    "compare": (["study", "compare", "first", "second"], 0, "new/base"),
    "config": (["config"], 0, "config_gap_seconds"),
    "doctor": (["doctor"], None, "Energy sources"),
    "an unknown field": (["study", "fields", "nosuch"], 2, "lists all"),
    "a wrong flag": (["study", "run", "--cycle", "3"], 2, "--cycle"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two measured studies, the examples, and a file with a mistake."""
    parent = tmp_path_factory.mktemp("screens")
    for name in ("first", "second"):
        (parent / f"of-{name}").mkdir()
        result = run_swept_study(parent / f"of-{name}", Measured())
        assert result.folder is not None
        shutil.move(result.folder, parent / name)
    shutil.copytree(EXAMPLES, parent / "examples")
    (parent / "wrong.yaml").write_text("model: builtin:tiny-llama\nprecisoin: bf16\n")
    return parent


def check_screen(shown: Shown, columns: int) -> None:
    """Check that no line is cut, and that none is wider than the terminal, unless it is one word."""
    assert "…" not in shown.text
    for line in shown.written_lines:
        assert len(line) <= columns or " " not in line.strip(), line


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_screen_fits_its_terminal_and_has_styles_only_where_they_are_wanted(
    folder: Path, name: str, columns: int
) -> None:
    arguments, code, text = COMMANDS[name]
    command = [*LLEM, *arguments]
    styled = shown_by(command, cwd=folder, columns=columns)
    plain = shown_by(command, cwd=folder, columns=columns, env={"NO_COLOR": "1"})
    for shown in (styled, plain):
        check_screen(shown, columns)
        assert text in shown.text
        assert code is None or shown.code == code, shown.text
    assert not plain.has_escape_codes
    # What a machine is doing meanwhile is in the text of some commands.
    if name not in ("plan", "plan of a list", "doctor"):
        assert styled.lines == plain.lines


@pytest.mark.parametrize("name", ["help", "plan", "show", "doctor"])
def test_a_pipe_gets_no_escape_codes(folder: Path, name: str) -> None:
    done = subprocess.run(
        [*LLEM, *COMMANDS[name][0]],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    assert COMMANDS[name][2].encode() in done.stdout
    assert b"\x1b" not in done.stdout + done.stderr
