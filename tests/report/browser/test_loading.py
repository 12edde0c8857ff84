"""A page loads nothing, runs only its own scripts, and is complete without them."""

from __future__ import annotations

import pytest
from report import examples
from report.browser.conftest import Opener

from llem_report import FIGURES

pytestmark = pytest.mark.slow


def test_no_request_leaves_and_the_console_is_empty(open_page: Opener) -> None:
    with open_page("flawed") as opened:
        opened.show_all()
        assert (opened.requests, opened.errors) == ([], [])
        policy = opened.page.locator("meta[http-equiv=Content-Security-Policy]")
        assert "default-src 'none'" in (policy.get_attribute("content") or "")


@pytest.mark.parametrize(
    "attempt",
    [
        "fetch('http://127.0.0.1:9/')",
        "new Promise((yes, no) => { const image = new Image(); image.onload = yes; "
        "image.onerror = no; image.src = 'http://127.0.0.1:9/a.png'; })",
        "new Promise((yes) => { const script = document.createElement('script'); "
        "script.textContent = 'window.ran = 1'; document.body.append(script); "
        "if (!window.ran) throw Error('refused'); yes(); })",
    ],
)
def test_the_policy_refuses_what_is_not_of_the_page(open_page: Opener, attempt: str) -> None:
    with open_page("one_factor") as opened:
        refused = opened.page.evaluate(
            f"""async () => {{
                const refused = new Promise((yes) =>
                    document.addEventListener("securitypolicyviolation", () => yes("refused")));
                await ({attempt}).catch(() => null);
                return refused;
            }}"""
        )
        assert refused == "refused"


@pytest.mark.parametrize("shape", ["paper", "flawed", "all_failed"])
def test_a_page_is_complete_without_scripts(open_page: Opener, shape: str) -> None:
    with open_page(shape, scripts=False) as opened:
        page = opened.page
        n_runs = len(examples.SHAPES[shape]().runs)
        assert page.locator("#runs tbody tr").count() == n_runs
        assert not page.locator(".tools").is_visible()
        assert page.locator("#filter:visible").count() == 0
        if shape == "paper":
            shown = page.locator(".plot:visible svg")
            assert shown.count() == len(FIGURES) + 1  # and the power
            assert page.locator(".plot svg > title").count() == page.locator(".plot svg").count()


def test_hostile_names_stay_text(open_page: Opener) -> None:
    with open_page("hostile") as opened:
        opened.show_all()
        assert opened.errors == []
        assert opened.page.locator("b").count() == 0
        assert opened.page.locator("script").count() == 3
        assert "<script>alert(1)</script>]]>" in opened.page.locator("h1").inner_text()
        dot = opened.page.locator("[data-figure=speed] .mark-symbol path").first
        dot.hover()
        tooltip = opened.page.locator("#vg-tooltip-element")
        tooltip.wait_for(state="visible")
        assert tooltip.locator("script, b, img").count() == 0
