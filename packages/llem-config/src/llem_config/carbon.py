"""What a kilowatt-hour emits at the place of a machine, and where that figure comes from.

from llem_config.carbon import carbon_of, grid_intensity
grid_intensity("DEU").gco2_per_kwh
carbon_of(load_settings().measurement).gco2_per_kwh
"""

from __future__ import annotations

from typing import NamedTuple

from llem_config._carbon.table import AUTO, GridIntensity, grid_intensity
from llem_config._carbon.time_zone import country_of_time_zone
from llem_config.settings import MeasurementSettings

__all__ = ["Carbon", "GridIntensity", "carbon_of", "country_of_time_zone", "grid_intensity"]


class Carbon(NamedTuple):
    """The carbon intensity of a machine's electricity; both fields are None if it is not known."""

    gco2_per_kwh: float | None
    """Grams of CO2 equivalent per kilowatt-hour."""
    source: str | None
    """Where this figure comes from."""


def carbon_of(measurement: MeasurementSettings) -> Carbon:
    """Return the carbon intensity that the settings of a machine give.

    A number in the settings wins over a country. With `auto`, the time zone names the country.
    """
    if measurement.carbon_intensity_gco2_kwh is not None:
        return Carbon(measurement.carbon_intensity_gco2_kwh, "the settings of this machine")
    country = measurement.country
    if country == AUTO:
        country = country_of_time_zone()
    if country is None:
        return Carbon(None, None)
    try:
        grid = grid_intensity(country)
    except ValueError:  # the time zone belongs to a territory that the table does not have
        return Carbon(None, None)
    return Carbon(grid.gco2_per_kwh, grid.source)
