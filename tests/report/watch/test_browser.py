"""The page in a real Chromium, beside a study that really runs: it moves, and nothing leaves the machine."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import pytest
from fakes import fake_nvml
from fakes.studies import TINY, only_folder
from report.watch.studies import watched_folder, write_live, write_manifest

from llem_report.watching import WatchServer
from llem_runner import read_manifest
from llem_runner._storage.lock import hold

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>]]>\"'&amp;\u202e" + "x" * 300
STUDY = {**TINY, "sweep": {"n": [1, 2]}, "name": "watched", "energy": {"min_window_seconds": 3}}
POWER_W = 143.0
FLAGS = ("--cycles", "2", "--no-gaps", "--set", "baseline.enabled=false")


class Watched:
    """A page with everything that it requested and complained about."""

    def __init__(self, browser: Browser, url: str, **options: object) -> None:
        self.context = browser.new_context(**options)  # type: ignore[arg-type]  # of playwright
        self.page: Page = self.context.new_page()
        self.problems: list[str] = []
        self.hosts: set[str | None] = set()
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        self.context.on(
            "request", lambda request: self.hosts.add(urlsplit(request.url).netloc or None)
        )
        self.page.goto(url)

    def text(self, name: str) -> str:
        return self.page.locator(f"#{name}").inner_text()

    def until(self, name: str, pattern: str) -> None:
        """Wait until the text of an element matches, in the page as it moves."""
        self.page.wait_for_function(
            "([id, pattern]) => new RegExp(pattern).test(document.getElementById(id).textContent)",
            arg=[name, pattern],
            timeout=240_000,
        )


@contextlib.contextmanager
def open_page(browser: Browser, url: str, **options: object) -> Iterator[Watched]:
    watched = Watched(browser, url, **options)
    try:
        yield watched
    finally:
        watched.context.close()


@pytest.mark.slow
def test_the_page_follows_a_real_study_from_its_start_to_its_end(
    browser: Browser, library: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "gpus.trace"
    fake_nvml.write_trace(trace, [fake_nvml.FakeGpu(points=((0.0, POWER_W),))])
    (tmp_path / "study.yaml").write_bytes(msgspec.json.encode(STUDY))
    with subprocess.Popen(
        [sys.executable, "-m", "llem_cli", "study", "run", "study.yaml", "--output", "out", *FLAGS],
        cwd=tmp_path,
        env={
            **os.environ,
            **fake_nvml.environment(library, trace),
            "LLEM_DEVICES__GPUS": "[0]",
            "HF_HUB_OFFLINE": "1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as study:
        assert study.stderr is not None
        while not (line := study.stderr.readline()).startswith("run 1 "):
            assert line, "the study ended before its first run"
        with (
            WatchServer(only_folder(tmp_path / "out")) as server,
            open_page(browser, server.url) as watched,
        ):
            assert watched.text("done") == "0 of 4 runs done"
            assert watched.text("sentence") == "Run 1 of 4 is in progress."
            watched.until("power", rf"^{POWER_W:g} W$")
            watched.until("run-stage", "^window$")
            for n_done in range(1, 5):
                watched.until("done", f"^[{n_done}-4] of 4 runs done$")
            watched.until("sentence", "^Completed: all runs have a result.$")
            watched.until("results", "J/token")
            assert watched.text("power") == "no reading"
            assert watched.page.locator("#bar-completed").get_attribute("width") == "1000"
            assert "M" in str(watched.page.locator("#power-line").get_attribute("d"))
            assert watched.page.title().startswith("4/4 watched")
            assert watched.problems == []
            assert watched.hosts == {urlsplit(server.url).netloc}
        study.stderr.read()
        assert study.wait() == 0


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Return the folder of a running study whose texts are an attack."""
    folder = watched_folder(tmp_path / "study")
    manifest = read_manifest(folder)
    entries = tuple(
        msgspec.structs.replace(
            entry, label=HOSTILE, error_message=HOSTILE if entry.status == "failed" else None
        )
        for entry in manifest.entries
    )
    write_manifest(folder, msgspec.structs.replace(manifest, study_name=HOSTILE, entries=entries))
    write_live(folder)
    return folder


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
def test_hostile_names_stay_text(browser: Browser, hostile: Path, has_script: bool) -> None:
    with (
        hold(hostile / ".lock", "the study"),
        WatchServer(hostile) as server,
        open_page(browser, server.url, java_script_enabled=has_script) as watched,
    ):
        page = watched.page
        page.wait_for_timeout(2500)  # the script has replaced all texts, or the page was reloaded
        assert watched.text("name").startswith("<script>alert(1)</script>")
        assert "<img src=x onerror" in watched.text("run-point")
        assert "\\u202e" in watched.text("results") or "\\u202e" not in HOSTILE
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 1
        assert watched.problems == []
        assert watched.hosts == {urlsplit(server.url).netloc}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [860, 390])
def test_nothing_is_wider_than_the_page_and_all_text_can_be_read(
    browser: Browser, hostile: Path, width: int, scheme: str
) -> None:
    with (
        hold(hostile / ".lock", "the study"),
        WatchServer(hostile) as server,
        open_page(
            browser, server.url, viewport={"width": width, "height": 900}, color_scheme=scheme
        ) as watched,
    ):
        watched.until("results", "J/token|tokens/s")
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
        low = watched.page.evaluate(CONTRAST)
        assert low == []
        levels = watched.page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3')].map((h) => Number(h.tagName[1]))"
        )
        assert levels[0] == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))


CONTRAST = """() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const low = [];
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!hasText || element.closest("[hidden]") || element.closest("svg")) continue;
    const ink = luminance(getComputedStyle(element).color);
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) low.push(element.outerHTML.slice(0, 80));
  }
  return low;
}"""


def test_without_a_script_the_page_is_complete_and_loads_itself_again(
    browser: Browser, hostile: Path
) -> None:
    with (
        hold(hostile / ".lock", "the study"),
        WatchServer(hostile) as server,
        open_page(browser, server.url, java_script_enabled=False) as watched,
    ):
        assert watched.text("done") == "2 of 4 runs done"
        write_live(hostile, 217.0)
        with watched.page.expect_navigation(timeout=60_000):
            pass
        watched.page.get_by_text("217 W", exact=True).wait_for(timeout=60_000)
        assert re.search("time left: (about|unknown)", watched.page.inner_text("main"))


def test_the_page_says_that_the_server_was_stopped(browser: Browser, hostile: Path) -> None:
    with contextlib.ExitStack() as stack:
        with WatchServer(hostile) as server:
            watched = stack.enter_context(open_page(browser, server.url))
            assert not watched.page.locator("#connection").is_visible()
        watched.page.locator("#connection").wait_for(state="visible", timeout=60_000)
        assert watched.text("done") == "2 of 4 runs done"
