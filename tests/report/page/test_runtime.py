"""The JavaScript of the page is put together once, and kept for the next page."""

from __future__ import annotations

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


@pytest.mark.slow
def test_the_script_is_kept_and_used_again(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = runtime()
    assert "window.vegaEmbed=" in first
    (file,) = kept.glob("vega-*.js")
    assert version("vl-convert-python") in file.name

    def refuse(*_: object, **__: object) -> str:
        raise AssertionError("the script was put together again")

    monkeypatch.setattr(vl_convert, "javascript_bundle", refuse)
    assert runtime() == first


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"0\nalert(1)", b"\xff" * 100])
def test_a_damaged_file_is_not_used(kept: Path, content: bytes) -> None:
    script = runtime()
    (file,) = kept.glob("vega-*.js")
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
