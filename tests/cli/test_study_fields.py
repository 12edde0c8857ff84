"""`llem-cli study fields`: the fields of a study file in 80 columns, and hints for a wrong word."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys

import pytest
from cli.conftest import Run

from llem_config.fields import study_fields


def in_terminal(columns: int, *arguments: str) -> list[str]:
    """Return the lines that a command prints on a terminal of this width."""
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "llem_cli", *arguments],
        env={**os.environ, "COLUMNS": str(columns)},
        stdin=subprocess.DEVNULL,
        stdout=other_end,
        stderr=subprocess.DEVNULL,
    )
    os.close(other_end)
    output = b""
    with contextlib.suppress(OSError):  # Linux reports the closed terminal as an error
        while chunk := os.read(terminal, 65536):
            output += chunk
    os.close(terminal)
    assert process.wait(timeout=60) == 0
    return output.decode().splitlines()


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_all_fields_fit_the_terminal(columns: int) -> None:
    lines = in_terminal(columns, "study", "fields")
    assert [line for line in lines if len(line) > columns] == []
    starts = {line.split()[0] for line in lines if line and not line.startswith(" ")}
    assert {field.key for field in study_fields()} <= starts


def test_every_description_fits_80_columns() -> None:
    lines = in_terminal(80, "study", "fields", "e")  # most keys
    assert [line for line in lines if len(line) > 80] == []


def test_a_word_explains_its_fields(llem: Run) -> None:
    done = llem("study", "fields", "max_new_tokens")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("max_output_tokens\n")
    assert "default: 128; may be swept" in done.stdout
    assert "Energy: " in done.stdout


def test_a_word_also_names_the_fields_whose_descriptions_have_it(llem: Run) -> None:
    done = llem("study", "fields", "quantization")
    assert "\npytorch.load_in_8bit\n" in done.stdout
    *_, last = done.stdout.split("\n\n")
    assert last.startswith("The word is also in the descriptions of: ")
    assert "pytorch.cache_implementation" in last


def test_the_fields_as_json(llem: Run) -> None:
    (field,) = json.loads(llem("study", "fields", "precision", "--json").stdout)
    assert field["key"] == "precision"
    assert field["default"] == "bf16"
    assert field["may_be_swept"]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_misspelt_word_is_a_usage_error_with_a_hint(llem: Run, flags: list[str]) -> None:
    done = llem("study", "fields", "presicion", *flags)
    assert done.returncode == 2
    assert "did you mean 'precision'?" in done.stderr
    assert ("did you mean" in done.stdout) == bool(flags)
