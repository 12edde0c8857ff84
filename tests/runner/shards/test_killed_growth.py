"""A process that adds to a divided study and is killed at any of its writes leaves the old study or the new.

The process is a real one, which kills itself just before the n-th change of a name on disk.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.shard_studies import divided, on_a_node

from llem_runner import StudyError, read_manifest, read_study, verify_study
from llem_runner.executors import InlineExecutor
from llem_runner.shards import add_cycles, add_points, merge_study, read_plan, resume_shards

TESTS = Path(__file__).parents[2]
PROGRAM = """
import os, shutil, signal, sys
from pathlib import Path
from fakes.studies import study
from llem_runner.shards import add_cycles, add_points

kind, folder = sys.argv[1], Path(sys.argv[2])
for n in range(1, 100):
    copy = folder.parent / f"killed_{n}"
    shutil.copytree(folder, copy)
    child = os.fork()
    if child == 0:
        left = n
        def before(event, arguments):
            global left
            if event in ("os.mkdir", "os.rename", "os.remove"):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(before)
        if kind == "cycles":
            add_cycles(copy, 4)
        else:
            add_points(copy, study((*range(1, 11), 12), n_cycles=3, cycle_order="shuffled"))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
    assert os.WTERMSIG(status) == signal.SIGKILL
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = divided(tmp_path).folder
    resume_shards(folder, executor=InlineExecutor(), measure=on_a_node)
    return folder


def killed_at_each_write(kind: str, folder: Path) -> list[Path]:
    """Return a copy of a study for each write, and last the one that was not killed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(folder)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return sorted(folder.parent.glob("killed_*"), key=lambda path: int(path.name[7:]))


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = [folder / "study_resolved.json", *folder.glob("shards/*.json")]
    files += folder.glob("shards/*/shard.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def state_of(folder: Path) -> tuple[int, int, str, int]:
    """Return numbers of shards and cycles, whether the files are intact, and the runs with results."""
    result = merge_study(folder)
    verdict = verify_study(folder, files_only=True).verdict
    n_cycles = read_study(folder).execution.n_cycles
    assert result.measurement_protocol.n_cycles == n_cycles
    return len(read_plan(folder).shards), n_cycles, verdict, result.summary.completed


def test_a_kill_at_any_write_of_more_cycles_loses_nothing_and_the_call_is_repeated(
    folder: Path,
) -> None:
    *killed, whole = killed_at_each_write("cycles", folder)
    assert not (killed[0] / "shards/0007").exists()
    assert not (killed[1] / "shards/0007/shard.json").exists()
    expected = bytes_of(whole)
    states = []
    for copy in killed:
        shown = read_manifest(copy).totals  # before anything repairs the folder
        states.append(state_of(copy))
        assert shown.completed + shown.pending == {6: 30, 8: 40}[states[-1][0]]
        add_cycles(copy, 4)
        assert bytes_of(copy) == expected
        assert state_of(copy) == (8, 4, "intact", 30)
    assert set(states) == {(6, 3, "intact", 30), (8, 4, "intact", 30)}
    assert states == sorted(states)
    done = resume_shards(killed[-1], executor=InlineExecutor(), measure=on_a_node)
    assert (done.result.status, done.result.summary.completed) == ("completed", 40)


def test_a_kill_at_any_write_of_more_points_leaves_the_old_points_or_the_new(
    folder: Path,
) -> None:
    *killed, _ = killed_at_each_write("points", folder)
    more = json.loads((killed[-1] / "shards/plan.json").read_text())
    states = []
    for copy in killed:
        states.append(state_of(copy))
        if states[-1][0] == 6:
            from_scratch = shutil.copytree(copy, copy.with_suffix(".again"))
            config = read_study(killed[-1])
            config = config.model_copy(
                update={
                    "execution": config.execution.model_copy(update={"n_cycles": 3}),
                    "parts": (),
                }
            )
            assert add_points(from_scratch, config).numbers == (7, 8, 9)
            again = json.loads((from_scratch / "shards/plan.json").read_text())
            assert again["shard_sha256"] == more["shard_sha256"]
        else:
            with pytest.raises(StudyError, match="is not finished: 9 of 39 runs are open"):
                add_points(copy, read_study(copy))
    assert set(states) == {(6, 3, "intact", 30), (9, 6, "intact", 30)}
    assert states == sorted(states)
    done = resume_shards(killed[-1], executor=InlineExecutor(), measure=on_a_node)
    assert (done.result.status, done.result.summary.completed) == ("completed", 39)
