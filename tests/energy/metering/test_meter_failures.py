"""A meter that fails in the window: when, and what it had shown until then."""

from __future__ import annotations

from typing import Any, cast

import pytest

from llem_energy._metering.meter_failures import failed_in_window, last_errors
from llem_energy._metering.window import MeasuredSpan
from llem_energy.sources import Sample

SPAN = MeasuredSpan(start_s=10.0, end_s=20.0, cpu_time_s=0.0, n_repeats=1, guard_s=1.0)
TIMES_S = [9.0 + 0.05 * i for i in range(260)]  # to 22 s


def read(device: str, fails_from_s: float, until_s: float = 1e9, **missing: bool) -> list[Sample]:
    """Return samples of 100 W, without values from one instant to another."""

    def has(name: str, t_s: float) -> bool:
        return not (fails_from_s <= t_s < until_s) and name not in missing

    return [
        Sample(
            device, t_s, 1e-5,
            energy_j=100 * t_s if has("energy", t_s) else None,
            power_w=100.0 if has("power", t_s) else None,
        )
        for t_s in TIMES_S
    ]  # fmt: skip


def test_the_failed_device_is_named_with_its_time_and_its_joules() -> None:
    samples = sorted(read("GPU-1", 14.02) + read("GPU-2", 1e9), key=lambda s: s.t_s)
    (reason,) = failed_in_window(samples, SPAN, ["GPU-1", "GPU-2"], None)
    assert reason == (
        "GPU-1: its meter failed 4.00 s after the start of the window of 10.00 s; until then its "
        "counter had risen by 400 J, which is not the energy of the window"
    )


def test_a_meter_without_a_counter_has_no_joules() -> None:
    (reason,) = failed_in_window(read("GPU-1", 14.02, energy=True), SPAN, ["GPU-1"], None)
    assert reason.endswith("4.00 s after the start of the window of 10.00 s")


@pytest.mark.parametrize("until_s", [14.5, 19.0, 20.01])
def test_a_meter_that_returns_before_the_window_is_closed_has_not_failed(until_s: float) -> None:
    assert list(failed_in_window(read("GPU-1", 14.0, until_s), SPAN, ["GPU-1"], None)) == []


def test_a_meter_that_fails_before_the_window_failed_at_its_start() -> None:
    (reason,) = failed_in_window(read("GPU-1", 9.5), SPAN, ["GPU-1"], None)
    assert "failed 0.00 s after" in reason
    assert "risen" not in reason


def test_a_sampler_that_stopped_is_named_although_no_sample_is_empty() -> None:
    samples = [sample for sample in read("package-0", 1e9) if sample.t_s < 13.02]
    assert list(failed_in_window(samples, SPAN, ["package-0"], None)) == []
    (reason,) = failed_in_window(samples, SPAN, ["package-0"], "ValueError: broken")
    assert "3.00 s after the start of the window of 10.00 s (ValueError: broken); until" in reason


class SilentOnOne:
    """A source of which the first device cannot say why it failed."""

    devices = ("GPU-1", "GPU-2")

    def last_error(self, device: str) -> str | None:
        if device == "GPU-1":
            raise RuntimeError("no such device")
        return "it was lost"


def test_a_source_that_cannot_say_why_a_device_failed_loses_no_run() -> None:
    assert last_errors(cast(Any, SilentOnOne())) == {"GPU-2": "it was lost"}
