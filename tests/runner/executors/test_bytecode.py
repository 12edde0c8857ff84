"""Child processes keep compiled files in llem's cache where Python keeps none (STU-03)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llem_runner._executors.local.bytecode import find_bytecode_cache, trim_bytecode

FACTS = """
from llem_energy.backends import BackendFacts

class Facts(BackendFacts):
    def large_packages(self):
        return ("a_missing_library", "heavy_library")
"""
MEASURE = """
import os, sys
from fakes.results import make_result

def measure(config, **_):
    import heavy_library
    names = ("PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")
    return make_result(config, effective_config={
        "prefix": sys.pycache_prefix, "environment": [os.environ.get(name) for name in names],
        "heavy_library": heavy_library.__cached__,
    })
"""
SCRIPT = """
import json, os, sys
from fakes.studies import study
from heavy_measure import measure
from llem_config import StudyConfig
from llem_energy import read_result
from llem_runner import run_study
from llem_runner.events import Note

if __name__ == "__main__":
    notes = []
    changes = {"backend": "vllm", "precision": "bf16"}
    points = [point.model_dump(exclude_none=True, exclude={"pytorch", "paths"}) | changes
              for point in study((1, 2)).experiments]
    result = run_study(
        StudyConfig(experiments=points, execution=study().execution), output="results", measure=measure,
        on_event=lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    )
    assert result.status == "completed"
    (folder,) = os.scandir("results")
    used = [read_result(f"{folder.path}/{file}").effective_config for file in result.result_files]
    here = [sys.dont_write_bytecode, sys.pycache_prefix, os.environ.get("PYTHONDONTWRITEBYTECODE")]
    print(json.dumps([notes, used, here]))
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder with a library that is installed without compiled files."""
    folder = tmp_path / "site"
    for name, content in (
        ("heavy_library/__init__.py", ""),
        ("heavy_facts.py", FACTS),
        ("heavy_measure.py", MEASURE),
        ("heavy-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: heavy\nVersion: 1\n"),
        (
            "heavy-1.dist-info/entry_points.txt",
            "[llem.backends]\nvllm = heavy_facts:Facts\n"
            "[llem.backend_facts]\nheavy = heavy_facts:Facts\nvllm = heavy_facts:Facts\n",
        ),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def uncompiled(site: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let this process see the library, and return the name of the backend that needs it."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    return "heavy"


def test_the_children_of_a_study_share_compiled_files_and_the_parent_stays_as_it_is(
    site: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    path = os.pathsep.join((str(site), str(Path(__file__).parents[2])))
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    notes, used, here = json.loads(done.stdout.splitlines()[-1])
    folder = tmp_path / "cache" / "bytecode"
    assert len(notes) == 1
    assert f"the runs keep them in {folder}" in notes[0]
    assert here == [True, None, "1"]
    compiled = used[0]["heavy_library"]
    assert compiled.startswith(f"{folder}{site}/heavy_library/")
    assert Path(compiled).exists()
    assert used == 2 * [
        {"prefix": str(folder), "environment": [str(folder), None], "heavy_library": compiled}
    ]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(site.rglob("__pycache__")) == []


def test_nothing_changes_if_python_keeps_compiled_files_itself(
    uncompiled: str, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert find_bytecode_cache(uncompiled).note is None  # it will be written
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "of the user"))
    assert find_bytecode_cache(uncompiled).note is None  # the user has chosen a place
    monkeypatch.setattr(sys, "pycache_prefix", None)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(site)], check=True)
    assert find_bytecode_cache(uncompiled).note is None  # compiled when it was installed
    assert not (tmp_path / "cache" / "bytecode").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="the root user can write everywhere")
def test_compiled_files_are_kept_if_the_installation_cannot_be_written(
    uncompiled: str, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (site / "heavy_library").chmod(0o500)
    assert find_bytecode_cache(uncompiled).folder == tmp_path / "cache" / "bytecode"


def test_a_folder_that_others_can_reach_is_refused(uncompiled: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "bytecode"
    folder.mkdir(parents=True)
    for mode in (0o750, 0o701, 0o720):
        folder.chmod(mode)
        cache = find_bytecode_cache(uncompiled)
        assert cache.folder is None
        assert cache.note is not None
        assert f"other users have access to {folder}" in cache.note
    folder.chmod(0o700)
    assert find_bytecode_cache(uncompiled).folder == folder


def test_a_link_or_a_file_in_place_of_the_folder_is_refused(
    uncompiled: str, tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "bytecode"
    folder.parent.mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    cache = find_bytecode_cache(uncompiled)
    assert (cache.folder, "is not a folder" in (cache.note or "")) == (None, True)
    folder.unlink()
    folder.write_text("")
    cache = find_bytecode_cache(uncompiled)
    assert (cache.folder, str(folder) in (cache.note or "")) == (None, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the root user can give a folder away")
def test_a_folder_of_another_user_is_refused(uncompiled: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "bytecode"
    folder.mkdir(parents=True, mode=0o700)
    os.chown(folder, 65534, 65534)
    cache = find_bytecode_cache(uncompiled)
    assert (cache.folder, "belongs to another user" in (cache.note or "")) == (None, True)


def test_a_folder_that_everybody_can_replace_is_refused(uncompiled: str, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    cache = find_bytecode_cache(uncompiled)
    assert (cache.folder, "all users can replace" in (cache.note or "")) == (None, True)
    (tmp_path / "cache").chmod(0o1777)  # like /tmp: only the owner of a folder can replace it
    assert find_bytecode_cache(uncompiled).folder == tmp_path / "cache" / "bytecode"


def test_a_cache_that_cannot_be_written_is_reported_and_changes_nothing(
    uncompiled: str, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    cache = find_bytecode_cache(uncompiled)
    assert cache.folder is None
    assert cache.note is not None
    assert "every run compiles heavy_library again" in cache.note


def test_a_user_without_a_home_folder_gets_no_folder(site: Path) -> None:
    program = (
        "import os, pwd\n"
        "def getpwuid(user):\n"
        "    raise KeyError(user)\n"
        "pwd.getpwuid = getpwuid\n"
        "for name in ('HOME', 'LLEM_CACHE', 'XDG_CACHE_HOME'):\n"
        "    os.environ.pop(name, None)\n"
        "from llem_runner._executors.local.bytecode import find_bytecode_cache\n"
        "cache = find_bytecode_cache('heavy')\n"
        "print(cache.folder, 'no home folder' in cache.note)"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None True\n"


def test_the_folder_is_emptied_if_it_becomes_too_large(tmp_path: Path) -> None:
    file = tmp_path / "environment" / "library.pyc"
    file.parent.mkdir()
    file.write_bytes(bytes(1000))
    trim_bytecode(tmp_path, max_bytes=1000)
    assert file.exists()
    trim_bytecode(tmp_path, max_bytes=999)
    assert list(tmp_path.iterdir()) == []
