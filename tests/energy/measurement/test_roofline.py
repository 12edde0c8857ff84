"""Operations, bytes and shares of a whole measurement, against a count by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from energy.parts import experiment, loaded
from energy.peaks import PEAKS

from llem_config import Settings
from llem_energy import measure
from llem_energy._backends.protocol import Batch
from llem_energy._backends.roofline import Peaks
from llem_energy._estimation.figures import Quality
from llem_energy._measurement.backend_reports import BackendReports
from llem_energy._measurement.device_peaks import FoundPeaks
from llem_energy._measurement.phase_metrics import _not_measured
from llem_energy._measurement.phase_work import PhaseWork, phase_works
from llem_energy._measurement.raw_measurement import GenerationRecord, PhaseSpan
from llem_energy._measurement.roofline import roofline_of
from llem_energy._metering.window import MeasuredSpan
from llem_energy._result.measurement_figures import PhaseResult
from llem_energy._result.roofline import PhaseRoofline

# tiny-llama in fp32: 4 layers, width 128, 8 heads and 4 key-value heads of 16, feed-forward 384.
LAYERS = 4 * (128 * (128 + 64 + 64) + 128 * 128 + 3 * 128 * 384)
OUTPUT = 4096 * 128
STEP_BYTES = 4 * (LAYERS + OUTPUT + 4 * 2 * 128 + 128)
CACHE_BYTES = 4 * 2 * 4 * 16  # of one token in one layer
ACTIVATION_BYTES = 4 * 4 * (2 * 256 + 2 * 192 + 3 * 512)
WITHOUT_PEAKS = Settings.model_validate({"devices": {"peaks": False}})


def read_flops(n: int) -> int:
    return 2 * (LAYERS * n + OUTPUT) + 4 * 128 * 4 * n * n


def step_flops(positions: range) -> int:
    return 2 * (LAYERS + OUTPUT) * len(positions) + 4 * 128 * 4 * sum(positions)


def read_bytes(n_tokens: int) -> int:
    return STEP_BYTES + n_tokens * (ACTIVATION_BYTES + 4 * CACHE_BYTES)


def step_bytes(n_rows: int, positions: range) -> int:
    return len(positions) * STEP_BYTES + n_rows * 4 * CACHE_BYTES * sum(positions)


def test_the_window_has_the_work_of_all_batches() -> None:
    # Three prompts of 8 tokens in batches of two and one; 4 output tokens each.
    prefill, decode = measure(experiment(), settings=WITHOUT_PEAKS).roofline
    assert (prefill.timed, decode.timed) == ("in the window", "in the window")
    assert prefill.flops == pytest.approx(3 * read_flops(8))
    assert decode.flops == pytest.approx(3 * step_flops(range(9, 12)))
    assert prefill.bytes_moved == pytest.approx(read_bytes(16) + read_bytes(8))
    assert decode.bytes_moved == pytest.approx(
        step_bytes(2, range(9, 12)) + step_bytes(1, range(9, 12))
    )
    assert (prefill.bytes_confidence, decode.bytes_confidence) == ("low", "medium")


def test_a_phase_alone_has_the_work_of_its_repeats() -> None:
    energy = {"phases": ["prefill", "decode"], "min_window_seconds": 0.2}
    result = measure(experiment(energy=energy), settings=WITHOUT_PEAKS)
    for found, phase in zip(result.roofline, result.phases, strict=True):
        n = phase.n_repeats
        assert n is not None
        flops, moved = (
            (2 * read_flops(8), read_bytes(16))
            if phase.phase == "prefill"
            else (2 * step_flops(range(9, 12)), step_bytes(2, range(9, 12)))
        )
        assert (found.phase, found.timed, found.time_s) == (phase.phase, "alone", phase.window_s)
        assert found.flops == pytest.approx(n * flops)
        assert found.bytes_moved == pytest.approx(n * moved)


def test_rates_are_work_over_time() -> None:
    for each in measure(experiment(), settings=WITHOUT_PEAKS).roofline:
        assert each.time_s is not None
        assert each.flops is not None
        assert each.bytes_moved is not None
        assert each.achieved_tflops == pytest.approx(each.flops / each.time_s / 1e12)
        assert each.achieved_gb_s == pytest.approx(each.bytes_moved / each.time_s / 1e9)
        assert each.arithmetic_intensity == pytest.approx(each.flops / each.bytes_moved)


def test_one_output_token_has_no_decode() -> None:
    result = measure(experiment(max_output_tokens=1), settings=WITHOUT_PEAKS)
    assert [each.phase for each in result.roofline] == ["prefill"]


def test_without_a_cache_nothing_is_counted_and_the_reason_is_there() -> None:
    result = measure(experiment(pytorch={"use_cache": False}), settings=WITHOUT_PEAKS)
    for each in result.roofline:
        assert (each.flops, each.bytes_moved, each.achieved_tflops, each.mfu) == (None,) * 4
        assert any("does not count the operations" in reason for reason in each.reasons)


def test_the_setting_leaves_out_the_peaks_and_the_result_says_so() -> None:
    result = measure(experiment(), settings=WITHOUT_PEAKS)
    assert result.device_peaks is None
    for each in result.roofline:
        assert (each.mfu, each.mbu, each.bound_by) == (None, None, None)
        assert any(r.startswith("mfu, mbu") and "devices.peaks" in r for r in each.reasons)


SPAN = MeasuredSpan(0.0, 2.0, 0.0, 1, 0.0)


def works(records: list[GenerationRecord], phases: list[PhaseSpan] | None = None) -> Any:
    """Return (prefill, decode) of batches as they were computed, with the real backend's counts."""
    config = experiment()
    backend = loaded(config)
    raw: Any = SimpleNamespace(config=config, generations=records, phases=phases or (), window=SPAN)
    return tuple(phase_works(raw, BackendReports(backend, "pytorch"), backend.traffic()))


