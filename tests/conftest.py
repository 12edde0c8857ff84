"""Every test has empty settings and caches: those of the user are neither read nor changed.

The fake driver is built once per process, and llem is compiled once for all.
"""

from __future__ import annotations

import compileall
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_nvml
from xdist.scheduler import LoadFileScheduling

# The models are too small for a second thread, which would only wait, long on a busy machine. It is
# set for all tests, so that a named file runs like the whole suite.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_SLURM = "tests/slurm"
_SLOW_S = 20  # the usual seconds of a test with the marker `slow` or `slurm`; others take about one


def pytest_configure(config: pytest.Config) -> None:
    """Compile llem and what the tests import, and let a run in parallel print its slow tests.

    It compiles nothing if Python keeps compiled files by itself.
    With PYTHONDONTWRITEBYTECODE, as in most container images, each of a thousand commands that the
    tests start would compile llem again, which is a third of its processor time.
    """
    if getattr(config.option, "numprocesses", None):
        config.option.durations, config.option.durations_min = 40, _SLOW_S / 2
    if (
        sys.dont_write_bytecode
        and sys.pycache_prefix is None
        and not hasattr(config, "workerinput")
    ):
        for folder in [*config.rootpath.glob("packages/*/src"), config.rootpath / "tests"]:
            compileall.compile_dir(folder, quiet=2)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return four processes for the whole suite, and none for named files, which start faster.

    On two cores: the tests of Slurm, which run in one process, and many others mostly wait.
    """
    return 0 if config.args_source is pytest.Config.ArgsSource.ARGS else 4


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the processes of the whole suite begin with the files that take longest.

    A long file that begins last would run alone at the end, on one core.
    """
    if not hasattr(config, "workerinput"):
        return
    seconds: Counter[str] = Counter()
    for item in items:
        is_slow = item.get_closest_marker("slow") or item.get_closest_marker("slurm")
        seconds[_together(item.nodeid)] += _SLOW_S if is_slow else 1
    items.sort(key=lambda item: -seconds[_together(item.nodeid)])


class _FilesAndSlurm(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no types
    """Runs each file in one process, and all files that start a Slurm in the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return _together(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Start one Slurm at a time: two of them, with their databases, would slow each other down."""
    return _FilesAndSlurm(config, log) if config.getoption("dist") == "loadfile" else None


def _together(nodeid: str) -> str:
    """Return the file of a test, or its folder if the files of the folder run one after another."""
    file = nodeid.split("::")[0]
    return _SLURM if file.startswith(f"{_SLURM}/") else file


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the fake driver library."""
    try:
        return fake_nvml.build(tmp_path_factory.mktemp("fake-nvml"))
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def no_meter(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process that finds no meter on this machine."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "libnvidia-ml.so.1").touch()
    return {
        "LD_LIBRARY_PATH": str(tmp_path / "empty"),
        "LLEM_POWERCAP": str(tmp_path / "absent"),
    }


@pytest.fixture(scope="session", autouse=True)
def quiet_machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hide the load of this machine, which is a warning in a result; return an empty folder."""
    folder = tmp_path_factory.mktemp("proc")
    os.environ["LLEM_PROC"] = str(folder)
    return folder


@pytest.fixture
def real_load(empty_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Show the processes and the load of this machine again."""
    monkeypatch.delenv("LLEM_PROC")


@pytest.fixture(autouse=True)
def empty_settings(tmp_path: Path, quiet_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LLEM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LLEM_PROC", str(quiet_machine))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    # Only the cache of llem: other libraries keep their downloads in the cache folder of the user.
    monkeypatch.setenv("LLEM_CACHE", str(tmp_path / "cache" / "calibrations.json"))


@pytest.fixture
def open_folder(empty_settings: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty folder that other users can reach, with the settings and caches of the test.

    It is not below `tmp_path`: each pytest that starts, beside this one or in a test, closes the
    folder of all pytests of this user.
    """
    with tempfile.TemporaryDirectory(prefix="llem-tests-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "xdg"))
        monkeypatch.setenv("LLEM_CACHE", str(folder / "cache" / "calibrations.json"))
        yield folder
