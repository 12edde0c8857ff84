"""What the energy of a site emits and costs, as recorded in the result of a study."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from llem_runner import StudyError, read_study_result
from llem_runner.records import MeasurementProtocol

_J_PER_KWH = 3.6e6


class Site(NamedTuple):
    """Per joule that a meter reads, the overhead of the site included; None: not recorded."""

    gco2_per_j: float | None
    """Grams of CO2 equivalent."""
    price_per_j: float | None
    """In the currency of the settings."""


NO_SITE = Site(None, None)


def site_of(protocol: MeasurementProtocol | None) -> Site:
    """Return the site of a study; nothing of it is known while there is no protocol."""
    if protocol is None or protocol.datacenter_pue is None:
        return NO_SITE
    kwh_per_j = protocol.datacenter_pue / _J_PER_KWH
    return Site(
        _times(protocol.carbon_intensity_gco2_kwh, kwh_per_j),
        _times(protocol.electricity_price_kwh, kwh_per_j),
    )


def read_site(folder: Path) -> Site:
    """Return the site of the study in a folder; unknown if its result is missing or damaged."""
    with contextlib.suppress(StudyError):
        return site_of(read_study_result(folder).measurement_protocol)
    return NO_SITE


def _times(amount: float | None, factor: float) -> float | None:
    return None if amount is None else amount * factor
