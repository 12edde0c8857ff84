"""The page as text: escaping, sizes, and what it says about each kind of study."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import msgspec
import pytest
from report import examples
from report.simulated import simulate

from llem_report._figures.power import power
from llem_report._figures.scales import number
from llem_report._page.conditions import Conditions
from llem_report._page.html import text
from llem_report._page.page import report_html


class _Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self._script: dict[str, str | None] | None = None
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        attributes = dict(attrs)
        self.ids += [name for key, name in attrs if key == "id" and name]
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]
        assert not [key for key in attributes if key.startswith("on")]
        if tag == "script":
            self._script = attributes

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.texts.append(data)
        else:
            self.scripts.append((self._script, data))
            self._script = None


@functools.cache
def page_of(shape: str, *, static: bool = False) -> str:
    """Return the page of a study of `examples.SHAPES`, which several tests read."""
    return report_html(examples.SHAPES[shape](), static=static)


@pytest.fixture(scope="module")
def hostile() -> str:
    return page_of("hostile")


def test_hostile_names_stay_text(hostile: str) -> None:
    page = _Page(hostile)
    kinds = [attributes.get("type") for attributes, _ in page.scripts]
    assert kinds == ["application/json", None, None]
    assert "b" not in page.tags
    assert any("<script>alert(1)</script>]]>\"'&amp;" in text for text in page.texts)


def test_the_policy_allows_the_scripts_of_the_page_and_nothing_else(hostile: str) -> None:
    match = re.search(r'Content-Security-Policy" content="([^"]*)"', hostile)
    assert match
    allowed = re.findall(r"'sha256-([^']+)'", match[1])
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for attributes, script in _Page(hostile).scripts
        if "type" not in attributes
    ]
    assert allowed == digests
    assert "default-src 'none'" in match[1]
    assert "unsafe-eval" not in match[1]
    assert "script-src 'unsafe-inline'" not in match[1]


def test_links_stay_in_the_page(hostile: str) -> None:
    page = _Page(hostile)
    targets = [link.removeprefix("#") for link in page.links]
    assert all(link.startswith("#") for link in page.links)
    assert set(targets) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids)), "ids are unique"


def test_the_data_of_the_figures_is_json_without_markup(hostile: str) -> None:
    (data,) = [script for attributes, script in _Page(hostile).scripts if "type" in attributes]
    assert "<" not in data
    content = json.loads(data)
    for spec in content["figures"].values():
        assert set(spec["datasets"].values()) <= set(content["datasets"])


def test_a_static_page_has_no_script() -> None:
    page = report_html(simulate((examples.PRECISION,), n_cycles=2), static=True)
    assert "<script" not in page
    assert "script-src 'none'" in page
    assert 'class="kind"' in page or "class=kind" in page


@pytest.mark.slow
@pytest.mark.parametrize("shape", examples.SHAPES)
def test_every_shape_of_study_gives_a_page(shape: str) -> None:
    analysis = examples.SHAPES[shape]()
    page = _Page(page_of(shape, static=True))
    headings = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(headings))
    assert page.tags.count("title") == 1 + page.tags.count("svg")  # each figure has a name
    assert page.tags.count("desc") == page.tags.count("svg")
    n_rows = len(analysis.points) + len(analysis.runs)
    assert page.tags.count("tr") >= n_rows


def test_two_pages_of_one_study_are_equal_byte_for_byte() -> None:
    assert report_html(examples.flawed()) == report_html(examples.flawed())


def test_a_running_study_says_how_far_it_is() -> None:
    analysis = examples.flawed()
    page = page_of("flawed", static=True)
    n_done = analysis.n_runs_planned - analysis.n_runs_pending
    assert f"running: {n_done} of {analysis.n_runs_planned} runs" in page
    assert f"{analysis.n_runs_failed} failed" in page


def test_a_study_without_energy_says_so() -> None:
    page = page_of("no_energy", static=True)
    assert "no point has both energy and speed; see `llem-cli doctor`" in page
    assert "higher is better" in page


def test_missing_figures_are_listed_by_their_numbers_with_the_reasons() -> None:
    analysis = simulate((examples.PRECISION, examples.BATCH_SIZE), n_cycles=3)
    page = report_html(analysis, static=True)
    (missing,) = re.findall(r"<h2>Figures that this study does not have</h2>\n<ul>(.*)</ul>", page)
    assert missing.split("</li>")[:-1] == [
        "<li>Figure 4 (dependences): no choice was found to depend on another.",
        "<li>Figure 6 (power): no run of the best point has readings of its power.",
        "<li>Figure 7 (phases): prefill and decode were not measured separately; `energy.phases` "
        "does that.",
    ]


def table_of(page: str, name: str) -> list[list[str]]:
    """Return the cells of a table of a static page, its headings first."""
    (content,) = re.findall(rf'<table id="{name}".*?</table>', page, re.DOTALL)
    head, body = content.split("<tbody>")
    cells = [re.findall(r"<td[^>]*>([^<]*)", row) for row in body.split("<tr>")[1:]]
    return [
        re.findall(r"<th scope=col>([^<]*)", head),
        *([c.strip() for c in row] for row in cells),
    ]


def test_the_shares_of_all_pairs_are_a_matrix_below_figure_4() -> None:
    page = page_of("paper", static=True)
    _, _, after = page.partition('id="figure-dependences"')
    assert 'id="pairs"' in after.partition("</section>")[0]
    head, *rows = table_of(page, "pairs")
    assert head[1:] == ["batch_size", "precision", "attention", "torch_compile", "input_order"]
    assert [row[0] for row in rows] == [factor.key for factor in examples.paper().factors]
    for i, row in enumerate(rows):
        assert row[1:] == [other[1 + i] for other in rows], "symmetric"
    assert rows[0][1] == "46\N{NO-BREAK SPACE}%"
    assert rows[0][2] == "0.1\N{NO-BREAK SPACE}%"


def test_without_figure_4_the_matrix_is_with_the_other_shares() -> None:
    page = report_html(simulate((examples.PRECISION, examples.BATCH_SIZE)), static=True)
    assert page.count('id="pairs"') == 1
    _, _, shares = page.partition("How the variance between points divides")
    assert 'id="pairs"' in shares.partition("</section>")[0]


def test_a_choice_inside_another_one_has_no_share_with_it() -> None:
    analysis = simulate((examples.PRECISION, examples.BATCH_SIZE))
    terms = tuple(term for term in analysis.share_terms if len(term.factors) == 1)
    page = report_html(msgspec.structs.replace(analysis, share_terms=terms), static=True)
    assert table_of(page, "pairs")[1][2] == "\N{EN DASH}"


def test_the_table_of_runs_has_error_bounds_and_temperatures() -> None:
    analysis = examples.metered()
    head, *rows = table_of(page_of("metered", static=True), "runs")
    bound, temperature = head.index("max. error"), head.index("GPU before, \N{DEGREE SIGN}C")
    without = analysis.points[1].config_hash
    for run, row in zip(analysis.runs, rows, strict=True):
        assert (row[bound] == "\N{EN DASH}") == (run.config_hash == without)
        assert (row[temperature] == "\N{EN DASH}") == (run.index == 1)
    head, *_ = table_of(page_of("flawed", static=True), "runs")
    assert "max. error" not in head


def test_a_study_with_all_figures_misses_none() -> None:
    made = power(examples.run_power())
    assert made is not None
    assert "does not have" not in report_html(examples.paper(), more=[made], static=True)


def test_a_note_on_the_origin_of_the_results_is_at_the_top_as_text() -> None:
    page = report_html(
        simulate((examples.PRECISION,), n_cycles=2),
        Conditions(note="from a <scripted> driver"),
        static=True,
    )
    assert "<p class=note>from a &lt;scripted&gt; driver</p>" in page.split("</header>")[0]


@pytest.mark.slow
def test_the_sizes_of_pages_stay_within_their_limits() -> None:
    assert len(page_of("paper").encode()) < 1_600_000
    assert len(page_of("paper", static=True).encode()) < 600_000

    large = examples.large()
    assert len(report_html(large).encode()) < 2_500_000
    assert len(report_html(large, static=True).encode()) < 1_500_000


def test_the_space_in_large_numbers_is_a_space_and_elsewhere_it_is_shown() -> None:
    assert text(number(1653.0, 4)) == "1\N{NARROW NO-BREAK SPACE}653"
    assert text("a\N{NARROW NO-BREAK SPACE}b") == r"a\u202fb"


def test_texts_that_many_rows_share_are_in_the_page_once() -> None:
    analysis = simulate((examples.PRECISION, examples.BATCH_SIZE), n_cycles=3)
    runs = examples.changed_runs(
        analysis, lambda run: msgspec.structs.replace(run, reasons=("a note of every run",))
    )
    page = report_html(msgspec.structs.replace(analysis, runs=runs))
    (data,) = [script for attributes, script in _Page(page).scripts if "type" in attributes]
    for name in ("runs", "cells"):
        dataset = json.loads(data)["datasets"][name]
        place = dataset["names"].index("reasons")
        assert dataset["words"]["reasons"] == ["a note of every run"]
        assert {row[place] for row in dataset["rows"]} == {0}


def test_a_reason_of_all_runs_stands_once_above_the_table_of_runs() -> None:
    analysis = examples.paper()
    runs = [
        msgspec.structs.replace(run, reasons=("the clock was cold", *run.reasons))
        for run in analysis.runs
    ]
    content = report_html(msgspec.structs.replace(analysis, runs=tuple(runs)), static=True)
    table = content.partition("id=runs-heading")[2].partition("</section>")[0]
    assert table.count("the clock was cold") == 1
    measured = next(i for i, run in enumerate(runs) if run.value is not None)
    runs[measured] = msgspec.structs.replace(runs[measured], reasons=())
    content = report_html(msgspec.structs.replace(analysis, runs=tuple(runs)), static=True)
    table = content.partition("id=runs-heading")[2].partition("</section>")[0]
    assert table.count("the clock was cold") == len(runs) - 1


def test_a_column_that_repeats_another_is_in_the_data_once() -> None:
    (data,) = (
        json.loads(script)
        for attributes, script in _Page(page_of("paper")).scripts
        if attributes.get("id") == "figures"
    )
    runs = data["datasets"]["runs"]
    assert runs["same"] == {"run": "place"}
    assert "run" not in runs["names"]
    assert len(runs["rows"][0]) == len(runs["names"])


def test_each_figure_has_a_number_of_its_own() -> None:
    page = report_html(examples.paper())
    labels = re.findall(r"<h2 id=\"figure-[^>]*><small>([^<]*)</small>", page)
    assert "3b" in labels
    assert len(labels) == len(set(labels))
