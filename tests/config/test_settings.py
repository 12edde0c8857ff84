"""Settings of the machine: from a file and from environment variables.

Covers CFG-21 to CFG-25 and STU-06 as far as the settings are read, and pitfall 10. The tests of
the runner cover the effect of each setting.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llem_config import ConfigError, StudyConfig
from llem_config.settings import (
    ExecutionSettings,
    Settings,
    cache_path,
    load_settings,
    settings_path,
    variable_warnings,
)

Load = Callable[..., StudyConfig]
MODEL = "model: builtin:tiny-llama\n"

EVERY = [
    ("output.results_dir", "/data/results", Path("/data/results")),
    ("execution.config_gap_seconds", "1.5", 1.5),
    ("execution.cycle_gap_seconds", "2.5", 2.5),
    ("execution.executor", "slurm", "slurm"),
    ("execution.gap_until_temperature_c", "45", 45.0),
    ("execution.gap_within_c", "2.5", 2.5),
    ("execution.gap_at_most_seconds", "90", 90.0),
    ("measurement.carbon_intensity_gco2_kwh", "360", 360.0),
    ("measurement.country", "de", "DEU"),
    ("measurement.datacenter_pue", "1.2", 1.2),
    ("measurement.electricity_price_kwh", "0.3", 0.3),
    ("measurement.quality", "false", False),
    ("devices.gpus", '[1, "GPU-0a"]', (1, "GPU-0a")),
    ("devices.peaks", "false", False),
]


def write(text: str) -> Path:
    path = settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def value_of(settings: Settings, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(settings, section), name)


def test_without_a_file_every_setting_has_its_default() -> None:
    assert load_settings().model_dump() == {
        "output": {"results_dir": Path("results")},
        "execution": {
            "config_gap_seconds": 60.0,
            "cycle_gap_seconds": 300.0,
            "executor": "auto",
            "gap_until_temperature_c": None,
            "gap_within_c": None,
            "gap_at_most_seconds": 600.0,
        },
        "measurement": {
            "carbon_intensity_gco2_kwh": None,
            "country": None,
            "datacenter_pue": 1.0,
            "electricity_price_kwh": None,
            "quality": True,
        },
        "devices": {"gpus": (), "peaks": True},
        "clusters": {},
    }


def test_settings_can_be_made_in_python() -> None:
    settings = Settings(execution=ExecutionSettings(config_gap_seconds=5))
    assert settings.execution.config_gap_seconds == 5
    assert settings.execution.cycle_gap_seconds == Settings().execution.cycle_gap_seconds


def test_this_list_of_settings_is_complete() -> None:
    names = {f"{s}.{name}" for s, fields in Settings().model_dump().items() for name in fields}
    assert {key for key, _, _ in EVERY} == names


@pytest.mark.parametrize(("key", "text", "value"), EVERY)
def test_each_setting_is_changed_by_the_file(key: str, text: str, value: Any) -> None:
    assert value_of(load_settings(), key) != value
    section, name = key.split(".")
    write(f"{section}:\n  {name}: {text}\n")
    assert value_of(load_settings(), key) == value


@pytest.mark.parametrize(("key", "text", "value"), EVERY)
def test_each_setting_is_changed_by_its_variable(
    key: str, text: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLEM_" + key.replace(".", "__").upper(), text)
    assert value_of(load_settings(), key) == value


def test_each_environment_variable_overrides_only_its_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("execution: {config_gap_seconds: 1, cycle_gap_seconds: 2}\n")
    monkeypatch.setenv("LLEM_EXECUTION__CYCLE_GAP_SECONDS", "9")
    execution = load_settings().execution
    assert (execution.config_gap_seconds, execution.cycle_gap_seconds) == (1, 9)


def test_the_file_is_in_the_users_config_folder(tmp_path: Path) -> None:
    assert settings_path() == tmp_path / "xdg" / "llem" / "config.yaml"


def test_llem_config_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("execution: {config_gap_seconds: 1}\n")
    path = tmp_path / "mine.yaml"
    path.write_text("execution: {config_gap_seconds: 2}\n")
    monkeypatch.setenv("LLEM_CONFIG", str(path))
    assert (settings_path(), load_settings().execution.config_gap_seconds) == (path, 2)


def test_a_file_that_llem_config_names_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLEM_CONFIG", "/no/where.yaml")
    with pytest.raises(ConfigError, match=r"/no/where\.yaml: no such file"):
        load_settings()


def test_an_empty_llem_config_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLEM_CONFIG", "")
    assert load_settings() == Settings()


def test_a_tilde_in_a_path_is_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write("output: {results_dir: ~/results}\n")
    assert load_settings().output.results_dir == tmp_path / "results"
    (tmp_path / "mine.yaml").write_text("execution: {config_gap_seconds: 2}\n")
    monkeypatch.setenv("LLEM_CONFIG", "~/mine.yaml")
    assert load_settings().execution.config_gap_seconds == 2


def test_the_cache_path_is_in_the_users_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    expected = tmp_path / "caches" / "llem" / "calibrations.json"
    monkeypatch.setenv("LLEM_CACHE", "")
    assert cache_path() == expected
    monkeypatch.delenv("LLEM_CACHE")
    assert cache_path() == expected


def test_a_cache_folder_that_another_user_has_made_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user without a home folder has the cache in the folder for temporary files."""
    monkeypatch.delenv("LLEM_CACHE", raising=False)
    monkeypatch.setattr("llem_config._machine_paths.cache_folder", lambda: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    own = tmp_path / f"llem-{os.getuid()}"
    assert cache_path() == own / "calibrations.json"
    own.mkdir()
    assert cache_path() == own / "calibrations.json"
    own.rmdir()
    elsewhere = tmp_path / "of another user"
    elsewhere.mkdir()
    own.symlink_to(elsewhere)
    assert cache_path() == tmp_path / f"{own.name}-1" / "calibrations.json"
    if os.getuid() == 0:
        own.unlink()
        own.mkdir()
        os.chown(own, 65534, 65534)
        assert cache_path() == tmp_path / f"{own.name}-1" / "calibrations.json"


def test_llem_cache_names_another_file_and_is_not_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LLEM_CACHE", "~/mine.json")
    assert cache_path() == tmp_path / "mine.json"
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("execution: {config_gap: 5}\n", "1:13: execution.config_gap: unknown key 'config_gap'; "
         "did you mean 'config_gap_seconds'?"),
        ("outputs: {}\n", "1:1: outputs: unknown key 'outputs'; did you mean 'output'?"),
        ("execution: {cycle_gap_seconds: -1}\n",
         "1:32: execution.cycle_gap_seconds: expected a number >= 0, found -1"),
        ("measurement: {datacenter_pue: 0.5}\n",
         "1:31: measurement.datacenter_pue: expected a number >= 1, found 0.5"),
        ("devices: {gpus: 0}\n", "1:17: devices.gpus: expected a list, found 0"),
        ("execution: 5\n", "1:12: execution: expected a mapping, found 5"),
        ("execution: {}\nexecution: {}\n",
         "2:1: execution: this key is already set above; remove one"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_settings_file_is_reported_with_its_position(
    text: str, fault: str
) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value) == f"{path}:{fault}"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("LLEM_EXECUTION__CONFIG_GAP_SECONDS", "soon", "expected a number >= 0, found 'soon'"),
        ("LLEM_MEASUREMENT__DATACENTER_PUE", "nan", "expected a number >= 1, found 'nan'"),
        (
            "LLEM_EXECUTION__GAP",
            "1",
            "unknown key 'gap'; expected one of config_gap_seconds, "
            "cycle_gap_seconds, executor, gap_until_temperature_c, gap_within_c, gap_at_most_seconds",
        ),
        ("LLEM_DEVICES__GPUS", "0,1", "expected JSON, such as [0, 1], found '0,1'"),
        ("LLEM_EXECUTION", "{", "expected JSON, such as [0, 1], found '{'"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    name: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value) == f"<environment>: {name}: {problem}"


def test_settings_do_not_change_a_hash(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load(MODEL).study_design_hash
    for key, text, _ in EVERY:
        monkeypatch.setenv("LLEM_" + key.replace(".", "__").upper(), text)
    assert load(MODEL).study_design_hash == before


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("LLEM_EXECUTION_CONFIG_GAP_SECONDS", "LLEM_EXECUTION__CONFIG_GAP_SECONDS"),
        ("LLEM_CONFIG_GAP_SECONDS", "LLEM_EXECUTION__CONFIG_GAP_SECONDS"),
        ("LLEM_EXECUTON__EXECUTOR", "LLEM_EXECUTION__EXECUTOR"),
        ("LLEM_RESULT_DIR", "LLEM_OUTPUT__RESULTS_DIR"),
        ("LLEM_DEVICE__GPUS", "LLEM_DEVICES__GPUS"),
        ("LLEM_CONFG", "LLEM_CONFIG"),
        ("LLEM_CACH", "LLEM_CACHE"),
        ("llem_executor", "LLEM_EXECUTION__EXECUTOR"),
    ],
)
def test_a_misspelt_variable_is_a_warning(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "5")
    assert variable_warnings() == (
        f"the environment variable {variable} has no effect; did you mean {meant}?",
    )
    load_settings()  # never an error


def test_variables_that_are_used_or_of_other_programs_cause_no_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        *("LLEM_CONFIG", "LLEM_CACHE", "LLEM_OUTPUT", "LLEM_EXECUTION__EXECUTOR"),
        *("llem_execution__executor", "LLEM_RUN_TAG", "LLEM_PROC", "LLEM_POWERCAP"),
        *("LLEM_TOKEN", "LLEM_VERSION", "LLEM_LOG_LEVEL", "LLEM_MY_TOOL", "CONFIG_GAP_SECONDS"),
    ):
        monkeypatch.setenv(name, "{}")
    assert variable_warnings() == ()
