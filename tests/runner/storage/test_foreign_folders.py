"""Folders in which other people may write: no link is followed, no foreign file is changed."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import measures
from fakes.studies import only_folder, study

from llem_runner import (
    StudyError,
    changed_files,
    is_running,
    read_manifest,
    read_run_result,
    read_stored_run,
    read_study_result,
    resume_study,
    run_study,
)
from llem_runner._executors.inline import InlineExecutor
from llem_runner._executors.log_file import close_log, open_log
from llem_runner._storage.atomic_files import encode_json, write_atomically
from llem_runner._study.time_left import time_left_s

TESTS = Path(__file__).parents[2]
OTHER_UID = 65534
PRECIOUS = b"the only copy of the data\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of two runs, of which the second was interrupted."""
    results = tmp_path / "results"
    run_study(study((1, 2)), output=results, measure=measures.quick, executor=InlineExecutor())
    folder = only_folder(results)
    data = json.loads((folder / "manifest.json").read_text())
    data["entries"][1] |= {"status": "interrupted", "result_file": None, "result_sha256": None}
    (folder / "manifest.json").write_text(json.dumps(data))
    return folder


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of the user outside of the study's folder."""
    file = tmp_path / "home" / "precious"
    file.parent.mkdir()
    file.write_bytes(PRECIOUS)
    return file


def resume(folder: Path) -> str:
    return resume_study(folder, measure=measures.quick, executor=InlineExecutor()).status


def run_folder(folder: Path, index: int) -> Path:
    (found,) = folder.glob(f"{index:04d}_c*")
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }


@pytest.mark.parametrize(
    "name",
    ["log.txt", "result.json", "timeseries.parquet", "requests.parquet", "manifest.json",
     "study_resolved.json", "study_result.json", ".lock"],
)  # fmt: skip
@pytest.mark.parametrize("is_dangling", [False, True])
def test_a_resume_refuses_a_link_in_place_of_a_file_and_changes_nothing(
    folder: Path, precious: Path, name: str, is_dangling: bool
) -> None:
    is_of_run = name in ("log.txt", "result.json", "timeseries.parquet", "requests.parquet")
    link = (run_folder(folder, 2) if is_of_run else folder) / name
    if name in ("manifest.json", "study_resolved.json"):  # a good file, but elsewhere
        precious.write_bytes(link.read_bytes())
    expected = precious.read_bytes()
    link.unlink(missing_ok=True)
    link.symlink_to(precious.with_name("missing") if is_dangling else precious)
    before = content(folder)
    with pytest.raises(StudyError) as caught:
        resume(folder)
    assert str(link) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert content(folder) == before
    assert content(precious.parent) == {str(precious): expected}


def test_a_resume_refuses_a_link_in_place_of_the_folder_of_a_run(
    folder: Path, precious: Path
) -> None:
    link = run_folder(folder, 2)
    shutil.rmtree(link)
    link.symlink_to(precious.parent)
    for name in ("result.json", "log.txt", ".llem-0123456789abcdef.tmp"):
        (precious.parent / name).write_bytes(PRECIOUS)
    before = content(precious.parent)
    with pytest.raises(StudyError, match=f"{link.name}: expected a folder, found a link"):
        resume(folder)
    assert content(precious.parent) == before


def test_a_link_that_appears_in_the_middle_of_a_study_is_not_followed(
    tmp_path: Path, precious: Path
) -> None:
    def replace(event: object) -> None:
        if type(event).__name__ == "RunStarted" and getattr(event, "index", 0) == 1:
            study_folder = only_folder(tmp_path / "results")
            config_hash = read_manifest(study_folder).entries[1].config_hash[:8]
            link = study_folder / f"0002_c1_tiny-llama_{config_hash}"
            link.symlink_to(precious.parent)

    with pytest.raises(StudyError, match="expected a folder, found a link"):
        run_study(
            study((1, 2)),
            output=tmp_path / "results",
            measure=measures.quick,
            executor=InlineExecutor(),
            on_event=replace,
        )
    assert content(precious.parent) == {str(precious): PRECIOUS}
    assert read_manifest(only_folder(tmp_path / "results")).entries[0].status == "completed"


def test_a_hard_link_to_a_file_elsewhere_is_not_written_to(folder: Path, precious: Path) -> None:
    log = run_folder(folder, 2) / "log.txt"
    log.unlink()
    os.link(precious, log)
    assert resume(folder) == "completed"
    assert precious.read_bytes() == PRECIOUS
    assert log.stat().st_nlink == 1
    assert log.with_name("log.txt.old").samefile(precious)


