"""Figure 6: the power of one run over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from llem_report._figures.figure import Chart, Figure
from llem_report._figures.scales import number
from llem_report._figures.theme import N_COLOURS, TOTAL_WIDTH, Theme, Width

MAX_BINS = 700
"""Of time; a bin has the least and the greatest power, so that no peak is lost."""
_HEIGHT = 200
_CHARACTER = 6.6
_NAMES = {"window": "measured window", "loaded idle": "idle, loaded"}
_SHADED = ("window", "prefill", "decode")


@dataclass(frozen=True, slots=True)
class RunPower:
    """The readings of a run, in order of time."""

    index: int
    """Of the run."""
    label: str
    """Of its point."""
    energy_j: float | None
    """Of the window."""
    bound_j: float | None
    devices: tuple[str, ...]
    readings: Sequence[tuple[float, int, float]]
    """Seconds since the first reading, place of the device, watts."""
    phases: Sequence[tuple[float, float, str]]
    """Begin, end and name of each phase, in the same seconds."""
    throttled_s: Sequence[float] = ()
    """When the power or the temperature slowed a device down."""


def power(run: RunPower) -> Figure | None:
    """Return the power of a run; None without readings."""
    if len(run.readings) < 2:
        return None
    last_s = max(run.readings[-1][0], 1e-6)
    rows = _binned(run, last_s)
    phases = [
        {
            "from": begin,
            "to": end,
            "name": _NAMES.get(name, name),
            "shaded": name in _SHADED,
        }
        for begin, end, name in run.phases
    ]
    ticks = [{"t": t_s} for t_s in run.throttled_s]
    energy = ""
    if run.energy_j is not None:
        bound = f", error at most {number(run.bound_j)} J" if run.bound_j is not None else ""
        energy = f" Energy of the measured window: {number(run.energy_j)} J{bound}."

    def draw(theme: Theme, width: Width) -> Chart:
        return _chart(run, phases, last_s, theme, width)

    return Figure(
        name=f"power-{run.index}",
        number=6,
        title=f"Power of run {run.index} over time",
        caption=(
            f"Run {run.index}, {run.label}.{energy} Shades: the windows whose energy is reported. "
            "The line joins the least and the greatest reading of each moment."
            + (" Ticks at the top: a device was slowed down." if ticks else "")
        ),
        description=(
            f"Power of run {run.index} over {last_s:.0f} s, from "
            f"{number(min(row['w'] for row in rows))} to {number(max(row['w'] for row in rows))} W."
        ),
        draw=draw,
        data={"power": rows, "run_phases": phases, "throttled": ticks},
    )


def _binned(run: RunPower, last_s: float) -> list[dict[str, Any]]:
    """Return the first, least and greatest readings of each bin of time, for each device."""
    ends: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for t_s, device, power_w in run.readings:
        place = (device, int(t_s / last_s * (MAX_BINS - 1)))
        found = ends.setdefault(place, [(t_s, power_w)] * 2)
        if power_w < found[0][1]:
            found[0] = (t_s, power_w)
        if power_w > found[1][1]:
            found[1] = (t_s, power_w)
    return [
        {"t": round(t_s, 3), "w": round(power_w, 2), "d": device}
        for (device, _), found in sorted(ends.items())
        for t_s, power_w in sorted(set(found))
    ]


def _chart(
    run: RunPower, phases: Sequence[dict[str, Any]], last_s: float, theme: Theme, width: Width
) -> Chart:
    plot_width = TOTAL_WIDTH[width] - 60
    x_scale = alt.Scale(domain=[0, last_s], nice=False)
    x = alt.X("t:Q", scale=x_scale, axis=alt.Axis(title="seconds", grid=False, tickCount=6))
    y = alt.Y(
        "w:Q",
        scale=alt.Scale(zero=True, nice=True),
        axis=alt.Axis(
            title="W",
            titleAngle=0,
            titleAlign="left",
            titleAnchor="start",
            titleX=-38,
            titleY=-14,
            tickCount=5,
        ),
    )
    shown = _named(phases, last_s, plot_width)
    shades = (
        alt.Chart(alt.NamedData("run_phases"))
        .transform_filter("datum.shaded")
        .mark_rect(color=theme.grid, opacity=0.6, aria=False)
        .encode(x=alt.X("from:Q", scale=x_scale), x2="to:Q")
    )
    names = (
        alt.Chart(alt.NamedData("run_phases"))
        .transform_window(i="row_number()")
        .transform_filter(f"indexof({shown}, datum.i) >= 0")
        .transform_calculate(middle="(datum.from + datum.to) / 2")
        .mark_text(color=theme.muted, baseline="bottom", dy=-4, aria=False)
        .encode(x=alt.X("middle:Q", scale=x_scale), y=alt.value(0), text="name:N")
    )
    line = (
        alt.Chart(alt.NamedData("power"))
        .mark_line(strokeWidth=1.2, strokeJoin="round", aria=False, color=theme.colours[0])
        .encode(x=x, y=y, detail="d:N")
    )
    if len(run.devices) > 1:
        places = list(range(min(len(run.devices), N_COLOURS)))
        line = line.encode(
            color=alt.Color(
                "d:N",
                scale=alt.Scale(domain=places, range=list(theme.colours[: len(places)])),
                legend=alt.Legend(
                    title=None,
                    orient="bottom",
                    labelExpr="'device ' + datum.label",
                    symbolType="stroke",
                ),
            )
        )
    ticks = (
        alt.Chart(alt.NamedData("throttled"))
        .mark_tick(color=theme.bad, thickness=1, size=8, aria=False)
        .encode(x=alt.X("t:Q", scale=x_scale), y=alt.value(6))
    )
    return alt.layer(shades, line, ticks, names).properties(width=plot_width, height=_HEIGHT)


def _named(phases: Sequence[dict[str, Any]], last_s: float, plot_width: int) -> list[int]:
    """Return the places, from 1, of the phases that are long enough for their names."""
    return [
        place
        for place, phase in enumerate(phases, 1)
        if (phase["to"] - phase["from"]) / last_s * plot_width > _CHARACTER * len(phase["name"]) + 8
    ]
