"""Figures that are computed from several fields of a result: energy for a reader, a site, a service.

If any field is missing, the figure is missing.
"""

from __future__ import annotations

from collections.abc import Callable

from llem_energy import ExperimentResult
from llem_energy.records import Quality
from llem_report._study_data.figure import Figure, info_of, rating_of
from llem_report._study_data.site import Site

PER_TOKEN = "energy_per_input_and_output_token_j"
PER_REQUESTS = "energy_per_1000_requests_wh"
DELAY_PRODUCT = "energy_delay_product_js"
EMISSIONS = "emissions_per_1000_requests_gco2"
COST = "electricity_cost_per_1000_requests"
POWER_LIMITED = "power_limited_share"

_N_REQUESTS = 1000
_J_PER_WH = 3600.0


def derived_figures() -> tuple[Figure, ...]:
    """Return the figures that points can be ranked by."""
    return (_per_token(), _per_requests(), _delay_product(), _emissions(), _cost())


def power_limited() -> Figure:
    """Return the share of the window in which the power limit slowed the GPUs down.

    It is the time from the driver's counters over the window, as the mean of all metered devices.
    """

    def read(result: ExperimentResult, _: Site) -> float | None:
        times_s = [device.throttled_power_s for device in result.devices]
        known_s = [time_s for time_s in times_s if time_s is not None]
        if not known_s or len(known_s) < len(times_s) or result.window_s <= 0:
            return None
        return sum(known_s) / len(known_s) / result.window_s

    info = info_of(POWER_LIMITED, "share of the time at the power limit", "share")
    return Figure(info, read, lambda _: None)


def _per_token() -> Figure:
    """Return joules per token that was read or written; tokens from a cache were not read."""

    def read(result: ExperimentResult, _: Site) -> float | None:
        n_tokens = result.input_tokens - (result.cached_input_tokens or 0) + result.output_tokens
        energy_j = result.energy_total_j
        return energy_j / n_tokens if energy_j is not None and n_tokens > 0 else None

    def rate(result: ExperimentResult) -> Quality | None:
        # Where the number of cached tokens is unknown, all count as read, which flags this field.
        is_known = result.cached_input_tokens is not None
        return rating_of("energy_total_j" if is_known else "energy_per_input_token_j")(result)

    info = info_of(PER_TOKEN, "energy per input and output token", "J/token", is_energy=True)
    return Figure(info, read, rate)


def _per_requests() -> Figure:
    """Return watt-hours for 1000 prompts like those of the study."""
    return _of_requests(
        PER_REQUESTS, "energy per 1000 requests", "Wh/1000 requests", lambda _: 1 / _J_PER_WH
    )


def _emissions() -> Figure:
    """Return grams of CO2 equivalent for 1000 prompts, at the carbon intensity of the site."""
    return _of_requests(
        EMISSIONS,
        "emissions per 1000 requests",
        "gCO2/1000 requests",
        lambda site: site.gco2_per_j,
    )


def _cost() -> Figure:
    """Return the price of the electricity for 1000 prompts, in the currency of the settings."""
    return _of_requests(
        COST,
        "electricity cost per 1000 requests",
        "currency/1000 requests",
        lambda site: site.price_per_j,
    )


def _of_requests(
    name: str, title: str, unit: str, per_joule: Callable[[Site], float | None]
) -> Figure:
    def read(result: ExperimentResult, site: Site) -> float | None:
        energy_j, factor = result.energy_per_prompt_j, per_joule(site)
        if energy_j is None or factor is None:
            return None
        return _N_REQUESTS * energy_j * factor

    return Figure(
        info_of(name, title, unit, is_energy=True), read, rating_of("energy_per_prompt_j")
    )


def _delay_product() -> Figure:
    """Return the energy of a request times its latency: joule seconds.

    The latency is the mean time to the first token, and the mean time between tokens for each
    further one.
    """
    ratings = [
        rating_of(name)
        for name in ("energy_per_prompt_j", "time_to_first_token", "inter_token_latency")
    ]

    def read(result: ExperimentResult, _: Site) -> float | None:
        energy_j, latency_s = result.energy_per_prompt_j, _latency_s(result)
        return None if energy_j is None or latency_s is None else energy_j * latency_s

    def rate(result: ExperimentResult) -> Quality | None:
        qualities = [quality for rating in ratings if (quality := rating(result)) is not None]
        flagged = [quality for quality in qualities if quality.status != "ok"]
        if not flagged:
            return None
        reasons = dict.fromkeys(reason for quality in flagged for reason in quality.reasons)
        is_missing = any(quality.status == "missing" for quality in flagged)
        return Quality("missing" if is_missing else "flagged", tuple(reasons))

    info = info_of(
        DELAY_PRODUCT, "energy times latency of a request", "J s/request", is_energy=True
    )
    return Figure(info, read, rate)


def _latency_s(result: ExperimentResult) -> float | None:
    first, between = result.time_to_first_token, result.inter_token_latency
    n_requests = result.n_prompts * result.n_repeats
    if first is None or n_requests == 0:
        return None
    n_further = result.output_tokens / n_requests - 1
    if n_further <= 0:
        return first.mean_s
    return None if between is None else first.mean_s + n_further * between.mean_s
