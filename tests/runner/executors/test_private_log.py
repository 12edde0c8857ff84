"""The log of a run is private while it is written, because it may have passwords."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import measures
from fakes.studies import only_folder, study

from llem_runner import run_study
from llem_runner._executors.log_file import close_log, open_log
from llem_runner.events import Event, RunStage
from llem_runner.executors import find_executor

SECRET = "hf_" + "a1B2" * 8


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_only_the_user_can_read_the_log_of_a_run_until_it_ends(
    tmp_path: Path, executor: str
) -> None:
    modes: list[int] = []

    def look(event: Event) -> None:
        if isinstance(event, RunStage):
            modes.extend(mode(log) for log in only_folder(tmp_path).glob("*/log.txt"))

    run_study(
        study((1,)),
        output=tmp_path,
        measure=measures.quick,
        executor=find_executor(executor),
        on_event=look,
    )
    assert set(modes) == {0o600}
    assert [mode(log) for log in only_folder(tmp_path).glob("*/log.txt")] == [0o644]


def test_a_reader_of_an_earlier_log_does_not_see_the_next_attempt(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("first attempt\n")
    with log.open() as reader:
        with open_log(log) as file:
            start = file.tell()
            file.write(f"{SECRET}\n".encode())
        assert reader.read() == "first attempt\n"
        assert mode(log) == 0o600
        close_log(log, start)
        assert reader.read() == ""
    assert (log.read_text(), mode(log)) == ("first attempt\n***\n", 0o644)
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_passwords_in_the_log_of_a_killed_program_are_struck_out_by_the_next(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log.txt"
    with open_log(log) as file:
        file.write(f"{SECRET}\n".encode())
    assert mode(log) == 0o600
    with open_log(log) as file:
        assert log.read_text() == "***\n"
        file.write(b"second attempt\n")
    close_log(log, 4)
    assert (log.read_text(), mode(log)) == ("***\nsecond attempt\n", 0o644)
