"""Figures of several fields have the values that a hand computes, and are missing if a field is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.results import make_result
from fakes.studies import experiment
from report.study_data.folders import make_folder

from llem_config import ExperimentConfig
from llem_config.settings import MeasurementSettings, Settings
from llem_energy.records import DeviceWindow, Latency, Quality
from llem_report import ReportError, analyse, table
from llem_report._study_data.figures import FURTHER, SHARES, figure_named
from llem_report._study_data.site import Site

TOKEN_LATENCY = Latency(n=9, mean_s=0.01, p50_s=0.01, p90_s=0.01, p99_s=0.01)
SITE = Site(gco2_per_j=1e-4, price_per_j=2e-7)
SETTINGS = Settings(
    measurement=MeasurementSettings(
        carbon_intensity_gco2_kwh=360.0, datacenter_pue=1.5, electricity_price_kwh=0.36
    )
)


def device(limited_s: float | None, name: str = "GPU-1") -> DeviceWindow:
    return DeviceWindow(device=name, energy_j=1.0, energy_bound_j=0.1, throttled_power_s=limited_s)


@pytest.mark.parametrize(
    ("name", "changes", "value"),
    [
        # 100 J for 100 tokens in and 50 out
        ("energy_per_input_and_output_token_j", {}, 100 / 150),
        ("energy_per_input_and_output_token_j", {"cached_input_tokens": 50}, 1.0),
        ("energy_per_input_and_output_token_j", {"energy_total_j": None}, None),
        ("energy_per_input_and_output_token_j", {"input_tokens": 0, "output_tokens": 0}, None),
        # 10 J per prompt
        ("energy_per_1000_requests_wh", {}, 10_000 / 3600),
        ("energy_per_1000_requests_wh", {"energy_per_prompt_j": None}, None),
        # 5 prompts of 10 tokens: 0.1 s for the first, and 9 times 0.01 s
        ("energy_delay_product_js", {"inter_token_latency": TOKEN_LATENCY}, 10 * 0.19),
        ("energy_delay_product_js", {"output_tokens": 5}, 10 * 0.1),
        ("energy_delay_product_js", {}, None),
        ("energy_delay_product_js", {"time_to_first_token": None}, None),
        ("energy_delay_product_js",
         {"inter_token_latency": TOKEN_LATENCY, "energy_per_prompt_j": None}, None),
        ("emissions_per_1000_requests_gco2", {}, 1.0),
        ("emissions_per_1000_requests_gco2", {"energy_per_prompt_j": None}, None),
        ("electricity_cost_per_1000_requests", {}, 0.002),
    ],
)  # fmt: skip
def test_a_figure_has_the_value_that_a_hand_computes(
    name: str, changes: dict[str, Any], value: float | None
) -> None:
    found = figure_named(name).value(make_result(experiment(n=5), **changes), SITE)
    assert found == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("devices", "share"),
    [
        ((device(0.5),), 0.25),
        ((device(0.0),), 0.0),
        ((device(0.5), device(1.5, "GPU-2")), 0.5),
        ((device(0.5), device(None, "GPU-2")), None),
        ((device(None),), None),
        ((), None),
    ],
)
def test_the_share_at_the_power_limit_is_the_mean_of_all_devices_or_missing(
    devices: tuple[DeviceWindow, ...], share: float | None
) -> None:
    result = make_result(experiment(), window_s=2.0, devices=devices)
    assert SHARES["power_limited_share"].value(result) == share


def test_without_settings_of_the_site_emissions_and_cost_are_missing() -> None:
    result = make_result(experiment())
    for name in ("emissions_per_1000_requests_gco2", "electricity_cost_per_1000_requests"):
        figure = figure_named(name)
        assert figure.value(result) is None
        assert figure.quality(result).status == "missing"


def test_a_flagged_part_flags_the_product() -> None:
    result = make_result(
        experiment(n=5),
        inter_token_latency=TOKEN_LATENCY,
        figures={
            "energy_per_prompt_j": Quality("ok"),
            "time_to_first_token": Quality("flagged", ("slow",)),
        },
    )
    assert figure_named("energy_delay_product_js").quality(result) == Quality("flagged", ("slow",))


def test_tokens_that_may_have_come_from_a_cache_flag_the_energy_per_token() -> None:
    flagged = Quality("flagged", ("the backend does not report how many input tokens",))
    figures = {"energy_total_j": Quality("ok"), "energy_per_input_token_j": flagged}
    figure = figure_named("energy_per_input_and_output_token_j")
    unknown = make_result(experiment(n=5), cached_input_tokens=None, figures=figures)
    assert figure.quality(unknown) == flagged
    known = make_result(experiment(n=5), cached_input_tokens=0, figures=figures)
    assert figure.quality(known) == Quality("ok")


def limited(config: ExperimentConfig, number: int) -> dict[str, Any]:
    """Return 10 J per prompt, 20 J at n = 4, which is at the limit for 80 % of the window."""
    is_large = config.n == 4
    return {
        "energy_per_prompt_j": 20.0 if is_large else 10.0,
        "energy_per_output_token_j": (4.0 if is_large else 2.0) * (1 + 0.001 * (number % 3)),
        "devices": (device(0.8 if is_large else 0.0),),
    }


def test_analysis_and_tables_have_the_figures_of_each_point(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "sweep: {n: [2, 4]}\n", limited, n_cycles=3, settings=SETTINGS)
    small, large = analyse(folder).points
    # 0.36 kg/kWh and a PUE of 1.5: 1.5e-4 g for each joule that the meter reads
    assert small.figures["emissions_per_1000_requests_gco2"].value == pytest.approx(1.5)
    assert large.figures["electricity_cost_per_1000_requests"].value == pytest.approx(0.003)
    assert small.figures["energy_per_1000_requests_wh"].ci95_low == pytest.approx(10 / 3.6)
    assert "energy_delay_product_js" not in small.figures
    assert small.power_limited_share == 0.0
    assert large.power_limited_share == pytest.approx(0.8)
    assert analyse(folder, figure="emissions_per_1000_requests_gco2").points[
        1
    ].value == pytest.approx(3.0)
    for name in ("points", "runs"):
        rows = table(folder, name).to_pylist()
        assert {*FURTHER, *SHARES} <= rows[0].keys()
        assert {round(row["power_limited_share"], 9) for row in rows} == {0.0, 0.8}
        assert {row["energy_delay_product_js"] for row in rows} == {None}
        cost = {round(row["electricity_cost_per_1000_requests"], 9) for row in rows}
        assert cost == {0.0015, 0.003}


def test_points_that_differ_in_the_time_at_the_limit_have_a_caveat(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "sweep: {n: [2, 4]}\n", limited, n_cycles=3)
    (caveat,) = [line for line in analyse(folder).caveats if "power limit" in line]
    assert caveat.startswith("the points were at the power limit for 0 % to 80 % of the time")


def test_points_at_the_limit_for_the_same_time_have_no_caveat(tmp_path: Path) -> None:
    def alike(config: ExperimentConfig, number: int) -> dict[str, Any]:
        return limited(config, number) | {"devices": (device(0.8 if config.n == 4 else 0.76),)}

    folder = make_folder(tmp_path, "sweep: {n: [2, 4]}\n", alike, n_cycles=3)
    assert not any("power limit" in line for line in analyse(folder).caveats)


def test_points_are_not_ranked_by_a_share() -> None:
    with pytest.raises(ReportError, match="a share can be 0"):
        figure_named("power_limited_share")
