"""A meter of a whole board that always draws the same power, with a counter like a real one."""

from __future__ import annotations

import time
from collections.abc import Sequence

from llem_energy.sources import Kind, Sample, SourceDiagnosis, SourceVersions

POWER_W = 80.0
PERIOD_S = 0.01  # the counter is updated a hundred times a second


class SteadySource:
    """Meters one board."""

    name = "steady"
    kind: Kind = "board"
    gain_share = 0.01
    """From the data sheet of the sensor."""
    devices = ("board-0",)

    def __init__(self, gpus: Sequence[int | str]) -> None:
        """Open the meter; a board includes its GPUs, so they need not be named."""
        del gpus

    def versions(self) -> SourceVersions:
        """Return the version of the firmware; no library is needed to read it."""
        return SourceVersions(driver="firmware 7")

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        """Return what the counter shows, and the instant power."""
        before_s = time.perf_counter()
        energy_j = int(before_s / PERIOD_S) * PERIOD_S * POWER_W
        after_s = time.perf_counter()
        return (
            Sample(
                "board-0",
                (before_s + after_s) / 2,
                after_s - before_s,
                energy_j=energy_j,
                power_w=POWER_W,
                temperature_c=41.0 if details else None,
                throttle_reasons=("hardware thermal",),  # costs nothing here, so in every sample
            ),
        )

    def power_limit_w(self, device: str) -> float | None:
        """Return the limit of the power supply."""
        return 200.0 if device in self.devices else None

    def close(self) -> None:
        """Do nothing: nothing is open."""

    @classmethod
    def diagnose(cls) -> SourceDiagnosis:
        """Return what `llem-cli doctor` shows; a source need not have this method."""
        return SourceDiagnosis(
            description="the board",
            min_watch_s=0.2,
            versions={"steady firmware": "7"},
            problems=("the board has firmware 7; update it to 8",),
        )