def test_a_lock_that_is_a_hard_link_is_refused(folder: Path, precious: Path) -> None:
    (folder / ".lock").unlink()
    os.link(precious, folder / ".lock")
    with pytest.raises(StudyError, match=r"\.lock: expected a lock file of its own"):
        resume(folder)
    assert precious.read_bytes() == PRECIOUS


def test_the_folder_that_the_user_names_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(folder)
    assert resume(tmp_path / "latest") == "completed"
    assert read_study_result(tmp_path / "latest").status == "completed"


@pytest.mark.parametrize("name", ["manifest.json", "study_resolved.json", "study_result.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "large", "deep", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_one_sentence_in_every_command(
    folder: Path, name: str, kind: str
) -> None:
    file = folder / name
    file.unlink()
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "device":
            if os.geteuid() != 0:
                pytest.skip("only root can make a device")
            os.mknod(file, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
        case "folder":
            file.mkdir()
        case "large":
            file.touch()
            os.truncate(file, 2**40)
        case "deep":
            file.write_text('{"a":' * 200_000)
        case "not UTF-8":
            file.write_bytes(b'{"study_name": "\xff"}')
    reads = {
        "manifest.json": (read_manifest, resume),
        "study_resolved.json": (resume,),
        "study_result.json": (read_study_result,),
    }
    for read in reads[name]:
        with pytest.raises(StudyError) as caught:
            read(folder)
        message = str(caught.value)
        assert "\n" not in message
        assert str(file) in message
    is_running(folder)


@pytest.mark.parametrize("name", ["result.json", "timeseries.parquet", "requests.parquet"])
def test_a_result_that_is_a_pipe_neither_blocks_nor_counts(folder: Path, name: str) -> None:
    file = run_folder(folder, 1) / name
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    assert changed_files(folder, read_manifest(folder)) or name != "result.json"
    with pytest.raises(StudyError, match=f"{name}: expected a regular file, found a pipe"):
        resume(folder)


def _set(data: object, where: str, value: object) -> None:
    *parents, last = where.split(".")
    for key in parents:
        data = data[int(key) if key.isdigit() else key]  # type: ignore[index]
    data[last] = value  # type: ignore[index]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("started_at", "2026-11-28T20:00:00"),  # without an offset
        ("ended_at", "yesterday"),
        ("started_at", "2026-13-40T99:00:00+00:00"),
        ("entries.0.started_at", "2026-11-28T20:00:00"),
        ("entries.1.ended_at", ""),
        ("entries.0.run_s", 1.7e308),
        ("entries.0.run_s", -1.0),
        ("entries.0.gap_s", 1e300),
        ("entries.0.index", -1),
        ("entries.0.index", 0),
        ("entries.0.index", 10**18),
        ("entries.0.index", 10**3000),
        ("entries.1.index", 1),  # twice
        ("entries.0.cycle", -3),
        ("entries.0.attempts", -1),
        ("entries.0.attempts", 10**15),
        ("entries.0.gpu_temperatures_c", {"GPU-1": 1.7e308}),
        ("first_temperatures_c", {"GPU-1": -1e300}),
        ("entries.0.result_file", "/etc/passwd"),
        ("entries.0.result_file", "../other/0001_c1_a_01234567/result.json"),
        ("entries.0.result_file", "0001_c1_../../x/result.json"),
        ("entries.0.result_file", "0001_c1_a\0b_01234567/result.json"),
        ("entries.0.result_file", "x" * 100_000),
    ],
)
def test_a_value_that_llem_cannot_have_written_is_named_with_its_field(
    folder: Path, where: str, value: object
) -> None:
    file = folder / "manifest.json"
    data = json.loads(file.read_text())
    _set(data, where, value)
    file.write_text(json.dumps(data))
    field = where.replace("entries.0", "entries[0]").replace("entries.1", "entries[1]")
    for read in (read_manifest, resume):
        with pytest.raises(StudyError) as caught:
            read(folder)
        message = str(caught.value)
        assert message.startswith(f"{file} is damaged: {field}")
        assert len(message) < len(str(file)) + 300
        assert message.isprintable()


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("status", "finished"),
        ("status", "x" * 100_000),
        ("status", "\x1b[2Jcompleted"),
        ("entries.0.status", None),
        ("entries.0.index", 1.5),
        ("entries", {}),
        ("pid", "me"),
        ("schema_version", 0),
    ],
)
def test_a_value_of_another_type_is_one_sentence(folder: Path, where: str, value: object) -> None:
    file = folder / "manifest.json"
    data = json.loads(file.read_text())
    _set(data, where, value)
    file.write_text(json.dumps(data))
    with pytest.raises(StudyError, match="is damaged or from another version") as caught:
        read_manifest(folder)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(file)) + 400


