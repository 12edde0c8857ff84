"""What limited the phases of a point is the mean of its runs, and on the page only if it is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.results import make_result
from fakes.studies import experiment
from report.study_data.folders import make_folder

from llem_config import ExperimentConfig
from llem_energy.records import Latency, PhaseRoofline
from llem_report import ReportError, analyse, table
from llem_report._page.page import report_html
from llem_report._study_data.figures import figure_named
from llem_report._study_data.phase_uses import phase_uses

HEADING = "What limited the points"


def roofline(phase: Any, mfu: float | None, mbu: float | None, bound: Any) -> PhaseRoofline:
    return PhaseRoofline(
        phase=phase, timed="in the window", time_s=1.0, flops=2e9, bytes_moved=1e9,
        bytes_confidence="medium", achieved_tflops=0.002, achieved_gb_s=1.0,
        arithmetic_intensity=2.0, mfu=mfu, mbu=mbu, pj_per_flop=None, pj_per_byte=None,
        gpu_utilisation=None, bound_by=bound,
    )  # fmt: skip


def explained(config: ExperimentConfig, n_call: int) -> dict[str, Any]:
    """Return shares that rise by 0.2 from the first cycle to the second, for n = 2 only."""
    if config.n != 2:
        return {"roofline": (roofline("decode", None, None, None),)}
    more = 0.0 if n_call <= 2 else 0.2
    decode = roofline("decode", 0.1, 0.5 + more, "memory" if more else "host")
    prefill = roofline("prefill", 0.6 + more, None, None)
    latency = Latency(n=9, mean_s=0.01, p50_s=0.01, p90_s=0.01, p99_s=0.025)
    return {"roofline": (prefill, decode), "inter_token_latency": latency}


def test_a_point_has_the_mean_shares_and_every_bound_of_its_runs(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "sweep: {n: [2, 4]}\n", explained)
    known, unknown = analyse(folder).points
    prefill, decode = known.phases
    assert (prefill.phase, prefill.mbu, prefill.bound_by) == ("prefill", None, ())
    assert prefill.mfu == pytest.approx(0.7)
    assert (decode.phase, decode.bound_by) == ("decode", ("host", "memory"))
    assert decode.mfu == pytest.approx(0.1)
    assert decode.mbu == pytest.approx(0.6)
    assert known.inter_token_latency_p99_s == pytest.approx(0.025)
    assert unknown.phases == ()


def test_the_exported_points_have_the_shares_and_bounds(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "sweep: {n: [2, 4]}\n", explained)
    known, unknown = table(folder, "points").to_pylist()
    assert known["roofline.prefill.mfu"] == pytest.approx(0.7)
    assert known["roofline.decode.mbu"] == pytest.approx(0.6)
    assert known["roofline.decode.bound_by"] == ["host", "memory"]
    assert (known["roofline.prefill.mbu"], known["roofline.prefill.bound_by"]) == (None, None)
    assert [value for name, value in unknown.items() if "roofline" in name] == [None] * 6


def test_the_page_has_a_table_if_any_point_is_explained(tmp_path: Path) -> None:
    analysis = analyse(make_folder(tmp_path, "sweep: {n: [2, 4]}\n", explained))
    page = report_html(analysis)
    assert HEADING in page
    section = page[page.index(HEADING) :].partition("</section>")[0]
    assert "host, memory" in section
    assert "0.025" in section
    assert section.count("<tr") == 3  # the head and two points


def test_without_any_share_the_page_has_no_such_table(tmp_path: Path) -> None:
    analysis = analyse(make_folder(tmp_path, "sweep: {n: [3, 4]}\n", explained))
    assert HEADING not in report_html(analysis)


def test_the_runs_are_exported_with_all_figures_of_the_roofline(tmp_path: Path) -> None:
    rows = table(make_folder(tmp_path, "sweep: {n: [2, 4]}\n", explained), "runs").to_pylist()
    assert {row["roofline.decode.bound_by"] for row in rows} == {"host", "memory", None}
    assert {row["roofline.decode.achieved_gb_s"] for row in rows} == {1.0}
    assert {row["roofline.prefill.flops"] for row in rows} == {2e9, None}


def test_a_result_without_roofline_has_no_phases() -> None:
    assert phase_uses(make_result(experiment())) == ()


@pytest.mark.parametrize("name", ["mfu", "mbu", "roofline.decode.mbu"])
def test_points_are_not_ranked_by_what_explains_them(name: str) -> None:
    with pytest.raises(ReportError, match="expected the name of a figure"):
        figure_named(name)
