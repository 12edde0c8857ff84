"""Errors of the file system while packs are written and read."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fakes.packed_studies import complete_study, files_below

from llem_runner import StudyError
from llem_runner._storage.packing import pack_runs
from llem_runner.shards import damaged_attempts, merge_study, pack_study

PACK = "shards/0003/a01/runs.zip"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = complete_study(tmp_path_factory.mktemp("made"))
    merge_study(folder)
    pack_study(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / made.name))


def refuse_status(monkeypatch: pytest.MonkeyPatch, code: int, n_times: int) -> None:
    """Let the system not tell whether there is a pack."""
    left = iter(range(n_times))
    for name in ("stat", "lstat"):
        real = getattr(os, name)

        def status(path: Any, *rest: Any, real: Any = real, **options: Any) -> os.stat_result:
            if Path(os.fsdecode(path)).name == "runs.zip" and next(left, None) is not None:
                raise OSError(code, os.strerror(code))
            return real(path, *rest, **options)  # type: ignore[no-any-return]

        monkeypatch.setattr(os, name, status)


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO])
def test_a_pack_that_cannot_be_seen_for_a_moment_is_not_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    attempt = (folder / PACK).parent
    with zipfile.ZipFile(folder / PACK) as content:
        run = content.namelist()[0].partition("/")[0]
        content.extractall(attempt, [name for name in content.namelist() if name.startswith(run)])
    before = files_below(folder)
    with monkeypatch.context() as faulty:
        refuse_status(faulty, code, 1000)
        with pytest.raises(StudyError, match="no file of them is lost"):
            pack_runs(attempt)
    assert files_below(folder) == before
    pack_runs(attempt)
    assert files_below(folder).keys() == {name for name in before if f"/{run}/" not in name}
    assert (folder / PACK).read_bytes() == before[PACK]


def test_a_pack_that_cannot_be_seen_is_named_and_not_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_status(monkeypatch, errno.EIO, 1000)
    assert any(f"{folder / PACK}: cannot be read" in each for each in damaged_attempts(folder))
