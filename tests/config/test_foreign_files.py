"""Files that other people wrote are opened only if they are regular, small and shallow."""

from __future__ import annotations

import json
import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from llem_config import ConfigError, load_study
from llem_config.foreign_files import (
    ForeignFileError,
    create_file,
    file_problem,
    kind_of,
    opened,
    parse_json,
    read_bytes,
    read_json,
    replace_file,
    shown,
)


def refusal(path: Path, max_bytes: int = 1000) -> str:
    with pytest.raises(ForeignFileError) as caught:
        read_json(path, max_bytes=max_bytes)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_regular_file_is_read_also_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, {"b": null}]}')
    (tmp_path / "link").symlink_to("a.json")
    assert read_json(tmp_path / "a.json", max_bytes=100) == {"a": [1, {"b": None}]}
    assert read_json(tmp_path / "link", max_bytes=100) == {"a": [1, {"b": None}]}
    assert file_problem(tmp_path / "link", 100) is None


def test_a_link_is_refused_on_request(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("{}")
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(ForeignFileError, match="found a link"):
        read_bytes(tmp_path / "link", max_bytes=10, follow_links=False)
    assert read_bytes(tmp_path / "a", max_bytes=10, follow_links=False) == b"{}"


@pytest.mark.timeout(20)
def test_a_pipe_a_socket_a_device_and_a_folder_are_named_and_never_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)  # the name of a socket is limited to 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert "found a socket" in refusal(tmp_path / "socket")
    assert "expected a regular file, found a named pipe" in refusal(tmp_path / "pipe")
    assert "found a folder" in refusal(tmp_path / "folder")
    for device in ("/dev/zero", "/dev/null"):
        assert "found a device" in refusal(Path(device))
        (tmp_path / "link").symlink_to(device)
        assert "found a device" in refusal(tmp_path / "link")
        (tmp_path / "link").unlink()


def test_what_is_missing_or_unreadable_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent").endswith(
        "absent: cannot be read: No such file or directory"
    )
    (tmp_path / "loop").symlink_to("loop")
    assert "link" in refusal(tmp_path / "loop")
    assert "cannot be read" in refusal(tmp_path / "a\0b")
    assert file_problem(tmp_path / "a\0b") is not None


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)  # sparse: reading it would need a terabyte
    assert "expected at most 1,000 bytes, found 1,099,511,627,776" in refusal(tmp_path / "huge")
    with opened(tmp_path / "huge") as file:
        assert file.read(1) == b"\0"


def test_a_file_without_a_size_is_read_up_to_the_limit() -> None:
    status = Path("/proc/self/status")
    assert status.stat().st_size == 0
    with pytest.raises(ForeignFileError, match="expected at most 10 bytes, found more than 10"):
        read_bytes(status, max_bytes=10)
    assert b"Name:" in read_bytes(status, max_bytes=100_000)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected JSON: "),
        (b"{", "expected JSON: "),
        (b"\xff\xfe{}", "expected JSON: invalid UTF-8, byte 0xff at position 0"),
        (b"\xef\xbb\xbf{}", "expected JSON: "),
        (b'{"a": ' + b"9" * 5000 + b"}", "expected JSON: "),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "expected each key once, found 'c' twice"),
        (b"[1]", "expected an object, found a list"),
        (b"null", "expected an object, found null"),
        (b"true", "expected an object, found true or false"),
        (b'"a"', "expected an object, found text"),
        (b"5", "expected an object, found a number"),
        (b"[" * 100_000, "expected at most 100 objects and lists inside each other"),
        (b'{"a": ' * 101 + b"1" + b"}" * 101, "expected at most 100 objects"),
    ],
    ids=range(13),
)
def test_damaged_json_is_one_sentence_with_the_path(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert refusal(tmp_path / "a.json", 1_000_000).startswith(f"{tmp_path / 'a.json'}: {expected}")


def test_the_deepest_json_that_is_accepted_has_a_hundred_levels() -> None:
    assert parse_json(b'{"a": ' * 100 + b"1" + b"}" * 100, "here")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"), (True, "true"), (5, "5"), (10**40, "a number of more than 30 digits"),
        ("a\x1b[31m\n", "'a\\x1b[31m\\n'"), ("\ud800", "'\\ud800'"), ([1], "a list"),
        (float("nan"), "nan"), ("x" * 100, "'" + "x" * 59 + "..."),
    ],
)  # fmt: skip
def test_a_value_is_shown_short_and_printable(value: object, expected: str) -> None:
    assert shown(value) == expected
    assert shown(value).isprintable()
    assert kind_of(json.loads(json.dumps({}))) == "an object"


def test_a_new_file_takes_the_place_of_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"data")
    for name, target in (("link", "precious"), ("dangling", "missing")):
        (tmp_path / name).symlink_to(target)
    os.link(tmp_path / "precious", tmp_path / "hard")
    for name in ("link", "dangling", "hard", "new"):
        with create_file(tmp_path / name) as file:
            file.write(b"new")
        assert (tmp_path / name).read_bytes() == b"new"
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "precious").read_bytes() == b"data"
    assert not (tmp_path / "missing").exists()


def test_a_replaced_file_has_the_new_content_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"data")
    (tmp_path / "link").symlink_to("precious")
    for name in ("link", "new", "link"):
        replace_file(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new"
    assert (tmp_path / "precious").read_bytes() == b"data"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        replace_file(tmp_path / "folder", b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"precious", "link", "new", "folder"}


@pytest.mark.timeout(20)
def test_a_file_that_became_a_pipe_is_not_waited_for_when_its_faults_are_shown(
    tmp_path: Path,
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("model: 7\n")
    with pytest.raises(ConfigError) as caught:
        load_study(path)
    assert "1 | model: 7" in caught.value.pretty()
    path.unlink()
    os.mkfifo(path)
    assert caught.value.pretty() == str(caught.value)


@pytest.mark.timeout(20)
def test_a_study_file_that_is_a_pipe_or_a_device_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    (tmp_path / "study.yaml").write_text("base: pipe.yaml\nmodel: builtin:tiny-llama\n")
    for name, kind in (("pipe.yaml", "a named pipe"), ("endless.yaml", "a device")):
        with pytest.raises(ConfigError) as caught:
            load_study(tmp_path / name)
        assert str(caught.value) == (
            f"{tmp_path / name}: expected a regular file, found {kind}; correct the path"
        )
    with pytest.raises(ConfigError, match="base"):
        load_study(tmp_path / "study.yaml")


def test_a_study_file_may_be_a_link_and_its_text_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model: builtin:tiny-llama  # mine\n")
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    assert load_study(tmp_path / "link.yaml").source == "model: builtin:tiny-llama  # mine\n"


def test_a_small_file_takes_no_memory_for_the_largest_one(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x" * 100_000)
    tracemalloc.start()
    try:
        assert len(read_bytes(tmp_path / "small", max_bytes=2**29)) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert read_bytes(tmp_path / "small", max_bytes=100_000) == b"x" * 100_000
    with pytest.raises(ForeignFileError, match="99,999"):
        read_bytes(tmp_path / "small", max_bytes=99_999)
    assert read_bytes(Path("/proc/self/status"), max_bytes=2**20).startswith(b"Name:")
