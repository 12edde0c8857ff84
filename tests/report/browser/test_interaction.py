"""What the scripts of a page add: sorted and filtered tables, tooltips and a highlight."""

from __future__ import annotations

import pytest
from report.browser.conftest import Opener

pytestmark = pytest.mark.slow


def test_a_click_on_a_heading_sorts_by_numbers(open_page: Opener) -> None:
    with open_page("flawed") as opened:
        page = opened.page
        column = page.locator("#points th", has_text="over the best")
        place = column.evaluate("(heading) => heading.cellIndex + 1")
        for order, is_down in (("ascending", False), ("descending", True)):
            column.locator("button").click()
            assert column.get_attribute("aria-sort") == order
            shown = page.locator(f"#points tbody td:nth-child({place})").all_inner_texts()
            values = [float(text.split()[0].lstrip("\N{MULTIPLICATION SIGN}")) for text in shown]
            assert values == sorted(values, reverse=is_down)


def test_the_filter_shows_rows_with_all_words(open_page: Opener) -> None:
    with open_page("flawed") as opened:
        page = opened.page
        page.locator("#filter").fill("eager fp32")
        rows = page.locator("#points tbody tr:visible").all_inner_texts()
        assert len(rows) == 4
        assert all("eager" in row and "fp32" in row for row in rows)


def test_a_highlight_fades_the_other_levels_in_all_figures(open_page: Opener) -> None:
    with open_page("flawed") as opened:
        page = opened.page
        opened.show_all()
        page.locator("#highlight").select_option(label="precision = fp32")
        page.wait_for_timeout(300)
        for name, share in (("speed", 12), ("quality", 48)):
            marks = page.locator(f"[data-figure={name}] .role-mark path[opacity]")
            faded = marks.evaluate_all(
                "(all) => all.filter((mark) => Number(mark.getAttribute('opacity')) < 0.2).length"
            )
            assert faded >= share, name


def test_a_dot_names_its_point(open_page: Opener) -> None:
    with open_page("flawed") as opened:
        opened.show_all()
        opened.page.locator("[data-figure=speed] .mark-symbol.role-mark path").first.hover()
        tooltip = opened.page.locator("#vg-tooltip-element")
        tooltip.wait_for(state="visible")
        assert "precision=" in tooltip.inner_text()
        assert "J/token" in tooltip.inner_text()
