"""Locks of GPUs and study folders on a machine with several users (STU-06)."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.hostile.users import STRANGER, another_user
from llem_runner import Control, StudyError, StudyLocked, is_running
from llem_runner._events import Event, WaitingForGpu
from llem_runner._gpus.claims import claims_on
from llem_runner._gpus.locks import Queue, hold_gpus
from llem_runner._storage.lock import hold

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")


@pytest.fixture
def uuid() -> str:
    return f"GPU-lock-{os.getpid()}-{time.monotonic_ns()}"


CLAIM = """
content = ('{"pid":%d,"since":"now","study":"s","gpu":"%s"}' % (os.getpid(), sys.argv[1])).encode()
path = "/tmp/llem-%s.%d-other.lock" % (sys.argv[1], os.getpid())
number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
os.write(number, content)
fcntl.fcntl(number, fcntl.F_OFD_SETLK, struct.pack("@hhqqi0q", fcntl.F_WRLCK, 0, 0, 0, 0))
"""


def test_a_second_study_of_the_same_user_is_refused_with_the_name_of_the_holder(uuid: str) -> None:
    with hold_gpus([uuid], study="night"):
        with pytest.raises(StudyLocked) as caught, hold_gpus([uuid]):
            pass
        user = pwd.getpwuid(os.geteuid()).pw_name
        assert f"user {user}, process {os.getpid()}, since " in str(caught.value)
        assert "night in " in str(caught.value)
        assert len(claims_on(uuid)) == 1  # that of the refused study is withdrawn
    with hold_gpus([uuid]):
        pass
    assert not list(Path("/tmp").glob(f"*{uuid}*"))


def test_the_claim_of_a_killed_process_does_not_count(uuid: str) -> None:
    code = (
        "import os, signal, sys\nfrom llem_runner._gpus.locks import hold_gpus\n"
        "with hold_gpus([sys.argv[1]]):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, uuid], check=False)
    assert len(list(Path("/tmp").glob(f"*{uuid}*"))) == 1
    with hold_gpus([uuid]):
        assert len(list(Path("/tmp").glob(f"*{uuid}*"))) == 1  # its own


@as_root
def test_the_claim_of_another_user_counts_while_its_process_lives(uuid: str) -> None:
    with another_user(CLAIM, uuid) as process:
        with pytest.raises(StudyLocked) as caught, hold_gpus([uuid]):
            pass
        assert f"user {pwd.getpwuid(STRANGER).pw_name}, process {process.pid}" in str(caught.value)
    with hold_gpus([uuid]):
        pass
    (left,) = Path("/tmp").glob(f"*{uuid}*")
    left.unlink()


@as_root
def test_a_claim_without_a_process_on_the_gpu_does_not_count_for_ever(uuid: str) -> None:
    events: list[Event] = []
    control = Control()
    with another_user(CLAIM, uuid):
        queue = Queue(control, events.append, patience_s=0.3)
        with hold_gpus([uuid], queue):
            assert [type(event) for event in events] == [WaitingForGpu]
    control.close()
    for path in Path("/tmp").glob(f"*{uuid}*"):
        path.unlink()


RENEWED = """
import _thread  # a module that needs no file, which this user may not read
def claim(turn):
    path = "/tmp/llem-%s.%d-other.lock" % (sys.argv[1], turn)
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    content = '{"pid":%d,"since":"now","study":"s","gpu":"%s"}' % (os.getpid(), sys.argv[1])
    os.write(number, content.encode())
    fcntl.fcntl(number, fcntl.F_OFD_SETLK, struct.pack("@hhqqi0q", fcntl.F_WRLCK, 0, 0, 0, 0))
    return path, number
def renew(held):
    for turn in range(1, 10**6):
        time.sleep(0.1)
        path, number = held
        held = claim(turn)
        os.unlink(path)
        os.close(number)
_thread.start_new_thread(renew, (claim(0),))
"""


@as_root
@pytest.mark.timeout(60)
def test_a_user_who_renews_a_claim_does_not_keep_others_off_a_gpu(uuid: str) -> None:
    control = Control()
    with (
        another_user(RENEWED, uuid),
        hold_gpus([uuid], Queue(control, lambda _: None, patience_s=1.0)),
    ):
        pass
    control.close()
    for path in Path("/tmp").glob(f"*{uuid}*"):
        path.unlink()


@as_root
@pytest.mark.parametrize(
    "code",
    [
        "os.mkfifo(f'/tmp/llem-{sys.argv[1]}.1-x.lock')",
        "os.mkdir(f'/tmp/llem-{sys.argv[1]}.1-x.lock')",
        "os.symlink('/dev/zero', f'/tmp/llem-{sys.argv[1]}.1-x.lock')",
        "os.open(f'/tmp/llem-{sys.argv[1]}.lock', os.O_CREAT, 0o600)",
        "open(f'/tmp/llem-{sys.argv[1]}.1-x.lock', 'w').write('not ours')",
    ],
)
def test_files_of_another_user_lock_no_gpu(uuid: str, code: str) -> None:
    with another_user(code, uuid), hold_gpus([uuid]):
        pass
    for path in Path("/tmp").glob(f"*{uuid}*"):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_the_lock_of_a_folder_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with hold(tmp_path / ".lock", "the folder"):
            assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_looking_takes_no_lock(tmp_path: Path) -> None:
    """Neither thousands of looks nor a reader that locks what he can keep a study from its lock."""
    with hold(tmp_path / ".lock", "the folder"):
        assert is_running(tmp_path)
    looker = subprocess.Popen(
        [sys.executable, "-c", "import sys\nfrom llem_runner import is_running\n"
         "print(flush=True)\nwhile True: is_running(sys.argv[1])", str(tmp_path)],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert looker.stdout is not None
        looker.stdout.readline()
        for _ in range(500):
            with hold(tmp_path / ".lock", "the folder"):
                pass
    finally:
        looker.kill()
        looker.communicate()
    assert not is_running(tmp_path)


@as_root
def test_a_user_who_can_only_read_a_folder_cannot_lock_it(tmp_path: Path) -> None:
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    folder.chmod(0o755)
    with hold(folder / ".lock", "the folder"):
        pass
    code = "number = os.open(sys.argv[1], os.O_RDONLY)\nfcntl.flock(number, fcntl.LOCK_EX)\n"
    with another_user(code, str(folder / ".lock")), hold(folder / ".lock", "the folder"):
        pass
    (folder / ".lock").unlink()
    folder.rmdir()


def test_a_folder_in_use_names_the_process_and_a_link_is_refused(tmp_path: Path) -> None:
    with (
        hold(tmp_path / ".lock", "the folder"),
        pytest.raises(StudyLocked, match=f"process {os.getpid()}, since"),
        hold(tmp_path / ".lock", "the folder"),
    ):
        pass
    (tmp_path / "file").write_text("precious")
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").symlink_to(tmp_path / "file")
    with (
        pytest.raises(StudyError, match="copy it to a folder of your own"),
        hold(tmp_path / ".lock", "the folder"),
    ):
        pass
    assert (tmp_path / "file").read_text() == "precious"
