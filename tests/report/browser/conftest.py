"""Report pages in a real browser without a network."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report import examples

from llem_report._figures.power import power
from llem_report._page.page import report_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE, PHONE = 900, 390


@dataclass
class Opened:
    """A page in a browser, and what it did."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """Addresses other than the file itself."""
    errors: list[str] = field(default_factory=list)
    """Errors and warnings of the console, errors of scripts, and dialogs."""

    def show_all(self) -> None:
        """Scroll through the page and wait until every visible figure is interactive."""
        self.page.evaluate(
            """async () => {
                for (const plot of document.querySelectorAll("[data-figure]")) {
                    if (!plot.offsetParent) continue;
                    plot.scrollIntoView();
                    while (!plot.dataset.live) await new Promise((go) => setTimeout(go, 50));
                }
                scrollTo(0, 0);
            }"""
        )


@functools.cache
def page_of(shape: str) -> str:
    """Return the page of a study of `examples.SHAPES`."""
    more = {"paper": examples.run_power(), "flawed": examples.run_power(n_devices=3)}
    drawn = [figure] if shape in more and (figure := power(more[shape])) else []
    return report_html(examples.SHAPES[shape](), more=drawn)


class Opener:
    """Opens pages from files, with the network off."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser = browser
        self._folder = folder

    @contextmanager
    def __call__(
        self, shape: str, *, width: int = WIDE, scripts: bool = True, **options: Any
    ) -> Iterator[Opened]:
        """Open the page of a shape of study, or a page itself."""
        file = self._folder / "page.html"
        content = shape if shape.startswith("<!doctype html>") else page_of(shape)
        file.write_text(content, "utf-8")
        context = self._browser.new_context(
            viewport={"width": width, "height": 900},
            java_script_enabled=scripts,
            offline=True,
            **options,
        )
        opened = Opened(context.new_page())
        page = opened.page
        address = file.as_uri()
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("console", lambda message: opened.errors.append(message.text))
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.on("dialog", lambda dialog: opened.errors.append(dialog.message))
        page.goto(address)
        opened.requests.remove(address)
        yield opened
        context.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Opener:
    """Return a function that opens the page of a shape of study."""
    return Opener(browser, tmp_path)
