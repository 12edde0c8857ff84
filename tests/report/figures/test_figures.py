"""Figures: what they show, that every rendering works, and that no text leaves its place."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import xml.etree.ElementTree as ElementTree

import altair as alt
import msgspec
import pytest
from jsonschema import Draft7Validator
from report import examples
from report.simulated import simulate

from llem_report import FIGURES, ReportError, UnknownFigureError, figure
from llem_report._figures.figure import Figure
from llem_report._figures.power import MAX_BINS, power
from llem_report._figures.registry import figures
from llem_report._figures.theme import LIGHT, TOTAL_WIDTH, Width
from llem_report.records import RunEstimate

VEGA_LITE = Draft7Validator(alt.load_schema())
"""Takes a fraction of the time of altair, which validates each part of a chart again for itself."""
SVG = "{http://www.w3.org/2000/svg}"


@functools.cache
def drawn(shape: str, width: Width) -> tuple[tuple[Figure, str], ...]:
    """Return the figures of a study of `examples.SHAPES` with their SVG, which several tests read."""
    return tuple((made, made.svg(width)) for made in figures(examples.SHAPES[shape]()))


@pytest.mark.slow
@pytest.mark.parametrize("shape", examples.SHAPES)
@pytest.mark.parametrize("width", ["text", "column"])
def test_every_shape_of_study_gives_well_formed_figures_of_the_right_width(
    shape: str, width: Width
) -> None:
    for made, svg in drawn(shape, width):
        # The theme sets null, for nothing, where the schema wants a colour.
        VEGA_LITE.validate({**made.spec(LIGHT, width), "config": {}})
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.findtext(f"{SVG}title") == made.title
        assert root.findtext(f"{SVG}desc")
        assert float(root.attrib["width"]) <= TOTAL_WIDTH[width] * 1.05, made.name


def test_a_study_with_everything_has_all_figures() -> None:
    made = figures(examples.paper())
    assert [item.name for item in made] == list(FIGURES)


def test_effects_are_in_the_order_of_the_analysis_and_have_its_numbers() -> None:
    analysis = examples.paper()
    rows = figure(analysis, "effects").data["effects"]
    assert [row["factor"] for row in rows] == [factor.key for factor in analysis.factors]
    first = analysis.factors[0].effect
    assert first is not None
    assert (rows[0]["ratio"], rows[0]["low"], rows[0]["high"]) == (
        first.ratio,
        first.ci95_low,
        first.ci95_high,
    )
    assert [row["matters"] for row in rows] == [True, True, True, True, False]
    assert rows[-1]["levels"] == "no effect found"


def test_effects_of_one_cycle_have_no_whiskers() -> None:
    spec = figure(examples.SHAPES["one_cycle"](), "effects").spec()
    assert all(row["low"] is None for row in spec["datasets"]["effects"])


def test_many_contexts_become_a_band() -> None:
    rows = figure(examples.paper(), "slices").data["contexts"]
    of_precision = [row for row in rows if row["f"] == 1]  # 72 contexts
    of_batch_size = [row for row in rows if row["f"] == 0]  # 36 contexts
    assert len(of_precision) == 2
    assert of_precision[0]["low"] < of_precision[0]["high"]
    assert len(of_batch_size) == 4 * 36


def test_a_front_of_one_point_is_said_in_words() -> None:
    analysis = simulate((examples.BATCH_SIZE,), n_cycles=2)
    best = analysis.points[-1].config_hash
    points = tuple(
        msgspec.structs.replace(point, on_front=point.config_hash == best)
        for point in analysis.points
    )
    caption = figure(msgspec.structs.replace(analysis, points=points), "speed").caption
    assert f"One point is best in both: {points[-1].label}" in caption


def test_the_figure_of_speed_draws_the_best_points_of_a_very_large_study() -> None:
    analysis = simulate((examples.BATCH_SIZE,), n_cycles=2)
    point = analysis.points[0]
    many = tuple(
        msgspec.structs.replace(
            point, config_hash=f"{i:x}", energy_per_output_token_j=0.1 + i / 1e5, on_front=i == 2400
        )
        for i in range(2500)
    )
    made = figure(msgspec.structs.replace(analysis, points=many), "speed")
    assert len(made.data["points"]) == 501  # and the one on the front
    assert "500 best of 2500 points" in made.caption


def test_runs_are_drawn_in_the_order_in_which_they_ran() -> None:
    analysis = simulate((examples.BATCH_SIZE,), n_cycles=2)

    def repeated(run: RunEstimate) -> RunEstimate:
        if run.index != 1:
            return run
        return msgspec.structs.replace(run, started_at="2026-11-29T00:00:00+00:00")

    runs = examples.changed_runs(analysis, repeated)
    made = figure(msgspec.structs.replace(analysis, runs=runs), "steadiness")
    assert [row["run"] for row in made.data["runs"]] == [2, 3, 4, 5, 6, 7, 8, 1]
    assert [cycle["cycle"] for cycle in made.data["cycles"]] == [1, 2, 1]


def test_outliers_are_named() -> None:
    rows = figure(examples.flawed(), "steadiness").data["runs"]
    assert [row["name"] for row in rows if row.get("outlier")] == ["run 17"]


def test_the_quality_of_each_run_is_a_colour_and_a_letter() -> None:
    made = figure(examples.flawed(), "quality")
    states = {row["state"] for row in made.data["cells"]}
    assert states == {"ok", "flagged", "failed", "pending"}
    texts = re.findall(r">([fxp])</text>", made.svg())
    assert set(texts) == {"f", "x", "p"}


def test_a_study_of_many_points_shows_the_quality_of_those_with_flaws() -> None:
    analysis = examples.large()
    with pytest.raises(ReportError, match="all runs are ok"):
        figure(analysis, "quality")
    runs = list(analysis.runs)
    runs[7] = msgspec.structs.replace(runs[7], quality="flagged")
    made = figure(msgspec.structs.replace(analysis, runs=tuple(runs)), "quality")
    assert len(made.data["cells"]) == analysis.n_cycles
    assert "Without the 999 points" in made.caption


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("effect", "; did you mean 'effects'?"),
        ("Steadyness", "; did you mean 'steadiness'?"),
        ("joules", ""),
    ],
)
def test_an_unknown_figure_is_refused_with_the_list_of_names(name: str, hint: str) -> None:
    analysis = simulate((examples.PRECISION,), n_cycles=2)
    with pytest.raises(UnknownFigureError) as caught:
        figure(analysis, name)
    assert str(caught.value) == (f"expected a figure of {', '.join(FIGURES)}; found {name!r}{hint}")


def test_a_figure_that_the_study_lacks_is_refused_with_the_reason() -> None:
    with pytest.raises(ReportError, match="no point has both energy and speed"):
        figure(examples.no_energy(), "speed")


def test_the_renderings_are_of_their_kind() -> None:
    made = figure(simulate((examples.PRECISION,), n_cycles=2), "effects")
    assert made.pdf().startswith(b"%PDF")
    assert made.png().startswith(b"\x89PNG")
    assert json.loads(made.json())["datasets"]["effects"][0]["factor"] == "precision"


def test_two_renderings_are_equal_byte_for_byte() -> None:
    assert [svg for _, svg in drawn("flawed", "text")] == [
        item.svg() for item in figures(examples.flawed())
    ]


def test_a_file_has_colours_and_no_variables_of_a_page() -> None:
    for _, svg in drawn("paper", "text"):
        assert "var(" not in svg


def test_hostile_names_stay_text() -> None:
    for item, svg in drawn("hostile", "text"):
        root = ElementTree.fromstring(svg)
        assert not root.findall(f".//{SVG}script")
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in svg
        assert json.loads(item.json())["description"]


def test_phases_are_two_dots_per_point_and_the_best_point_is_first() -> None:
    analysis = examples.paper()
    data = figure(analysis, "phases").data
    assert len(data["phases"]) == 2 * 30
    assert len(data["names"]) == 30
    first = min(analysis.points, key=lambda point: point.value or 0)
    prefill, decode = data["phases"][:2]
    assert prefill["energy"] == first.prefill_energy_per_token_j
    assert decode["energy"] == first.decode_energy_per_token_j


def test_the_power_of_a_run_keeps_its_peaks_and_has_few_points() -> None:
    run = examples.run_power(n_devices=2)
    made = power(run)
    assert made is not None
    rows = made.data["power"]
    assert len(rows) <= 2 * 2 * MAX_BINS
    for device in (0, 1):
        watts = [w for _, place, w in run.readings if place == device]
        drawn = [row["w"] for row in rows if row["d"] == device]
        assert (min(drawn), max(drawn)) == (round(min(watts), 2), round(max(watts), 2))
    assert "error at most 31.0 J" in made.caption
    ElementTree.fromstring(made.svg("column"))


def test_a_run_without_readings_has_no_figure_of_its_power() -> None:
    run = dataclasses.replace(examples.run_power(), readings=())
    assert power(run) is None


def test_figures_of_speed_say_which_level_is_best_over_which() -> None:
    rows = figure(examples.no_energy(), "effects").data["effects"]
    assert all(row["levels"] == f"{row['best']} over {row['worst']}" for row in rows)
    assert "best level to the worst" in figure(examples.no_energy(), "effects").caption
    assert "worst level to the best" in figure(examples.paper(), "effects").caption


def test_error_bounds_are_bars_and_a_point_without_one_has_none() -> None:
    analysis = examples.metered()
    made = figure(analysis, "quality")
    bounds = {row["p"]: row["bound"] for row in made.data["bounds"]}
    assert bounds.keys() == {1, *range(3, 25)}  # point 2 has no bound, and no 0
    of_first = [run for run in analysis.runs if run.config_hash == analysis.points[0].config_hash]
    assert bounds[1] == pytest.approx(100 * max(run.energy_bound_share or 0 for run in of_first))
    assert "A point without a bar has no such bound." in made.caption
    svg = made.svg()
    assert "maximum error of the energy" in svg
    paths = re.findall(r'd="(M[^"]*)"', svg)
    assert any(path.count("Z") == 23 for path in paths)  # the bars, as one path


def test_without_error_bounds_there_are_no_bars() -> None:
    made = figure(examples.flawed(), "quality")
    assert "bounds" not in made.data
    assert "maximum error" not in made.caption + made.svg()


def test_a_bound_of_0_is_a_line() -> None:
    analysis = examples.metered()
    runs = examples.changed_runs(
        analysis, lambda run: msgspec.structs.replace(run, energy_bound_share=0.0)
    )
    made = figure(msgspec.structs.replace(analysis, runs=runs), "quality")
    assert {row["bound"] for row in made.data["bounds"]} == {0.0}
    ElementTree.fromstring(made.svg())


def test_the_temperature_before_each_run_is_a_second_panel() -> None:
    analysis = examples.metered()
    made = figure(analysis, "steadiness")
    rows = {row["run"]: row for row in made.data["runs"]}
    assert "gpu_c" not in rows[1]
    assert all(rows[run.index]["gpu_c"] == run.gpu_temperature_c for run in analysis.runs[1:])
    assert "GPU before the run" in made.svg()
    assert "temperature of the GPU just before each run" in made.caption
    assert float(ElementTree.fromstring(made.svg()).attrib["height"]) > 300


def test_without_temperatures_there_is_one_panel() -> None:
    made = figure(examples.flawed(), "steadiness")
    assert not any("gpu_c" in row for row in made.data["runs"])
    assert "GPU" not in made.svg() + made.caption + made.description


@pytest.mark.parametrize("n_cycles", [3, 190])
def test_equal_temperatures_and_many_runs_can_be_drawn(n_cycles: int) -> None:
    analysis = simulate((examples.PRECISION, examples.BATCH_SIZE), n_cycles=n_cycles)
    runs = examples.changed_runs(
        analysis, lambda run: msgspec.structs.replace(run, gpu_temperature_c=40.0)
    )
    made = figure(msgspec.structs.replace(analysis, runs=runs), "steadiness")
    assert len(made.data["runs"]) == len(runs) == 8 * n_cycles
    svg = made.svg()
    assert ">40 \N{DEGREE SIGN}C<" in svg
    # All dots of a panel are one path.
    assert sum(len(re.findall("M", d)) == len(runs) for d in re.findall(r' d="([^"]*)"', svg)) == 2


def test_the_time_to_the_first_token_is_a_second_version_of_figure_3() -> None:
    analysis = examples.paper()
    made = figure(analysis, "first_token")
    assert (made.name, made.number) == ("first_token", figure(analysis, "speed").number)
    rows = {row["p"]: row for row in made.data["points"]}
    for number, point in enumerate(analysis.points, 1):
        assert point.time_to_first_token_s is not None
        assert point.time_to_first_token_low_s is not None
        assert rows[number]["first_token_ms"] == 1000 * point.time_to_first_token_s
        assert rows[number]["first_token_ms_low"] == 1000 * point.time_to_first_token_low_s
        assert rows[number]["energy"] == point.energy_per_output_token_j
        assert ("front" in rows[number]) == point.on_first_token_front
    assert "Lower and further left is better" in made.caption
    assert "time to the first token, ms" in made.svg()


def test_without_a_time_to_the_first_token_there_is_no_second_version() -> None:
    analysis = simulate((examples.PRECISION,), n_cycles=2)
    points = [
        msgspec.structs.replace(point, time_to_first_token_s=None) for point in analysis.points
    ]
    with pytest.raises(ReportError, match="both energy and a time to the first token"):
        figure(msgspec.structs.replace(analysis, points=tuple(points)), "first_token")


def test_the_shares_of_all_pairs_are_in_the_figure_of_dependences() -> None:
    analysis = examples.paper()
    made = figure(analysis, "dependences")
    shares = made.data["shares"]
    assert len(shares) == 5 + 10
    first = analysis.factors[0]
    assert {"choice": first.key, "other": first.key, "share": first.share} in shares
    assert json.loads(made.json())["datasets"]["shares"] == shares
