"""The gain error of the sensors: from a calibration with an external meter, else the literature.

A calibration never changes an energy that is measured. It says how wrong that energy is, and gives a
corrected energy beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llem_energy._estimation.figures import Figure, Quality
from llem_energy._metering.gain_store import GainCalibration
from llem_energy._sources.protocol import EnergySource

_LITERATURE = "literature"


class GainErrors(NamedTuple):
    """What is known of the gain of all metered devices together."""

    share: float | None
    """Maximum error of the measured energy (95 % with a calibration)."""
    corrected_share: float | None
    """Of the corrected energy."""
    origin: str | None
    """Of these figures; None if nothing is known."""
    used: tuple[GainCalibration, ...]
    """One for each device, or ()."""


def gain_errors(
    source: EnergySource, energies_j: Mapping[str, float | None], gains: Sequence[GainCalibration]
) -> GainErrors:
    """Return the gain errors of the devices of a source.

    Calibrations are used only if there is one for every device, made with the same driver.

    Args:
        source: what was read.
        energies_j: of each device in the window, for the mean over several devices.
        gains: of any device and driver.
    """
    by_device = {each.device: each for each in gains}
    used = tuple(by_device[device] for device in source.devices if device in by_device)
    if not used:
        return _from_literature(source, "")
    driver = source.versions().driver
    missing = [device for device in source.devices if device not in by_device]
    if missing:
        return _from_literature(source, f"{', '.join(missing)} has no calibration")
    other = [each for each in used if each.driver != driver]
    if other:
        return _from_literature(
            source,
            f"{other[0].device} was calibrated with driver {other[0].driver}, and this is {driver}",
        )
    weights = [energies_j.get(each.device) or 0.0 for each in used]
    total_j = sum(weights) if all(weights) else None
    shares = [weight / total_j if total_j else 1 / len(used) for weight in weights]
    # The errors of meter and efficiency may be common to all boards, so they are added.
    error = sum(share * each.gain_error for share, each in zip(shares, used, strict=True))
    gain = sum(share * each.gain for share, each in zip(shares, used, strict=True))
    names = ", ".join(dict.fromkeys(f"{each.meter}, {each.made_at[:10]}" for each in used))
    return GainErrors(
        share=abs(gain - 1) + error,
        corrected_share=error / gain,
        origin=f"calibration with an external meter ({names})",
        used=used,
    )


def corrected_energy(energies_j: Mapping[str, float | None], gain: GainErrors) -> Figure:
    """Return the sum of the energies, each multiplied by the gain of its device."""
    if not gain.used:
        reason = "no sensor was calibrated with an external meter"
        if gain.origin is not None and gain.origin != _LITERATURE:
            reason = gain.origin.removeprefix(f"{_LITERATURE}: ")
        return Figure(None, Quality("missing", (reason,)))
    total_j = 0.0
    for each in gain.used:
        energy_j = energies_j.get(each.device)
        if energy_j is None:
            return Figure(None, Quality("missing", (f"the energy of {each.device} is missing",)))
        total_j += each.gain * energy_j
    return Figure(total_j, Quality("ok"))


def _from_literature(source: EnergySource, why: str) -> GainErrors:
    if source.gain_share is None:
        return GainErrors(None, None, None, ())
    origin = f"{_LITERATURE}: {why}" if why else _LITERATURE
    return GainErrors(source.gain_share, None, origin, ())
