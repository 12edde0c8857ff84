"""The figures of a report drawn by plotly, with its script inside the file.

    uv run --no-project --with plotly python plotly_page.py ANALYSIS.json PAGE.html

It draws what the six figures of our page and its table of points show, in plotly's own way. Runs in
an environment of its own, which has no llem.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def interval(values: list[Json], key: str = "ratio") -> Json:
    """Return error bars from intervals."""
    above = [(v["ci95_high"] or v[key]) - v[key] for v in values]
    below = [v[key] - (v["ci95_low"] or v[key]) for v in values]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below}


def figures(analysis: Json) -> list[Any]:
    """Return effects, slices, energy against speed, dependences, steadiness, quality, points."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    factors = [factor for factor in analysis["factors"] if factor["effect"]]
    effects = [factor["effect"] for factor in factors]
    made = [
        go.Figure(
            go.Scatter(
                x=[effect["ratio"] for effect in effects],
                y=[factor["key"] for factor in factors],
                error_x=interval(effects),
                mode="markers",
            )
        )
    ]
    slices = make_subplots(cols=len(factors), shared_yaxes=True)
    for column, factor in enumerate(factors, 1):
        ratios = [level["ratio"] for level in factor["levels"]]
        names = [level["level"] for level in factor["levels"]]
        trace = go.Scatter(x=names, y=[r["ratio"] for r in ratios], error_y=interval(ratios))
        slices.add_trace(trace, row=1, col=column)
    points = analysis["points"]
    for pair in analysis["dependences"][:6]:
        ratios = pair["ratios"]
        trace = go.Scatter(
            x=pair["levels"], y=[ratio["ratio"] for ratio in ratios], error_y=interval(ratios)
        )
        made.append(go.Figure(trace))
    speed = go.Scatter(
        x=[point["tokens_per_second"] for point in points],
        y=[point["value"] for point in points],
        error_y=interval(points, "value"),
        text=[point["label"] for point in points],
        mode="markers",
    )
    runs = analysis["runs"]
    steady = go.Scatter(
        x=[run["index"] for run in runs],
        y=[run["ratio_to_point"] for run in runs],
        text=[run["label"] for run in runs],
        mode="markers",
    )
    position = {point["config_hash"]: row for row, point in enumerate(points)}
    quality = [[""] * analysis["n_cycles"] for _ in points]
    for run in runs:
        quality[position[run["config_hash"]]][run["cycle"] - 1] = run["quality"]
    heat = go.Heatmap(z=[[float(cell == "ok") for cell in row] for row in quality], text=quality)
    names = ["label", "value", "ci95_low", "ci95_high", "tokens_per_second", "n_runs"]
    table = go.Table(
        header={"values": names},
        cells={"values": [[point[name] for point in points] for name in names]},
    )
    return [*made, slices, *map(go.Figure, (speed, steady, heat, table))]


def main() -> None:
    """Write the page."""
    analysis = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=number == 0)
        for number, figure in enumerate(figures(analysis))
    ]
    page = "<!doctype html><meta charset=utf-8><title>plotly</title>" + "".join(parts)
    Path(sys.argv[2]).write_text(page, "utf-8")


if __name__ == "__main__":
    main()
