"""Mistakes of the first week: each gets one sentence with the place, what is wrong and what to do.

Nothing is written, and there is no traceback.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from cli.conftest import Run
from cli.mistakes import MISTAKES, Mistake
from fakes.studies import TINY
from report.comparison.folders import make_folder

from llem_report import archive_study

_SAME = {
    **TINY,
    "sweep": {"n": [1, 2]},
    "execution": {"config_gap_seconds": 0, "cycle_gap_seconds": 0, "n_cycles": 3},
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a measured study in `results`, its file and its archive."""
    place = tmp_path_factory.mktemp("place")
    folder = make_folder(place, 1, ns=(1, 2), cycles=3)
    archive_study(folder, place / "study.zip")
    (place / "results").mkdir()
    folder.rename(place / "results" / folder.name)
    (place / "1").rmdir()
    (place / "same.yaml").write_text(json.dumps(_SAME))
    return place


def content_of(folder: Path) -> dict[str, bytes | None]:
    """Return every file by name; the lock of a study is not part of it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.name != ".lock"
    }


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_explained_in_one_sentence_and_nothing_is_written(
    llem: Run, measured: Path, tmp_path: Path, mistake: Mistake
) -> None:
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True)
    text = mistake.text.encode() if isinstance(mistake.text, str) else mistake.text
    (tmp_path / "study.yaml").write_bytes(text)
    (study,) = (tmp_path / "results").iterdir()
    name = f"results/{study.name}"
    before = content_of(tmp_path)
    done = llem(*(word.replace("STUDY", name) for word in mistake.arguments), COLUMNS="80")
    assert done.returncode == mistake.code, done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if not _is_progress(line)]
    assert len(errors) == 1, done.stderr
    for word in mistake.words:
        assert word.replace("STUDY", name) in errors[0]
    assert "Traceback" not in done.stderr
    assert "in llem itself" not in done.stderr
    assert content_of(tmp_path) == before


def _is_progress(line: str) -> bool:
    """Return whether a line says what is about to happen, as it does before each study."""
    return bool(
        re.match(
            r"[\w-]+: \d+ points? x|takes |factors: |`study run --no-gaps`|warning: |note: ", line
        )
    )


def test_the_table_has_forty_mistakes_of_different_kinds() -> None:
    assert len(MISTAKES) >= 40
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES)
    assert all(mistake.words for mistake in MISTAKES)