def record(**changes: Any) -> GenerationRecord:
    """Return a batch of prompts of 5 and 8 tokens; the first output ends two steps early."""
    batch = Batch(2, (2, 8), (5, 8), None)
    whole = GenerationRecord(batch, (2, 4), (0.1, 0.2, 0.3, 0.5), (0, 0), (3, 0), (2, 0))
    return msgspec.structs.replace(whole, **changes)


def test_padding_and_tokens_after_an_end_are_computed_like_any_other() -> None:
    prefill, decode = works([record()])
    assert prefill.flops == pytest.approx(2 * read_flops(8))
    assert decode.flops == pytest.approx(2 * step_flops(range(9, 12)))
    assert prefill.bytes_moved == pytest.approx(read_bytes(16))
    assert decode.bytes_moved == pytest.approx(step_bytes(2, range(9, 12)))


def test_tokens_from_a_cache_are_not_computed() -> None:
    batch = Batch(1, (1, 8), (8,), None)
    prefill, decode = works([GenerationRecord(batch, (4,), (0.1, 0.5), (6,), (0,), (0,))])
    assert prefill.flops == 2 * (LAYERS * 2 + OUTPUT) + 4 * 128 * 4 * 2 * 8
    assert prefill.bytes_moved == pytest.approx(read_bytes(2) + 6 * 4 * CACHE_BYTES)
    assert decode.flops == pytest.approx(step_flops(range(9, 12)))


def test_times_of_the_phases_are_those_of_tokens() -> None:
    prefill, decode = works([record(), record()])
    assert prefill.time_s == pytest.approx(0.2)
    assert decode.time_s == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("reported_padding_tokens", "padding"),
        ("reported_tokens_after_end", "after the end"),
        ("reported_cached_tokens", "cache"),
    ],
)
@pytest.mark.parametrize("counts", [None, (-1, 0), (0,)])
def test_work_that_is_not_reported_is_not_guessed(field: str, word: str, counts: Any) -> None:
    for work in works([record(), record(**{field: counts})]):
        assert (work.flops, work.bytes_moved) == (None, None)
        assert word in work.unknown["flops"]
        assert word in work.unknown["bytes_moved"]


