"""The figures that points can be compared by, and how to read each from a result.

Modelled energy is none of them. Names, units and titles of all tables and pages come from here.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from llem_config.text import one_line
from llem_energy import ExperimentResult
from llem_energy.records import PhaseResult, Quality
from llem_report._errors import UnknownFigureError
from llem_report._study_data.derived_figures import (
    POWER_LIMITED,
    derived_figures,
    power_limited,
)
from llem_report._study_data.figure import Figure, info_of, rating_of
from llem_report._study_data.site import Site

ENERGY = "energy_per_output_token_j"
SPEED = "tokens_per_second"


def figure_named(name: str) -> Figure:
    """Return a figure by its name.

    Raises:
        UnknownFigureError: there is no such figure; the message lists all of them.
    """
    if name in FIGURES:
        return FIGURES[name]
    if name in SHARES:
        raise UnknownFigureError(
            f"points cannot be ranked by {name}: a share can be 0, so points have no ratio of it; "
            "`study report` and `study export` state the share of each point"
        )
    names = ", ".join(FIGURES)
    close = get_close_matches(name.lower().replace("-", "_"), FIGURES, 1)
    hint = f"; did you mean {close[0]}? All names: {names}" if close else f"; use {names}"
    raise UnknownFigureError(f"expected the name of a figure, found {one_line(name, 60)!r}{hint}")


def _energy(name: str, title: str, unit: str) -> Figure:
    return Figure(info_of(name, title, unit, is_energy=True), _field(name), rating_of(name))


def _adjusted() -> Figure:
    def read(result: ExperimentResult, _: Site) -> float | None:
        energy_j = result.energy_adjusted_j
        return (
            energy_j / result.output_tokens
            if energy_j is not None and result.output_tokens
            else None
        )

    title = "energy above idle per output token"
    info = info_of("energy_adjusted_per_output_token_j", title, "J/token", is_energy=True)
    return Figure(info, read, rating_of("energy_adjusted_j"))


def _power() -> Figure:
    def read(result: ExperimentResult, _: Site) -> float | None:
        energy_j = result.energy_total_j
        return energy_j / result.window_s if energy_j is not None and result.window_s > 0 else None

    info = info_of("power_mean_w", "mean power", "W", is_energy=True)
    return Figure(info, read, rating_of("energy_total_j"))


def _speed(name: str, title: str, unit: str) -> Figure:
    info = info_of(name, title, unit, lower_is_better=False)
    return Figure(info, _field(name), rating_of(name))


def _latency(field: str, title: str) -> list[Figure]:
    def part(name: str, suffix: str, words: str) -> Figure:
        def read(result: ExperimentResult, _: Site) -> float | None:
            latency = getattr(result, field)
            return None if latency is None else float(getattr(latency, name))

        return Figure(info_of(f"{field}{suffix}_s", words, "s"), read, rating_of(field))

    percentiles = [
        part(f"p{percent}_s", f"_p{percent}", f"{title}, {percent} % quantile")
        for percent in (50, 90, 99)
    ]
    return [part("mean_s", "", f"mean {title}"), *percentiles]


def _memory(name: str, title: str) -> Figure:
    return Figure(info_of(name, title, "bytes"), _field(name), lambda _: None)


def _phase(phase: str, field: str, title: str, unit: str, *, is_energy: bool) -> Figure:
    def find(result: ExperimentResult) -> PhaseResult | None:
        return next((each for each in result.phases if each.phase == phase), None)

    def read(result: ExperimentResult, _: Site) -> float | None:
        found = find(result)
        return None if found is None else getattr(found, field)

    def rate(result: ExperimentResult) -> Quality | None:
        found = find(result)
        return found.quality if found is not None and is_energy else None

    info = info_of(
        f"phase.{phase}.{field}", title, unit, is_energy=is_energy, lower_is_better=is_energy
    )
    return Figure(info, read, rate)


def _field(name: str) -> Callable[[ExperimentResult, Site], float | None]:
    return lambda result, _: getattr(result, name)


FIGURES: dict[str, Figure] = {
    figure.info.name: figure
    for figure in (
        _energy(ENERGY, "energy per output token", "J/token"),
        _energy("energy_per_input_token_j", "energy per input token", "J/token"),
        _energy("energy_per_prompt_j", "energy per prompt", "J/prompt"),
        _energy("energy_total_j", "energy of the window", "J"),
        _adjusted(),
        _power(),
        *derived_figures(),
        _energy("baseline_power_w", "idle power with the model loaded", "W"),
        _speed(SPEED, "output tokens per second", "tokens/s"),
        *_latency("time_to_first_token", "time to first token"),
        *_latency("inter_token_latency", "time between tokens"),
        _memory("peak_memory_bytes", "peak memory"),
        _memory("weights_memory_bytes", "memory of the weights"),
        _memory("rest_memory_bytes", "memory besides the weights"),
        *(
            figure
            for phase, token in (("prefill", "input"), ("decode", "output"))
            for figure in (
                _phase(
                    phase,
                    "energy_per_token_j",
                    f"energy of {phase} per {token} token",
                    "J/token",
                    is_energy=True,
                ),
                _phase(
                    phase,
                    "tokens_per_second",
                    f"{token} tokens per second of {phase}",
                    "tokens/s",
                    is_energy=False,
                ),
            )
        ),
    )
}
"""Every figure by its name; the figure of merit is the first one if any run has it."""

SHARES: dict[str, Figure] = {POWER_LIMITED: power_limited()}
"""Shares of time from 0 to 1. They can be 0, so they have plain means and no ratios."""

FURTHER = tuple(figure.info.name for figure in derived_figures())
"""Figures that every point states next to the figure of merit."""
