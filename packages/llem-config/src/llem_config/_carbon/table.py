"""The carbon intensity of electricity by country, from a table that is part of this package.

The table has the mean of a year of what a country generates, imports left out, over the whole life
cycle of the power stations. It is taken from the Yearly Electricity Data of Ember, which may be used
under the licence CC BY 4.0.
"""

from __future__ import annotations

import csv
import functools
from importlib.resources import files
from typing import NamedTuple

from llem_config._loading.suggest import did_you_mean

AUTO = "auto"
_PUBLISHER = "Ember, Yearly Electricity Data (CC BY 4.0)"


class GridIntensity(NamedTuple):
    """What the electricity of a country emits, as the mean of one year."""

    code: str
    """Of the country, three letters of ISO 3166."""
    name: str
    gco2_per_kwh: float
    """Grams of CO2 equivalent per kilowatt-hour generated, by life cycle."""
    year: int

    @property
    def source(self) -> str:
        """Return where the figure comes from, for a record or a paper."""
        return f"{self.name}, mean of {self.year}: {_PUBLISHER}"


def grid_intensity(country: str) -> GridIntensity:
    """Return the carbon intensity of a country.

    Args:
        country: its name, or its code of two or three letters by ISO 3166; capitals do not matter.

    Raises:
        ValueError: it is not in the table; the message says what it was taken for.
    """
    names = _by_name()
    found = names.get(country.strip().lower())
    if found is None:
        raise ValueError(
            "expected the code of a country by ISO 3166 such as DEU or DE, or auto, found "
            f"{country!r}{did_you_mean(country, [grid.name for grid in names.values()])}"
        )
    return found


@functools.cache
def _by_name() -> dict[str, GridIntensity]:
    text = (files("llem_config") / "_carbon" / "intensities.csv").read_text("utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        grid = GridIntensity(
            row["code3"], row["name"], float(row["gco2_per_kwh"]), int(row["year"])
        )
        for name in (row["code3"], row["code2"], row["name"]):
            found[name.lower()] = grid
    return found
