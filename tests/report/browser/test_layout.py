"""In every figure of every shape of study, text is readable: nothing overlaps, is cut or is faint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report import examples
from report.browser.conftest import PHONE, WIDE, Opener
from workspace.repository import ROOT

from llem_report import FIGURES

pytestmark = pytest.mark.slow

PAPER = 718
"""Pixels of a sheet of A4 between its margins."""
PROBLEMS = (Path(__file__).parent / "layout.js").read_text("utf-8")
SCREENS: dict[str, dict[str, Any]] = {
    "wide": {"width": WIDE, "color_scheme": "light"},
    "dark": {"width": WIDE, "color_scheme": "dark"},
    "phone": {"width": PHONE, "color_scheme": "light"},
}


@pytest.mark.parametrize("shape", examples.SHAPES)
@pytest.mark.parametrize("screen", SCREENS)
def test_text_is_readable(open_page: Opener, shape: str, screen: str) -> None:
    with open_page(shape, **SCREENS[screen]) as opened:
        pictures = opened.page.evaluate(PROBLEMS)
        opened.show_all()
        assert (pictures, opened.page.evaluate(PROBLEMS)) == ([], [])
        assert opened.errors == []


def test_a_page_is_dark_on_a_dark_screen_and_white_on_paper(open_page: Opener) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with open_page("flawed", width=PAPER, color_scheme="dark") as opened:
        assert opened.page.evaluate(paper) == "rgb(20, 23, 27)"
        opened.page.emulate_media(media="print", color_scheme="dark")
        assert opened.page.evaluate(paper) == "rgb(255, 255, 255)"
        assert opened.page.evaluate(PROBLEMS) == []


def test_the_example_in_the_documents_is_readable(open_page: Opener) -> None:
    example = (ROOT / "docs" / "example-report.html").read_text("utf-8")
    with open_page(example) as opened:
        opened.show_all()
        assert opened.page.evaluate(PROBLEMS) == []
        assert (opened.requests, opened.errors) == ([], [])
        assert (
            "a scripted driver whose true energy is known"
            in opened.page.locator("header").inner_text()
        )


def test_a_phone_has_figures_of_its_own_width(open_page: Opener) -> None:
    with open_page("paper", width=PHONE) as opened:
        widths = opened.page.locator(".plot:visible").evaluate_all(
            "(plots) => plots.map((plot) =>"
            " [plot.dataset.figure, plot.querySelector('svg').getBoundingClientRect().width])"
        )
        narrow = {name: width for name, width in widths if name.endswith("-narrow")}
        assert list(narrow) == [f"{name}-narrow" for name in (*FIGURES[:5], "phases")]
        assert max(narrow.values()) <= PHONE - 10


def test_a_printed_page_has_all_figures_and_open_numbers(open_page: Opener) -> None:
    with open_page("paper") as opened:
        assert opened.page.pdf().startswith(b"%PDF")
        opened.page.emulate_media(media="print")
        assert opened.page.locator(".plot:visible").count() == len(FIGURES) + 1  # and the power
        assert not opened.page.locator(".tools").is_visible()
        assert opened.page.evaluate("document.querySelector('#levels').checkVisibility()"), (
            "the numbers of a figure are printed"
        )
