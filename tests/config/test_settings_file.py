"""One setting is changed in the settings file; comments and other settings stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llem_config import ConfigError, load_settings
from llem_config.settings_file import write_setting

WRITTEN = """\
# mine
execution:   # gaps
  # not too short
  config_gap_seconds: 60    # a minute
  cycle_gap_seconds: 300

devices:
    gpus: [0, 1]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "llem" / "config.yaml"
    monkeypatch.setenv("LLEM_CONFIG", str(path))
    return path


def test_the_file_and_its_folder_are_made(file: Path) -> None:
    assert write_setting("execution.config_gap_seconds", "30") == file
    write_setting("measurement.carbon_intensity_gco2_kwh", "360")
    settings = load_settings()
    assert settings.execution.config_gap_seconds == 30
    assert settings.measurement.carbon_intensity_gco2_kwh == 360


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("execution.config_gap_seconds", "5", "config_gap_seconds: 60", "config_gap_seconds: 5"),
        ("execution.cycle_gap_seconds", "5", "cycle_gap_seconds: 300", "cycle_gap_seconds: 5"),
        ("devices.gpus", "[2]", "gpus: [0, 1]", "gpus: [2]"),
        ("execution.executor", "local", "# gaps\n", "# gaps\n  executor: local\n"),
    ],
)
def test_only_the_line_of_the_setting_changes(
    file: Path, key: str, value: str, old: str, new: str
) -> None:
    file.parent.mkdir()
    file.write_text(WRITTEN)
    write_setting(key, value)
    assert file.read_text() == WRITTEN.replace(old, new)
    load_settings()


def test_a_quoted_value_with_a_number_sign_is_replaced_as_a_whole(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("output:\n  results_dir: 'runs # 1'  # mine\n")
    write_setting("output.results_dir", "runs")
    assert file.read_text() == "output:\n  results_dir: runs  # mine\n"


def test_a_new_section_is_added_at_the_end(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(WRITTEN)
    write_setting("output.results_dir", "'/data/my results: all'")
    assert file.read_text().startswith(WRITTEN)
    assert load_settings().output.results_dir == Path("/data/my results: all")


def test_null_removes_a_value(file: Path) -> None:
    write_setting("execution.gap_within_c", "2")
    write_setting("execution.gap_within_c", "null")
    assert load_settings().execution.gap_within_c is None


@pytest.mark.parametrize("text", ["", "# nothing\n", "execution:\n", "execution:\n# end"])
def test_files_without_values_are_extended(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    write_setting("execution.config_gap_seconds", "30")
    assert load_settings().execution.config_gap_seconds == 30


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("execution.config_gap_secnds", "1", "did you mean 'execution.config_gap_seconds'"),
        ("config_gap_seconds", "1", "did you mean 'execution.config_gap_seconds'"),
        ("zzz", "1", "expected a setting, found 'zzz'"),
        ("execution", "1", "expected a setting, found 'execution'"),
        ("measurement.datacenter_pue", "0.5", "expected a number >= 1, found 0.5"),
        ("execution.config_gap_seconds", "soon", "expected a number >= 0"),
        ("execution.config_gap_seconds", "[1", "not valid YAML"),
        ("output.results_dir", "results\nother: 1", "expected one value"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(
    file: Path, key: str, value: str, problem: str
) -> None:
    file.parent.mkdir()
    file.write_text(WRITTEN)
    with pytest.raises(ConfigError) as caught:
        write_setting(key, value)
    assert problem in str(caught.value)
    assert len(caught.value.faults) == 1
    assert file.read_text() == WRITTEN


@pytest.mark.parametrize(
    "text",
    [
        "execution: {config_gap_seconds: 60}\n",
        "execution:\n  config_gap_seconds:\n    60\n",
        'execution:\n  "config_gap_seconds": 60\n',
        "devices:\n  gpus: [0,\n    1]\nexecution: &x\n  config_gap_seconds: 60\n",
    ],
)
def test_a_layout_that_cannot_be_edited_is_left_alone(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"write `config_gap_seconds: 5` in execution"):
        write_setting("execution.config_gap_seconds", "5")
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    file.parent.mkdir()
    (tmp_path / "shared.yaml").write_text(WRITTEN)
    file.symlink_to(tmp_path / "shared.yaml")
    write_setting("execution.config_gap_seconds", "5")
    assert file.is_symlink()
    assert "config_gap_seconds: 5 " in (tmp_path / "shared.yaml").read_text()


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_regular_file_is_never_replaced(file: Path, kind: str) -> None:
    file.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    with pytest.raises(ConfigError, match="expected a regular file"):
        write_setting("execution.config_gap_seconds", "5")
    assert file.is_fifo() if kind == "pipe" else file.is_dir()
    assert list(file.parent.iterdir()) == [file]
