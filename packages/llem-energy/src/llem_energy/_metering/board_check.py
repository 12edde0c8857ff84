"""What a check of a board under a known load has shown about its energy counter.

The check takes a minute and needs the board for itself, so it is kept: it holds for one board and one
version of the driver, whose firmware and code make the counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

Verdict = Literal["exact", "late", "filtered", "part-time", "unclear"]
"""Of one board: the counter shows a step of the load at its next update; some time later; gradually; it
observes the board only part of the time; or the load does not explain what it shows."""
Exactness = Literal["exact", "late", "filtered", "part-time", "unclear", "unverified"]
"""`unverified`: this board was not checked with this version of the driver."""
_RESOLUTION = 0.05  # of a period: the check tries no delay or filter that differs less
_LET_GO = 3.0  # time constants, in which idle power adds more than a filter still holds back
_WORST_FIRST: tuple[Exactness, ...] = (
    "part-time", "filtered", "late", "unclear", "unverified", "exact",
)  # fmt: skip


class BoardCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was found on one board. None: it could not be told."""

    device: str
    """GPU UUID."""
    driver: str
    """Version with which it was checked."""
    verdict: Verdict
    """`exact`, or what is wrong with the counter."""
    counter_period_s: float
    """Period of the counter in the check."""
    counter_delay_s: float
    """By which the counter is late; below a quarter of its period it counts as none."""
    counter_lag_s: float
    """Time constant of a first-order filter before the counter."""
    power_lag_s: float | None
    """The same for instant power: the board itself needs time to change its power."""
    explained_share: float
    """Share of the variance of the counter's power that the load explains."""
    seen_share: float | None
    """Share of each period that the counter observes; 1 for all of it."""
    phase_spread_share: float | None
    """Spread, from lowest to highest, of the energy over idle that the counter shows for the same load at
    16 places within its period. 0 for a counter that sees everything."""
    part_time_reason: str | None
    """Why the two values above are None."""
    checked_at: str
    """UTC, ISO 8601."""

    @property
    def possible_delay_s(self) -> float:
        """By how much an update may show the energy of an earlier instant, although it counts as exact."""
        # What the board itself needs to change its power is not a filter of the counter.
        filter_s = max(0.0, self.counter_lag_s - (self.power_lag_s or 0.0))
        found_s = max(0.0, self.counter_delay_s) + _LET_GO * filter_s
        return found_s + _RESOLUTION * self.counter_period_s

    def doubt(self) -> str | None:
        """Return why energies of this counter may be wrong; None if it was found exact."""
        day = self.checked_at[:10]
        if self.verdict == "part-time":
            share = "" if self.seen_share is None else f" ({self.seen_share:.0%})"
            return (
                f"the energy counter observes the board only part of the time{share} (checked on {day}): "
                "if the steps of the model keep pace with it, their energy is wrong by an unknown amount"
            )
        if self.verdict == "filtered":
            lag_ms = 1e3 * self.counter_lag_s
            return (
                f"the energy counter is filtered with a lag of about {lag_ms:.3g} ms (checked on {day}), so "
                "the bound may not hold"
            )
        if self.verdict == "late":
            return (
                f"the energy counter is late by about {1e3 * self.counter_delay_s:.3g} ms (checked on "
                f"{day}), so the bound may not hold"
            )
        return None


def valid_checks(
    checks: Iterable[BoardCheck], devices: Sequence[str], driver: str | None
) -> tuple[BoardCheck, ...]:
    """Return the check of each device with this version of the driver, in the order of the devices.

    Args:
        checks: of any machine, oldest first.
        devices: UUIDs.
        driver: its version; None if it is not known, so that no check is valid.
    """
    by_device = {check.device: check for check in checks if check.driver == driver}
    return tuple(by_device[device] for device in devices if device in by_device)


def exactness(checks: Sequence[BoardCheck], devices: Sequence[str]) -> Exactness:
    """Return the least favourable outcome among some devices.

    Args:
        checks: the valid ones.
        devices: n >= 1 UUIDs.
    """
    by_device: dict[str, Exactness] = {check.device: check.verdict for check in checks}
    return min((by_device.get(d, "unverified") for d in devices), key=_WORST_FIRST.index)


def sees_all(checks: Sequence[BoardCheck]) -> tuple[str, ...]:
    """Return the devices whose counter was found to observe the board all the time.

    Args:
        checks: the valid ones.
    """
    return tuple(
        check.device
        for check in checks
        if check.verdict != "part-time" and check.seen_share is not None
    )


def exact(checks: Sequence[BoardCheck]) -> tuple[str, ...]:
    """Return the devices whose counter was found exact, so that it does not lag.

    Args:
        checks: the valid ones.
    """
    return tuple(check.device for check in checks if check.verdict == "exact")


def possible_delays_s(checks: Sequence[BoardCheck]) -> dict[str, float]:
    """Return by how much the counter of each device that was found exact may still be late, in seconds.

    Args:
        checks: the valid ones.
    """
    return {check.device: check.possible_delay_s for check in checks if check.verdict == "exact"}


def doubts(checks: Sequence[BoardCheck]) -> Iterator[str]:
    """Yield why the energies of checked boards may be wrong, each with its device."""
    for check in checks:
        if (doubt := check.doubt()) is not None:
            yield f"{check.device}: {doubt}"