def test_the_result_of_a_study_names_no_file_outside_of_its_folder(folder: Path) -> None:
    assert resume(folder) == "completed"
    file = folder / "study_result.json"
    data = json.loads(file.read_text())
    data["result_files"][1] = "../../secret/result.json"
    file.write_text(json.dumps(data))
    with pytest.raises(StudyError, match=r"result_files\[1\]: expected the result of a run"):
        read_study_result(folder)


def test_a_resolved_study_of_other_points_is_refused(folder: Path, tmp_path: Path) -> None:
    other = study((3, 4)).model_dump_json()
    (folder / "study_resolved.json").write_text(other)
    with pytest.raises(StudyError, match="belong to two studies"):
        resume(folder)
    assert time_left_s(folder, read_manifest(folder)) is not None


def test_a_resume_deletes_only_temporary_files_that_llem_makes(
    folder: Path, precious: Path
) -> None:
    ours = [
        folder / ".llem-0123456789abcdef.tmp",
        folder / ".manifest.json.123.tmp",
        run_folder(folder, 1) / ".result.json.9.tmp",
    ]
    for file in ours:
        file.write_text("")
    ours.append(run_folder(folder, 2) / ".llem-00000000000000ff.tmp")
    ours[-1].symlink_to(precious)
    theirs = [
        folder / ".notes.tmp",
        folder / ".manifest.json.tmp",
        folder / ".my.manifest.json.123.tmp",
        folder / "plots" / ".llem-0123456789abcdef.tmp",
        run_folder(folder, 1) / ".draft.tmp",
    ]
    theirs[3].parent.mkdir()
    for file in theirs:
        file.write_text("of the user")
    (folder / ".llem-1111111111111111.tmp").mkdir()
    (folder / "elsewhere").symlink_to(precious.parent)
    (precious.parent / ".llem-0123456789abcdef.tmp").write_text("of the user")
    assert resume(folder) == "completed"
    assert [file for file in ours if os.path.lexists(file)] == []
    assert [file.read_text() for file in theirs] == ["of the user"] * 5
    assert (folder / ".llem-1111111111111111.tmp").is_dir()
    assert (precious.parent / ".llem-0123456789abcdef.tmp").read_text() == "of the user"
    assert precious.read_bytes() == PRECIOUS


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o022])
def test_the_files_of_a_study_have_the_permissions_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        run_study(study((1,)), output=tmp_path, measure=measures.quick, executor=InlineExecutor())
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in only_folder(tmp_path).rglob("*")
        if path.is_file()
    }
    assert set(modes) >= {"manifest.json", "study_resolved.json", "result.json", "log.txt"}
    assert set(modes.values()) == {0o666 & ~umask}


def test_a_link_in_place_of_a_written_file_is_replaced_and_not_followed(precious: Path) -> None:
    file = precious.parent / "result.json"
    file.symlink_to(precious)
    write_atomically(file, b"{}")
    assert precious.read_bytes() == PRECIOUS
    assert not file.is_symlink()
    assert file.read_bytes() == b"{}"


def test_a_file_with_the_longest_possible_name_can_be_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("x" * 255), b"1")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"1"


