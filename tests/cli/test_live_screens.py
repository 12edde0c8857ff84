"""A running study in a terminal of 80 and of 160 columns, with and without colour (CLI-11)."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from cli.test_screens import check_screen
from fakes.terminal import Shown, shown_by

SCRIPT = """
import sys
from pathlib import Path
from fakes import measures
from llem_cli._commands.study.run import run
from llem_cli._display.streams import claim_stdout
if __name__ == "__main__":
    claim_stdout()
    sys.exit(run(Path("study.yaml"), output=Path("out"), measure=measures.reports_its_stages))
"""
STUDY = """\
model: builtin:tiny-llama
n: 4
pytorch: {device: cpu}
energy: {min_window_seconds: 1.5}
sweep:
  pytorch.batch_size: [1, 8]
  attention:
    - {pytorch.attn_implementation: eager}
    - {pytorch.attn_implementation: sdpa, pytorch.torch_compile: true}
execution: {n_cycles: 1, config_gap_seconds: 1.5, cycle_gap_seconds: 0}
"""
REAL = [
    "n=2", "max_input_tokens=8", "max_output_tokens=4", "pytorch.device=cpu",
    "warmup.enabled=false", "energy.min_window_seconds=0",
]  # fmt: skip
STYLE = re.compile(rb"\x1b\[[0-9;]*m")
pytestmark = pytest.mark.slow  # each run has a process


class Screens:
    """Every screen of a command, and Ctrl-C once a text is on one."""

    def __init__(self, interrupt_at: str | None = None) -> None:
        self.texts: list[str] = []
        self._interrupt_at = interrupt_at

    def __call__(self, screen: str, terminal: int) -> None:
        self.texts.append(screen)
        if self._interrupt_at is not None and self._interrupt_at in screen:
            self._interrupt_at = None
            os.write(terminal, b"\x03")

    def have(self, pattern: str) -> bool:
        """Return whether a line of a screen matches."""
        return any(re.search(pattern, text, re.M) for text in self.texts)


def scripted(folder: Path, columns: int, screens: Screens, **env: str) -> Shown:
    (folder / "study.yaml").write_text(STUDY)
    (folder / "script.py").write_text(SCRIPT)
    return shown_by(
        [sys.executable, "script.py"],
        cwd=folder,
        columns=columns,
        env={"PYTHONPATH": str(Path(__file__).parents[1]), **env},
        on_screen=screens,
    )


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_running_study_shows_stages_seconds_and_what_is_left(
    tmp_path: Path, columns: int, no_color: str
) -> None:
    screens = Screens()
    shown = scripted(tmp_path, columns, screens, NO_COLOR=no_color)
    assert shown.code == 0, shown.text
    check_screen(shown, columns)
    assert screens.have(r"^attn_implementation=eager batch_size=\d: load, [1-9]\d* s")
    assert screens.have(r": load, \d+ s\s+of\s+about \d+ s$")
    assert screens.have(r": measured window, about 2 s,\s+since\s+\d\d:\d\d:\d\d;\s+nothing")
    assert screens.have(r"^run 2 of 4, cycle 1, \d+ s of about \d+ s")
    assert screens.have(r"0/4 runs, at least 10 s, plus loading tiny-llama$")
    assert screens.have(r"1/4 runs, about \d+ s left, until \d\d:\d\d$")
    assert screens.have(r"^gap between runs: 1 s left$")
    # Nothing of the live lines is left at the end, and no run is missing.
    assert "/4 runs" not in shown.text
    assert len(re.findall(r"tokens/s, 2 J/token, \d+ s \(run", " ".join(shown.lines))) == 4
    assert bool(STYLE.search(shown.sent)) == (not no_color)


def test_ctrl_c_ends_with_the_command_that_continues(tmp_path: Path) -> None:
    shown = scripted(tmp_path, 80, Screens(interrupt_at="(run 1)"))
    assert shown.code == 130
    check_screen(shown, 80)
    (folder,) = (tmp_path / "out").iterdir()
    assert shown.lines[-1] == f"continue with `llem-cli study resume out/{folder.name}`"


def test_a_dumb_terminal_gets_the_seconds_of_each_stage_without_escape_codes(
    tmp_path: Path,
) -> None:
    shown = scripted(tmp_path, 80, Screens(), TERM="dumb")
    assert shown.code == 0
    check_screen(shown, 80)
    assert not shown.has_escape_codes
    assert re.search(
        r"^run 2: .*load \d+ s, warm-up \d+ s; measured window, about 2 s$",
        shown.text, re.M,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["study", "experiment", "meter"])
def test_real_commands_fit_80_columns(tmp_path: Path, command: str) -> None:
    model = ["--model", "builtin:tiny-llama", *(f"--set={field}" for field in REAL)]
    arguments = {
        "study": ["study", "run", *model, "--sweep", "pytorch.batch_size=1,2", "--cycles=1", "--no-gaps"],
        "experiment": ["experiment", "run", *model],
        "meter": ["meter", "--", "sleep", "0.5"],
    }[command]  # fmt: skip
    shown = shown_by([sys.executable, "-m", "llem_cli", *arguments], cwd=tmp_path)
    assert shown.code == 0, shown.text
    check_screen(shown, 80)
    assert {"study": "2 of 2 runs completed", "experiment": "tokens/s", "meter": "duration"}[
        command
    ] in shown.text
