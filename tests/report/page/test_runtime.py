"""The JavaScript of the page is put together once, and kept for the next page."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import vl_convert

from llem_report._figures.runtime import runtime


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of llem's cache."""
    monkeypatch.setenv("LLEM_CACHE", str(tmp_path / "cache" / "calibrations.json"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the file in which the script was kept when it was put together, and the script."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLEM_CACHE", str(folder / "cache" / "calibrations.json"))
        script = runtime()
    (file,) = (folder / "cache").glob("vega-*.js")
    return file, script


@pytest.fixture
def file(kept: Path, made: tuple[Path, str]) -> Path:
    """Return a copy of the kept file in llem's cache."""
    kept.mkdir()
    return Path(shutil.copy(made[0], kept))


@pytest.mark.slow
def test_the_script_is_kept_and_used_again(
    file: Path, made: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made[1]
    assert "window.vegaEmbed=" in first
    assert version("vl-convert-python") in file.name

    def refuse(*_: object, **__: object) -> str:
        raise AssertionError("the script was put together again")

    monkeypatch.setattr(vl_convert, "javascript_bundle", refuse)
    assert runtime() == first


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"0\nalert(1)", b"\xff" * 100])
def test_a_damaged_file_is_not_used(file: Path, made: tuple[Path, str], content: bytes) -> None:
    script = made[1]
    file.write_bytes(content)
    assert runtime() == script
    assert file.read_bytes().endswith(script.encode())


@pytest.mark.slow
def test_without_a_place_to_keep_it_the_script_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LLEM_CACHE", str(tmp_path / "file" / "calibrations.json"))
    assert "vegaEmbed" in runtime()
