"""The example of a report: its true effects are known, and the stored files are those of the command."""

from __future__ import annotations

import html
import math

from workspace.repository import ROOT

from benchmarks.report.example_truth import RATIOS, levels, true_energy_j, true_ratios
from benchmarks.report.measured_example import NOTE

DOCS = ROOT / "docs"


def test_the_true_ratio_of_a_level_is_a_mean_over_all_points() -> None:
    truth = true_ratios("pytorch")
    assert truth["pytorch.batching"] == {"static": 1.0, "sorted": 1.0}
    assert math.isclose(truth["precision"]["fp32"], 1.38)
    # Compiling is a third of the levels of attention, and its effect depends on the batch size.
    assert math.isclose(truth["pytorch.batch_size"]["1"], 1.62 * (1.13 / 0.93) ** (1 / 3))


def test_fewer_points_have_true_ratios_of_their_own() -> None:
    for n_points in (144, 72):
        assert math.prod(len(each) for each in levels(n_points).values()) == n_points
    truth = true_ratios("scripted", 72)
    assert list(truth["scripted.batch_size"]) == ["1", "16", "64"]
    compiled = (1.13 * 0.97 * 0.93) ** (1 / 3)  # the mean over these batch sizes
    assert math.isclose(truth["attention"]["eager"], 1.14 / compiled)


def test_compiling_is_worse_for_one_prompt_and_better_for_many() -> None:
    point = {key: list(ratios)[-1] for key, ratios in RATIOS.items()}
    for batch_size, is_better in (("1", False), ("64", True)):
        here = point | {"batch_size": batch_size}
        plain = true_energy_j(here | {"attention": "sdpa"})
        assert (true_energy_j(here | {"attention": "sdpa+torch_compile"}) < plain) is is_better


def test_the_stored_page_is_small_and_says_what_is_scripted() -> None:
    page = (DOCS / "example-report.html").read_text("utf-8")
    assert len(page.encode()) <= 1_600_000
    assert html.escape(NOTE) in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "72 points \N{MULTIPLICATION SIGN} 5 cycles" in page
    assert 'id="figure-power-' in page
    assert 'id="figure-phases"' in page
    assert str(ROOT) not in page


def test_the_stored_figure_has_the_same_numbers_in_both_colours() -> None:
    light, dark = ((DOCS / f"example-effects{name}.svg").read_text() for name in ("", "-dark"))
    assert "scripted.batch_size" in light
    assert light != dark
    assert light.count("<text") == dark.count("<text") > 20
