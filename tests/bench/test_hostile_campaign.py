"""The short hostile campaign has no fault, and the campaign notices faults when there are some."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.hostile import values
from benchmarks.hostile.place import FaultFound, Place, new_place
from benchmarks.hostile.process import Ended, call, judge
from benchmarks.hostile.values import change_bytes, change_json, replace

CAMPAIGN = Path(__file__).parents[2] / "benchmarks" / "hostile_campaign.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


# A minute in all; other kinds are slower, and tests of their own cover most of them.
KINDS = (
    *("forbidden files", "folder", "hostile text", "full disk", "read-only disk"),
    *("GPU of two users", "folder of two users"),
)
ONLY_ROOT = {"full disk", "read-only disk", "GPU of two users", "folder of two users"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_fast_kinds_of_the_short_campaign_have_no_fault() -> None:
    """Started by root, it runs as an ordinary user too."""
    is_root = os.geteuid() == 0
    kinds = [kind for kind in KINDS if is_root or kind not in ONLY_ROOT]
    options = [option for kind in kinds for option in ("--kind", kind)]
    done = subprocess.run(
        [sys.executable, CAMPAIGN, "--short", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    rows = re.findall(r"^(\S.*?)  +(\d+) +0\b", done.stdout, re.MULTILINE)
    tried = [name for name, n_tries in rows if int(n_tries) > 0]
    assert {name for name in tried if not name.startswith("all")} == set(kinds)
    assert len(tried) == len(kinds) + (len(set(kinds) - ONLY_ROOT) + 2 if is_root else 1)


def in_child(action: Callable[[], object], tmp_path: Path) -> Ended:
    with new_place(tmp_path) as place:
        ended = call(action, place, max_s=20.0)
        judge(ended)
        return ended


@pytest.mark.parametrize(
    ("action", "fault"),
    [
        (lambda: print("\x1b[2J"), "control characters"),
        (lambda: print("error in llem itself: x"), "an error in llem itself"),
        (lambda: [][0], "an error in llem itself"),
        (lambda: print("results: /forged"), "a forged line"),
        (lambda: sys.exit(7), "exit code 7"),
        (lambda: sys.exit(1), "without a word"),
        (lambda: bytearray(2 * 10**9), "GB of memory"),
        (lambda: Path(os.environ["TMPDIR"], "x").touch(), "temporary files are left over"),
    ],
)
def test_what_a_command_must_not_do_is_a_fault(
    tmp_path: Path, action: Callable[[], object], fault: str
) -> None:
    with pytest.raises(FaultFound, match=fault):
        in_child(action, tmp_path)


def test_a_command_that_hangs_is_a_fault(tmp_path: Path) -> None:
    with new_place(tmp_path) as place, pytest.raises(FaultFound, match="it hangs"):
        call(lambda: time.sleep(600), place, max_s=1.0)


def test_a_command_without_a_fault_is_returned(tmp_path: Path) -> None:
    ended = in_child(lambda: print("done"), tmp_path)
    assert (ended.code, ended.out, ended.err) == (0, "done\n", "")


@pytest.mark.parametrize(
    "change",
    [
        lambda place: (place.precious / "thesis.txt").write_text("new"),
        lambda place: (place.precious / "thesis.txt").chmod(0o600),
        lambda place: (place.precious / "folder" / "notes.txt").unlink(),
        lambda place: (place.root / "new").touch(),
    ],
)
def test_a_change_outside_the_folder_of_the_study_is_a_fault(
    tmp_path: Path, change: Callable[[Place], object]
) -> None:
    with new_place(tmp_path) as place:
        before = place.snapshot(place.work)
        (place.work / "result").touch()
        place.check(before, place.work)
        change(place)
        with pytest.raises(FaultFound, match="files outside the study's folder changed"):
            place.check(before, place.work)


@pytest.mark.parametrize("exists", [True, False])
def test_what_a_user_may_not_make_leaves_the_file_as_it_was(
    tmp_path: Path, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only root can make a device."""

    def refuse(path: Path, place: Place) -> None:
        raise PermissionError

    monkeypatch.setattr(values, "_REPLACEMENTS", {"a device": refuse})
    path = tmp_path / "file"
    if exists:
        path.write_text("content")
    with new_place(tmp_path) as place:
        assert replace(random.Random(1), path, place) == "nothing"
    assert path.exists() == exists


def test_mutations_are_reproducible_and_differ() -> None:
    content = b'{"a": [1, {"b": "c"}], "d": "2026-01-01"}'
    for change in (change_bytes, change_json):
        first = [change(random.Random(n), content) for n in range(200)]
        assert first == [change(random.Random(n), content) for n in range(200)]
        assert len(set(first)) > 50
