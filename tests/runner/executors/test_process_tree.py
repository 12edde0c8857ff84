"""Which processes belong to a run, with real processes (STU-04)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from llem_config.settings import ENV_RUN_TAG
from llem_runner._executors.local.process_tree import ProcessTree, is_alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

Process = subprocess.Popen[bytes]


class Starter:
    """Starts processes that sleep, and kills them at the end of the test."""

    def __init__(self) -> None:
        self.processes: list[Process] = []

    def start(self, *, session: bool = False, group: int | None = None, tag: str = "") -> Process:
        process = subprocess.Popen(
            ["sleep", "600"],
            start_new_session=session,
            process_group=group,
            env={**os.environ, ENV_RUN_TAG: tag},
        )
        self.processes.append(process)
        return process


@pytest.fixture
def starter() -> Iterator[Starter]:
    starter = Starter()
    yield starter
    for process in starter.processes:
        process.kill()
        process.wait()


def test_a_process_of_the_group_is_a_member(starter: Starter) -> None:
    root = starter.start(group=0)
    other = starter.start(group=root.pid)
    assert set(ProcessTree(root.pid, "tag").members()) == {root.pid, other.pid}


def test_a_process_of_the_session_in_another_group_is_a_member(starter: Starter) -> None:
    script = "import os, time; os.fork() or os.setpgid(0, 0); time.sleep(600)"
    root = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    starter.processes.append(root)
    tree = ProcessTree(root.pid, "tag")
    deadline_s = time.monotonic() + 30
    while len(tree.members()) < 2 and time.monotonic() < deadline_s:
        time.sleep(0.02)
    (child,) = set(tree.members()) - {root.pid}
    try:
        while os.getpgid(child) == root.pid and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert set(tree.members()) == {root.pid, child}
    finally:
        assert tree.kill(10) == ()


def test_a_process_with_the_tag_is_a_member_in_a_session_of_its_own(starter: Starter) -> None:
    root = starter.start(session=True)
    tree = ProcessTree(root.pid, "tag")
    tagged = starter.start(session=True, tag="tag")
    starter.start(session=True, tag="another tag")
    assert set(tree.members()) == {root.pid, tagged.pid}


def test_the_tag_is_found_after_the_child_process_is_gone(starter: Starter) -> None:
    root = starter.start(session=True)
    tree = ProcessTree(root.pid, "tag")
    tagged = starter.start(session=True, tag="tag")
    root.kill()
    root.wait()
    assert tree.members() == (tagged.pid,)


def test_a_zombie_is_not_a_member_and_not_alive(starter: Starter) -> None:
    root = starter.start(session=True)
    tree = ProcessTree(root.pid, "tag")
    assert is_alive(root.pid)
    root.kill()
    os.waitid(os.P_PID, root.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie
    assert not is_alive(root.pid)
    assert tree.members() == ()


def test_kill_ends_every_member_and_no_other_process(starter: Starter) -> None:
    root = starter.start(session=True)
    tree = ProcessTree(root.pid, "tag")
    tagged = starter.start(session=True, tag="tag")
    other = starter.start(session=True)
    assert tree.kill(timeout_s=10) == ()
    assert not is_alive(root.pid)
    assert not is_alive(tagged.pid)
    assert is_alive(other.pid)
