"""`study watch` prints an address of this machine, and ends by a signal with exit code 0 (CLI-05)."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cli.conftest import Run
from fakes.measures import succeeding
from fakes.studies import only_folder, study

from llem_runner import run_study


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run_study(study(), output=tmp_path / "out", measure=succeeding.quick)
    return only_folder(tmp_path / "out")


@contextmanager
def watching(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start `study watch`, and kill it at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "llem_cli", "study", "watch", str(folder), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_page_with_exit_code_0(folder: Path, number: signal.Signals) -> None:
    with watching(folder) as process:
        url = urlsplit(address(process))
        assert url.port is not None
        connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=60)
        connection.request("GET", url.path)
        assert b"2 of 2 runs done" in connection.getresponse().read()
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stdout) == (0, "")
        assert stderr == (
            "Open this address in a browser on this machine. Ctrl-C ends the page, not the study.\n"
        )


def test_the_address_is_of_this_machine_and_the_port_can_be_chosen(folder: Path) -> None:
    with watching(folder) as first:
        url = address(first)
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/[\w-]{32}/", url)
        assert match
        with watching(folder, "--port", match[1]) as second:
            assert second.wait(timeout=60) == 1
            assert second.stderr is not None
            assert second.stderr.read().startswith(
                f"error: port {match[1]} of 127.0.0.1 cannot be used: "
            )


def test_open_starts_the_browser_of_the_user_with_the_address(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    with watching(folder, "--open") as process:
        url = address(process)
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGTERM)  # after the browser was started
        assert process.wait(timeout=60) == 0
    assert (tmp_path / "opened").read_text().strip() == url


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_an_impossible_port_is_a_mistake_of_usage(folder: Path, llem: Run, port: str) -> None:
    assert llem("study", "watch", folder, "--port", port).returncode == 2


def test_what_is_no_study_ends_in_one_sentence(tmp_path: Path, llem: Run) -> None:
    for path, code in ((tmp_path / "absent", 2), (tmp_path, 1)):
        done = llem("study", "watch", path)
        assert (done.returncode, done.stdout) == (code, "")
        assert str(path) in done.stderr
        assert done.stderr.count("\n") == 1


def test_watching_changes_nothing_in_the_folder(folder: Path) -> None:
    def entries() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))

    before = entries()
    with watching(folder) as process:
        address(process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert entries() == before
    assert os.path.lexists(folder / "manifest.json")
