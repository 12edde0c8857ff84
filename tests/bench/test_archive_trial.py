"""A stranger can say from an archive what was measured, and a changed byte in it is found (RES-14).

This is one of the archives of `benchmarks/archive_trial.py --small`, measured in one process.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.trial.author import Author, Truth
from benchmarks.trial.stranger import Stranger, agrees
from benchmarks.trial.tampering import change_each_kind

pytestmark = [
    pytest.mark.slow,  # starts a process for each of some twelve commands
    pytest.mark.skipif(shutil.which("cc") is None, reason="compiles the fake driver"),
]


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    """Return an author who has measured two levels, and later a third one."""
    author = Author(tmp_path_factory.mktemp("author"), ("1", "16"), 3, in_one_process=True)
    author.measure()
    author.add_level("64")
    return author


@pytest.fixture(scope="module")
def archive(author: Author, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return author.archive(tmp_path_factory.mktemp("archive") / "study.zip")


def wrong_answers(archive: Path, place: Path, truth: Truth) -> list[str]:
    return [each.question for each in Stranger(place, archive).answers(truth) if not each.is_right]


def test_every_answer_from_an_archive_is_what_was_scripted(
    author: Author, archive: Path, tmp_path: Path
) -> None:
    assert wrong_answers(archive, tmp_path / "place", author.truth) == []


def test_a_changed_byte_in_each_kind_of_file_is_named(archive: Path, tmp_path: Path) -> None:
    changes = list(change_each_kind(archive, tmp_path))
    kinds = {change.kind for change in changes}
    assert {f"data/study/{name}" for name in ("manifest.json", "RUN/result.json")} <= kinds
    assert {"README.md", "bagit.txt", "tagmanifest-sha256.txt"} <= kinds
    assert [change for change in changes if not change.is_named] == []


@pytest.mark.parametrize(
    ("value", "low", "high", "is_right"),
    [
        (1.00, 0.99, 1.01, True),
        (1.04, 1.039, 1.041, True),
        (1.10, 1.04, 1.16, True),
        (1.10, 1.09, 1.11, False),
        (1.10, float("nan"), 1.11, False),
    ],
)
def test_an_answer_agrees_with_the_truth_within_its_interval_or_five_percent(
    value: float, low: float, high: float, is_right: bool
) -> None:
    assert agrees(value, low, high, 1.0) is is_right
