"""What repeats in a window, for its figures: tokens, batches, repeats (CM-17..19)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from energy.parts import experiment

from llem_energy._backends.protocol import Batch
from llem_energy._estimation.beats import Sweep
from llem_energy._measurement.raw_measurement import GenerationRecord, PhaseSpan
from llem_energy._measurement.window_readings import n_parts, repeated_s
from llem_energy._metering.window import MeasuredSpan

WINDOW = MeasuredSpan(0.0, 2.0, 0.0, 2, 0.0)
PREFILL = MeasuredSpan(3.0, 5.0, 0.0, 40, 0.0)
DECODE = MeasuredSpan(6.0, 8.0, 0.0, 10, 0.0)


def measured(pause_s: float | None = None, n_batches: int = 4) -> Any:
    """Return a window of two repeats of two batches, and both phases."""
    energy = {} if pause_s is None else {"random_pause_seconds": pause_s}
    batch = Batch(1, (1, 8), (8,), None)
    record = GenerationRecord(batch, (4,), (0.1, 0.11, 0.12, 0.15))
    phases = [PhaseSpan("prefill", None, PREFILL), PhaseSpan("decode", None, DECODE)]
    calibration = [SimpleNamespace(counter_period_s=0.1, power_period_s=0.02)]
    return SimpleNamespace(
        config=experiment(energy=energy), generations=[record] * n_batches, window=WINDOW,
        phases=phases, calibration=calibration,
    )  # fmt: skip


def test_tokens_batches_and_repeats_of_the_window_count() -> None:
    assert repeated_s(measured(), WINDOW) == pytest.approx((0.01, 0.05 / 3, 0.5, 1.0))


def test_prefill_has_only_its_repeats() -> None:
    assert repeated_s(measured(), PREFILL) == pytest.approx((0.05,))


def test_decode_has_tokens_and_its_repeats() -> None:
    assert repeated_s(measured(), DECODE) == pytest.approx((0.01, 0.05 / 3, 0.2))


def test_tokens_that_take_longer_at_the_end_of_a_batch_are_a_sweep() -> None:
    times_s = tuple(0.02 * k + 0.00001 * k**2 for k in range(101))
    raw = measured()
    raw.generations = [msgspec.structs.replace(each, times_s=times_s) for each in raw.generations]
    *_, sweep = (each for each in repeated_s(raw, WINDOW) if isinstance(each, Sweep))
    assert sweep == pytest.approx((0.02012, 0.02188, 4), rel=0.01)
    *_, sweep = (each for each in repeated_s(raw, DECODE) if isinstance(each, Sweep))
    assert sweep.n_times == DECODE.n_repeats


def test_pauses_divide_the_window_but_no_phase() -> None:
    assert [n_parts(measured(0.1), span) for span in (WINDOW, PREFILL, DECODE)] == [4, 1, 1]
    assert n_parts(measured(), WINDOW) == 1
    assert repeated_s(measured(0.1), WINDOW) == pytest.approx((0.01, 0.05 / 3))


def test_pauses_shorter_than_a_period_divide_nothing() -> None:
    assert n_parts(measured(0.05), WINDOW) == 1
