"""Packages of other people: damaged, raising, ending the program, printing, taking names of ours."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llem_config.extensions import Extension, ExtensionError, extensions

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs a package on a path of its own, before all others."""

    def install(name: str, points: str | bytes, module: str = "", metadata: str = "") -> None:
        site = tmp_path / name
        folder = site / f"{name}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(metadata or f"Name: {name}\nVersion: 1.0\n")
        data = points if isinstance(points, bytes) else points.encode()
        (folder / "entry_points.txt").write_bytes(data)
        (site / f"{name}_module.py").write_text(module)
        monkeypatch.syspath_prepend(site)

    return install


def names(group: str) -> dict[str, str]:
    return {extension.name: extension.package for extension in extensions(group)}


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("llem.backends", "pytorch"),
        ("llem.backend_facts", "pytorch"),
        ("llem.energy_sources", "nvml"),
        ("llem.energy_sources", "rapl"),
        ("llem.executors", "local"),
        ("llem.executors", "inline"),
    ],
)
def test_no_package_can_take_a_name_of_ours(install: Install, group: str, name: str) -> None:
    owner = names(group)[name]
    install("thief", f"[{group}]\n{name} = thief_module:x\nother = thief_module:x\n")
    assert names(group)[name] == owner
    assert [item.package for item in extensions(group, name)] == [owner]
    assert names(group)["other"] == "thief"


@pytest.mark.parametrize(
    "damaged",
    [
        b"[llem.backends\nx = y",
        b"x = llem.backends without a section",
        b"[llem.backends]\n\xff\xfe = x:y\n",
        b"[llem.backends]\nx\n",
        b"\x00" * 100,
        b"",
    ],
)
def test_a_damaged_package_does_not_hide_the_others(install: Install, damaged: bytes) -> None:
    install("good", "[llem.backends]\ngood = good_module:x\n")
    install("damaged", damaged)
    assert {"good", "pytorch"} <= set(names("llem.backends"))


def test_a_damaged_package_for_llem_is_named(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    # A line without `=` in a section is an error of the parser in every version of Python.
    install("damaged", "[llem.backends]\nx\n[[\n")
    with caplog.at_level(logging.WARNING, "llem"):
        loaded = names("llem.backends")
    assert "pytorch" in loaded
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("llem does not use the package damaged, whose entry_points.txt is ")


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("import sys; sys.exit('no licence')", ExtensionError),
        ("raise GeneratorExit", ExtensionError),
        ("class Stop(BaseException): pass\nraise Stop('now')", ExtensionError),
        ("raise RuntimeError('x')", RuntimeError),
        ("import no_such_library", ImportError),
        ("x = (", SyntaxError),
        ("y = 1", AttributeError),
    ],
)
def test_an_import_that_fails_raises_an_error_and_ends_nothing(
    install: Install, module: str, kind: type[Exception], tmp_path: Path
) -> None:
    name = f"broken{abs(hash(module))}"
    install(name, f"[llem.executors]\nbroken = {name}_module:x\n", module)
    (extension,) = extensions("llem.executors", "broken")
    with pytest.raises(kind):
        extension.load()


def test_a_slow_import_is_named(caplog: pytest.LogCaptureFixture) -> None:
    slow = Extension("x", "llem.backends", "slow:x", "slow-package", ())
    with caplog.at_level(logging.WARNING, "llem"):
        slow._warn()
    (message,) = [record.getMessage() for record in caplog.records]
    assert "the import of slow:x from the package slow-package takes longer than 10 s" in message


def test_what_a_package_prints_at_import_does_not_spoil_json(
    install: Install, tmp_path: Path
) -> None:
    module = (
        "import os\nprint('{\"printed\": 1}')\nos.write(1, b'by native code\\n')\n"
        "from pydantic import BaseModel, ConfigDict\n"
        "class Section(BaseModel):\n    model_config = ConfigDict(extra='forbid', frozen=True)\n"
    )
    install("printing", "[llem.sections]\nprinting = printing_module:Section\n", module)
    (tmp_path / "s.yaml").write_text("model: a/b\n")
    done = subprocess.run(
        [sys.executable, "-m", "llem_cli", "study", "plan", "s.yaml", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "printing"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)["n_points"] == 1
    assert "by native code" in done.stderr
    assert '{"printed": 1}' in done.stderr
