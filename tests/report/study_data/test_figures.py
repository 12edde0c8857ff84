"""Every figure is read from a result with its quality, under one name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.results import make_result
from fakes.studies import experiment

import llem_energy
from llem_energy.records import Latency, PhaseResult, Quality
from llem_report import ReportError
from llem_report._study_data.figures import FIGURES, figure_named

DATA = Path(__file__).parents[2] / "energy" / "result" / "data"
LATENCY = Latency(n=9, mean_s=0.2, p50_s=0.1, p90_s=0.3, p99_s=0.9)
PREFILL = PhaseResult(
    phase="prefill", n_prompts=1, n_repeats=1, n_tokens=8, window_s=1.0, tokens_per_second=8.0, energy_j=4.0,
    energy_bound_j=1.0, energy_uncertainty_j=None, energy_method="counter", energy_per_token_j=0.5,
    energy_adjusted_j=None, quality=Quality("flagged", ("short",)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "unit", "lower_is_better"),
    [
        ("energy_per_output_token_j", 2.0, "J/token", True),
        ("energy_per_prompt_j", 10.0, "J/prompt", True),
        ("energy_adjusted_per_output_token_j", 90 / 50, "J/token", True),
        ("power_mean_w", 50.0, "W", True),
        ("tokens_per_second", 50.0, "tokens/s", False),
        ("time_to_first_token_s", 0.2, "s", True),
        ("time_to_first_token_p99_s", 0.9, "s", True),
        ("inter_token_latency_p50_s", 0.1, "s", True),
        ("peak_memory_bytes", 7.0, "bytes", True),
        ("phase.prefill.energy_per_token_j", 0.5, "J/token", True),
        ("phase.prefill.tokens_per_second", 8.0, "tokens/s", False),
        ("phase.decode.energy_per_token_j", None, "J/token", True),
    ],
)
def test_each_figure_is_read_from_its_field(
    name: str, value: float | None, unit: str, lower_is_better: bool
) -> None:
    result = make_result(
        experiment(), window_s=2.0, peak_memory_bytes=7, phases=(PREFILL,),
        time_to_first_token=LATENCY, inter_token_latency=LATENCY,
    )  # fmt: skip
    figure = figure_named(name)
    assert (figure.value(result), figure.info.unit) == (value, unit)
    assert figure.info.lower_is_better is lower_is_better


def test_the_unit_at_the_end_of_a_name_is_the_unit_of_the_figure() -> None:
    units = {
        "_per_second": "tokens/s", "_bytes": "bytes", "_js": "J s", "_wh": "Wh", "_gco2": "gCO2",
        "_j": "J", "_w": "W", "_s": "s",
    }  # fmt: skip
    for name, figure in FIGURES.items():
        if name == "electricity_cost_per_1000_requests":
            continue  # a currency, which the settings do not name
        ending = next(end for end in units if name.endswith(end))
        assert figure.info.unit.partition("/")[0] == units[ending].partition("/")[0], name


def test_modelled_energy_is_no_figure() -> None:
    assert not any("estimated" in name for name in FIGURES)


def test_an_unknown_figure_lists_those_that_exist() -> None:
    with pytest.raises(
        ReportError, match="found 'speed'; use energy_per_output_token_j, "
    ) as error:
        figure_named("speed")
    assert all(name in str(error.value) for name in FIGURES)


@pytest.mark.parametrize(
    ("name", "changes", "status", "reasons"),
    [
        ("energy_per_output_token_j", {}, "ok", ()),
        ("energy_per_output_token_j",
         {"figures": {"energy_per_output_token_j": Quality("flagged", ("slow",))}},
         "flagged", ("slow",)),
        ("power_mean_w", {"figures": {"energy_total_j": Quality("flagged", ("slow",))}},
         "flagged", ("slow",)),
        ("energy_per_output_token_j",
         {"energy_per_output_token_j": None,
          "figures": {"energy_per_output_token_j": Quality("missing", ("no meter",))}},
         "missing", ("no meter",)),
        # A figure that is there cannot be missing, whatever the file says of it.
        ("tokens_per_second", {"figures": {"tokens_per_second": Quality("missing")}}, "ok", ()),
        ("inter_token_latency_s", {}, "missing", ("the run does not have this figure",)),
        ("phase.prefill.energy_per_token_j", {"phases": (PREFILL,)}, "flagged", ("short",)),
        ("phase.prefill.tokens_per_second", {"phases": (PREFILL,)}, "ok", ()),
        # Format 1 has only the status of the total.
        ("energy_per_prompt_j", {"energy_status": "flagged"}, "flagged", ()),
        ("tokens_per_second", {"energy_status": "flagged"}, "ok", ()),
    ],
)  # fmt: skip
def test_the_quality_of_a_figure_is_that_of_its_field(
    name: str, changes: dict[str, Any], status: str, reasons: tuple[str, ...]
) -> None:
    quality = figure_named(name).quality(make_result(experiment(), **changes))
    assert (quality.status, quality.reasons) == (status, reasons)


@pytest.mark.parametrize("path", sorted(DATA.glob("result_v*.json")), ids=lambda path: path.name)
def test_figures_of_stored_results_of_every_format_can_be_read(path: Path) -> None:
    result = llem_energy.read_result(path)
    for figure in FIGURES.values():
        is_missing = figure.value(result) is None
        assert is_missing == (figure.quality(result).status == "missing")
    assert figure_named("tokens_per_second").value(result) == result.tokens_per_second
