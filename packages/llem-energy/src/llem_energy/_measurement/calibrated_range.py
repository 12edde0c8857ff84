"""Whether the sensors of a run worked in the range in which an external meter has calibrated them."""

from __future__ import annotations

from collections.abc import Iterator

from llem_energy._estimation.window_energy import EnergyFigures

_BEYOND = 0.1  # of the range's ends


def outside_calibration(window: EnergyFigures, window_s: float) -> Iterator[str]:
    """Yield each device whose mean power is outside of the range of its calibration.

    A sensor may have an offset too, which the power of the host hides in a calibration. A gain then holds
    only where it was fitted.

    Args:
        window: with the calibrations of all devices, or none.
        window_s: its duration.
    """
    energies_j = {each.device: each.energy_j for each in window.devices}
    for gain in window.gains:
        energy_j = energies_j.get(gain.device)
        if energy_j is None or window_s <= 0:
            continue
        power_w = energy_j / window_s
        low_w, high_w = (1 - _BEYOND) * gain.board_min_w, (1 + _BEYOND) * gain.board_max_w
        if not low_w <= power_w <= high_w:
            yield (
                f"{gain.device}: it drew {power_w:.3g} W, and its sensor was calibrated from "
                f"{gain.board_min_w:.3g} to {gain.board_max_w:.3g} W only"
            )
