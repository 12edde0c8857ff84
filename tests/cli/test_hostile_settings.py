"""`llem-cli config` with settings whose names and values are hostile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Run

from benchmarks.hostile.strings import STRINGS, has_forged_line, unsafe_characters

TEXTS = {kind: text for kind, text in STRINGS.items() if "\0" not in text and "\ud800" not in text}
SHORT = {kind: text for kind, text in TEXTS.items() if 0 < len(text) < 1000}


def safe(*texts: str) -> None:
    for text in texts:
        assert unsafe_characters(text) == set()
        assert not has_forged_line(text)
        assert "error in llem itself" not in text
        assert "Traceback" not in text


@pytest.mark.parametrize("kind", ["byte of a name", "clear screen", "forged line", "very long"])
def test_a_hostile_folder_is_shown_escaped(llem: Run, kind: str) -> None:
    value = TEXTS[kind]
    shown = llem("config", LLEM_OUTPUT__RESULTS_DIR=value)
    safe(shown.stdout, shown.stderr)
    assert (shown.returncode, shown.stderr) == (0, "")
    as_json = llem("config", "--json", LLEM_OUTPUT__RESULTS_DIR=value)
    safe(as_json.stdout, as_json.stderr)
    assert json.loads(as_json.stdout)["output"]["results_dir"] == value


def test_hostile_values_of_each_kind_are_one_sentence_each(llem: Run) -> None:
    for variable in ("LLEM_DEVICES__GPUS", "LLEM_EXECUTION__CONFIG_GAP_SECONDS", "LLEM_DEVICES"):
        for value in ("[" * 50_000, "\x1b[2J\nerror: forged", "9" * 5000, "\udcff"):
            done = llem("config", **{variable: value})
            safe(done.stdout, done.stderr)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.count("\n") == 1
            assert f"<environment>: {variable}: expected" in done.stderr


def test_hostile_names_of_variables_are_shown_escaped(llem: Run) -> None:
    names = [text for text in SHORT.values() if "=" not in text]
    refused = llem("config", **{f"LLEM_OUTPUT__{name}": "1" for name in names})
    safe(refused.stdout, refused.stderr)
    assert refused.returncode == 2
    warned = llem("config", **{f"LLEM_OUTPU__RESULTS_DIR{name}": "1" for name in names})
    safe(warned.stdout, warned.stderr)
    assert (warned.returncode, "has no effect" in warned.stderr) == (0, True)


def test_a_hostile_file_of_settings_is_refused_in_sentences(llem: Run, tmp_path: Path) -> None:
    file = tmp_path / "a\x1b[2J\udcff.yaml"
    keys = [text for text in SHORT.values() if text.isprintable() and '"' not in text]
    lines = [f'"{key}": {{"{key}": 1}}' for key in keys if "\\" not in key]
    for text in ("\n".join(lines), "devices: " + "[" * 50_000, '"\\e[2J\\n": 1'):
        file.write_text(text, "utf-8")
        for arguments in (["config"], ["config", "--json"]):
            done = llem(*arguments, LLEM_CONFIG=str(file))
            safe(done.stdout, done.stderr)
            assert done.returncode == 2
