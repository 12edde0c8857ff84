"""`llem-cli config set` and `llem-cli completion`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cli.conftest import Run


def test_a_setting_is_changed_and_shown(llem: Run, tmp_path: Path) -> None:
    file = str(tmp_path / "config.yaml")
    done = llem("config", "set", "execution.config_gap_seconds", "30", LLEM_CONFIG=file)
    assert done.returncode == 0, done.stderr
    assert file in done.stdout
    shown = json.loads(llem("config", "--json", LLEM_CONFIG=file).stdout)
    assert shown["execution"]["config_gap_seconds"] == 30


def test_a_variable_that_overrides_the_setting_is_named(llem: Run, tmp_path: Path) -> None:
    env = {
        "LLEM_CONFIG": str(tmp_path / "config.yaml"),
        "LLEM_EXECUTION__CONFIG_GAP_SECONDS": "1",
    }
    done = llem("config", "set", "execution.config_gap_seconds", "30", **env)
    assert done.returncode == 0
    assert "LLEM_EXECUTION__CONFIG_GAP_SECONDS overrides it" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["execution.config_gap_secnds", "3"], "did you mean 'execution.config_gap_seconds'?"),
        (["execution.config_gap_seconds", "soon"], "expected a number >= 0"),
    ],
)
def test_a_mistake_is_a_usage_error(llem: Run, arguments: list[str], sentence: str) -> None:
    done = llem("config", "set", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_knows_the_commands(llem: Run, tmp_path: Path, shell: str) -> None:
    done = llem("completion", shell)
    assert done.returncode == 0, done.stderr
    for word in ("study", "resume", "doctor", "fields"):
        assert word in done.stdout
    if shutil.which(shell):  # the shell itself can read the script
        script = tmp_path / f"completion.{shell}"
        script.write_text(done.stdout)
        subprocess.run([shell, "-n", str(script)], check=True)


def test_another_shell_is_a_usage_error(llem: Run) -> None:
    assert llem("completion", "csh").returncode == 2
