"""A figure: its name and unit, its value in a result, and whether this value can be relied on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from llem_energy import ExperimentResult
from llem_energy.records import Quality
from llem_report._study_data.site import NO_SITE, Site
from llem_report._study_data.study_data import FigureInfo

_OK = Quality("ok")
MISSING = Quality("missing", ("the run does not have this figure",))


class Figure(NamedTuple):
    """A figure, its value in a result, and whether this value can be relied on."""

    info: FigureInfo
    read: Callable[[ExperimentResult, Site], float | None]
    rate: Callable[[ExperimentResult], Quality | None]
    """Returns None if the result does not rate the figure, as in old formats."""

    def value(self, result: ExperimentResult, site: Site = NO_SITE) -> float | None:
        """Return the figure of a run; None if the run has none, or the site lacks what it needs."""
        value = self.read(result, site)
        try:
            return float(value) if value is not None and math.isfinite(value) else None
        except OverflowError:  # an integer of hundreds of digits
            return None

    def quality(self, result: ExperimentResult, site: Site = NO_SITE) -> Quality:
        """Return whether the figure of a run can be relied on, and if not, why."""
        return self.quality_of(result, self.value(result, site))

    def quality_of(self, result: ExperimentResult, value: float | None) -> Quality:
        """Return the quality of a figure whose value was read already."""
        quality = self.rate(result)
        is_missing = value is None
        if quality is None or is_missing != (quality.status == "missing"):
            return MISSING if is_missing else _OK
        return quality


def info_of(
    name: str, title: str, unit: str, *, lower_is_better: bool = True, is_energy: bool = False
) -> FigureInfo:
    """Return the description of a figure."""
    return FigureInfo(
        name=name, title=title, unit=unit, lower_is_better=lower_is_better, is_energy=is_energy
    )


def rating_of(name: str) -> Callable[[ExperimentResult], Quality | None]:
    """Return what reads the quality of a field from a result."""

    def rate(result: ExperimentResult) -> Quality | None:
        quality = result.figures.get(name)
        if quality is None and name.startswith("energy_"):  # format 1 rates the total only
            total = result.figures.get("energy_total_j")
            quality = Quality(result.energy_status) if total is None else total
        return quality

    return rate