@pytest.mark.parametrize("name", ["missing/a.json", "file/a.json", "x" * 256, "a\0b"])
def test_a_place_where_no_file_can_be_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"cannot be written|expected a folder, found a file"):
        write_atomically(tmp_path / name, b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_text_without_utf_8_is_stored_with_escapes() -> None:
    assert json.loads(encode_json({"caf\udce9": ["a\ud800", "é"]})) == {
        r"caf\udce9": [r"a\ud800", "é"]
    }


_AS_OTHER_USER = f"""
import os, sys, tempfile
sys.path[:0] = {[str(TESTS), *sys.path]!r}
from pathlib import Path
from fakes import measures
from fakes.studies import study
from llem_runner import resume_study, run_study
from llem_runner._executors.inline import InlineExecutor
from llem_runner._storage.atomic_files import write_atomically
# What is imported later is imported now, because the other user may not read the files of Python.
with tempfile.TemporaryDirectory() as warm:
    run_study(study((1,)), output=warm, measure=measures.quick, executor=InlineExecutor())
    resume_study(next(Path(warm).iterdir()), measure=measures.quick, executor=InlineExecutor())
os.setgroups([]); os.setgid({OTHER_UID}); os.setuid({OTHER_UID})
os.environ["HOME"] = "/nonexistent"
os.umask(0o022)
"""


def as_other_user(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return subprocess.run(
        [sys.executable, "-c", _AS_OTHER_USER + code],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_another_user_gets_a_sentence_from_a_folder_that_he_cannot_write(
    folder: Path, open_folder: Path
) -> None:
    folder = folder.rename(open_folder / folder.name)
    folder.chmod(0o755)
    before = content(folder)
    code = f"""
for attempt in (
    lambda: write_atomically(Path({str(folder / "manifest.json")!r}), b"1"),
    lambda: resume_study({str(folder)!r}, measure=measures.quick, executor=InlineExecutor()),
    lambda: run_study(study((1,)), output={str(folder)!r}, measure=measures.quick),
):
    try:
        attempt()
    except Exception as error:
        print(type(error).__name__, "\\n" not in str(error).strip())
"""
    done = as_other_user(code, Path("/"))
    assert done.stdout.split() == ["StudyError", "True"] * 2 + ["PreflightError", "True"], done
    assert content(folder) == before


def test_a_new_folder_is_deleted_when_its_files_cannot_be_written(tmp_path: Path) -> None:
    code = f"""
import resource, signal, sys
sys.path[:0] = {[str(TESTS), *sys.path]!r}
from fakes import measures
from fakes.studies import study
from llem_runner import StudyError, run_study
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    run_study(study((1,)), output={str(tmp_path / "out")!r}, measure=measures.quick)
except StudyError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert "study_resolved.json cannot be written: File too large" in done.stdout, done
    assert list((tmp_path / "out").iterdir()) == []


def test_a_process_with_few_open_files_gets_a_sentence(tmp_path: Path) -> None:
    code = f"""
import os, resource, sys
sys.path[:0] = {[str(TESTS), *sys.path]!r}
from pathlib import Path
from llem_runner import StudyError
from llem_runner._storage.atomic_files import write_atomically
path = Path({str(tmp_path)!r}) / "a.json"
write_atomically(path, b"1")
held = []
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for n_free in range(3):
    try:
        write_atomically(path, b"2")
        print("written")
    except StudyError as error:
        print(error)
    os.close(held.pop())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    sentence = f"{tmp_path / 'a.json'} cannot be written: Too many open files; its previous"
    lines = done.stdout.splitlines()
    assert [line.startswith(sentence) for line in lines] == [True, True, False], done
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


SECRET = "hf_" + "a1B2" * 8


def test_passwords_are_struck_out_of_a_log_when_the_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "correct-horse-battery")
    log = tmp_path / "log.txt"
    log.write_text("of an earlier attempt\n")
    key = (
        "-----BEGIN PRIVATE KEY-----\n" + ("MIIEvQIBADANBg+/\n" * 300) + "-----END PRIVATE KEY-----"
    )
    with open_log(log) as file:
        start = file.tell()
        file.write(f"load {SECRET}\n\xff caf\xe9 ".encode("latin-1"))
        file.write(b"x" * (2**20 - 3000) + b"\n" + key.encode() + b"\n" + b"y" * 2**21)
        file.write(f"\nhttps://me:pa55word@hub.example.org correct-horse-battery {SECRET}".encode())
    close_log(log, start)
    text = log.read_bytes()
    assert text.startswith(b"of an earlier attempt\nload ***\n\xff caf\xe9 xxx")
    assert text.endswith(b"yyy\nhttps://***@hub.example.org *** ***")
    assert b"MIIE" not in text
    assert text.count(b"x") == 2**20 - 3000 + 1  # and one in `example`
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_a_log_without_passwords_stays_the_same_file(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with open_log(log) as file:
        file.write(b"Loading weights: 100%\r\nmax_new_tokens=4\n")
    before = log.stat().st_ino
    close_log(log, 0)
    assert log.stat().st_ino == before
    assert log.read_bytes() == b"Loading weights: 100%\r\nmax_new_tokens=4\n"


def test_closing_a_log_follows_no_link(tmp_path: Path, precious: Path) -> None:
    precious.write_text(f"token {SECRET}")
    log = tmp_path / "log.txt"
    log.symlink_to(precious)
    close_log(log, 0)
    assert precious.read_text() == f"token {SECRET}"
    assert log.is_symlink()
    with pytest.raises(StudyError, match=r"log\.txt cannot be written: it is a link"):
        open_log(log)


def test_the_result_of_a_run_is_read_and_no_link_is_followed(folder: Path, precious: Path) -> None:
    completed, interrupted = read_manifest(folder).entries
    assert read_run_result(folder, completed).measurement_config_hash == completed.config_hash
    with pytest.raises(StudyError, match="run 2 has no result: expected a completed run, found"):
        read_run_result(folder, interrupted)
    result = run_folder(folder, 1) / "result.json"
    assert read_stored_run(folder, completed).is_changed is False
    result.write_bytes(result.read_bytes() + b"\n")
    assert read_stored_run(folder, completed).is_changed is True
    shutil.move(result, precious)
    result.symlink_to(precious)
    with pytest.raises(StudyError, match="found a link"):
        read_run_result(folder, completed)
