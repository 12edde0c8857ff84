"""The figures of a study, by name."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from llem_report._errors import ReportError, UnknownFigureError
from llem_report._figures.figure import Figure
from llem_report.records import Analysis

FIGURES = (
    "effects",
    "slices",
    "speed",
    "first_token",
    "dependences",
    "steadiness",
    "phases",
    "quality",
)
"""The names of all figures, in the order of the page."""
WITHOUT = {
    "effects": "the study has no choice of which two levels can be compared",
    "slices": "the study has no choice of which two levels can be compared",
    "speed": "no point has both energy and speed",
    "first_token": "no point has both energy and a time to the first token",
    "dependences": "no choice was found to depend on another",
    "steadiness": "no run has the figure of merit",
    "phases": "prefill and decode were not measured separately; `energy.phases` does that",
    "quality": "all runs are ok, or the study has none",
}
"""Why a study has no such figure."""
NUMBERS = {
    "effects": 1,
    "slices": 2,
    "speed": 3,
    "first_token": 3,
    "dependences": 4,
    "steadiness": 5,
    "power": 6,
    "phases": 7,
    "quality": 8,
}
"""The number of each figure, and of the power of a run; it is the same in every report. Two views of
one question share a number."""


def figure(analysis: Analysis, name: str) -> Figure:
    """Return one figure of a study.

    Args:
        analysis: of the study.
        name: one of `FIGURES`.

    Raises:
        UnknownFigureError: there is no such figure; the message suggests a name.
        ReportError: the study lacks what it shows.
    """
    if name not in FIGURES:
        close = get_close_matches(name.lower(), FIGURES, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UnknownFigureError(f"expected a figure of {', '.join(FIGURES)}; found {name!r}{hint}")
    made = _makers()[name](analysis)
    if made is None:
        raise ReportError(f"there is no figure {name!r} for this study: {WITHOUT[name]}")
    return made


def figures(analysis: Analysis) -> tuple[Figure, ...]:
    """Return all figures that a study allows, in the order of the page."""
    made = (make(analysis) for make in _makers().values())
    return tuple(figure for figure in made if figure is not None)


def _makers() -> dict[str, Callable[[Analysis], Figure | None]]:
    # Imported late: Altair takes a second, which commands without figures do not pay.
    from llem_report._figures.dependences import dependences
    from llem_report._figures.effects import effects
    from llem_report._figures.phases import phases
    from llem_report._figures.quality import quality
    from llem_report._figures.slices import slices
    from llem_report._figures.speed import first_token, speed
    from llem_report._figures.steadiness import steadiness

    makers = (effects, slices, speed, first_token, dependences, steadiness, phases, quality)
    return dict(zip(FIGURES, makers, strict=True))