def test_without_times_of_tokens_there_are_no_rates() -> None:
    prefill, _ = works([record(), record(times_s=None)])
    assert prefill.time_s is None
    found = roofline_of(prefill, FoundPeaks(PEAKS), None, None, "low")
    assert found.flops is not None
    assert (found.achieved_tflops, found.mfu, found.bound_by) == (None, None, None)
    assert any("times of tokens" in reason for reason in found.reasons)


def found_for(
    *, tflops: float = 50.0, gb_s: float = 100.0, utilisation: float | None = None, **more: Any
) -> PhaseRoofline:
    """Return the roofline of 2 s of work at these rates."""
    work = PhaseWork(
        phase="decode", timed="alone", time_s=2.0, flops=2e12 * tflops, bytes_moved=2e9 * gb_s,
        span=SPAN, unknown={},
    )  # fmt: skip
    peaks = more.get("peaks", FoundPeaks(PEAKS))
    return roofline_of(work, peaks, more.get("energy"), utilisation, "medium")


def energy(joules: float | None) -> PhaseResult:
    nothing = _not_measured(PhaseSpan("decode", None, None, "the counter stopped"))
    quality = Quality("ok") if joules is not None else nothing.quality
    return msgspec.structs.replace(nothing, energy_j=joules, quality=quality)


def test_shares_are_of_the_measured_peaks() -> None:
    found = found_for(tflops=25.0, gb_s=800.0)
    assert found.mfu == pytest.approx(0.25)
    assert found.mbu == pytest.approx(0.8)  # of the faster of copying and reading


@pytest.mark.parametrize(
    ("rates", "bound"),
    [
        ({"tflops": 50.0, "gb_s": 300.0}, "compute"),
        ({"tflops": 25.0, "gb_s": 800.0}, "memory"),
        ({"tflops": 19.0, "gb_s": 199.0}, "host"),
        ({"tflops": 19.0, "gb_s": 210.0}, "memory"),
        ({"tflops": 50.0, "gb_s": 300.0, "utilisation": 0.89}, "host"),
        ({"tflops": 50.0, "gb_s": 300.0, "utilisation": 0.91}, "compute"),
    ],
)
def test_the_larger_share_or_the_host_is_the_bound(rates: Any, bound: str) -> None:
    assert found_for(**rates).bound_by == bound


def test_a_share_that_no_work_reaches_is_a_fault_of_the_count() -> None:
    found = found_for(tflops=106.0, gb_s=800.0)
    assert found.mfu is None
    assert found.mbu == pytest.approx(0.8)
    assert found.bound_by is None
    (reason,) = [each for each in found.reasons if each.startswith("mfu")]
    assert "1.06" in reason
    assert "bound_by" in reason
    assert found_for(tflops=104.0).mfu == pytest.approx(1.04)


def test_joules_are_divided_by_operations_and_bytes() -> None:
    found = found_for(tflops=50.0, gb_s=100.0, energy=energy(600.0))
    assert found.pj_per_flop == pytest.approx(1e12 * 600 / 1e14)
    assert found.pj_per_byte == pytest.approx(1e12 * 600 / 2e11)
    assert found.reasons == ()


@pytest.mark.parametrize(
    ("phase", "reason"), [(energy(None), "the counter stopped"), (None, "energy.phases")]
)
def test_without_joules_of_the_phase_there_are_none_per_operation(phase: Any, reason: str) -> None:
    found = found_for(energy=phase)
    assert (found.pj_per_flop, found.pj_per_byte) == (None, None)
    (sentence,) = found.reasons
    assert sentence.startswith("pj_per_flop, pj_per_byte: ")
    assert reason in sentence


def test_an_unknown_peak_gives_no_share_and_its_reason() -> None:
    found = found_for(peaks=FoundPeaks(None, "the machine was busy"))
    assert (found.mfu, found.mbu, found.bound_by) == (None, None, None)
    assert "mfu, mbu, bound_by: the machine was busy" in found.reasons
    only_memory = msgspec.structs.replace(
        PEAKS, peaks=Peaks(tflops=None, copy_gb_s=900.0, read_gb_s=None)
    )
    found = found_for(gb_s=450.0, peaks=FoundPeaks(only_memory))
    assert (found.mfu, found.bound_by) == (None, None)
    assert found.mbu == pytest.approx(0.5)
