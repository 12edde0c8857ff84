"""The peaks of this machine's processor, really measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from energy.parts import experiment, loaded

from llem_energy._backends.pytorch.peaks import cpu_buffer_bytes, measure_peaks

MIB = 2**20


def test_peaks_of_the_processor_are_measured_in_the_precision_of_the_model() -> None:
    backend = loaded(experiment())
    conditions, peaks = backend.peak_conditions(), backend.measure_peaks()
    assert conditions.precision == "float32"
    assert conditions.device == f"cpu with {torch.get_num_threads()} threads"
    assert torch.__version__ in conditions.library
    # Wide limits: a busy machine is slow. No processor moves a petabyte in a second.
    assert 0 < peaks.tflops < 1000
    assert 0 < peaks.copy_gb_s < 1e6
    assert 0 < peaks.read_gb_s < 1e6
    assert peaks.memory_gb_s == max(peaks.copy_gb_s, peaks.read_gb_s)


def test_another_precision_has_other_conditions() -> None:
    full, half = (loaded(experiment(precision=each)) for each in ("fp32", "bf16"))
    assert full.peak_conditions() != half.peak_conditions()
    assert half.peak_conditions().precision == "bfloat16"


def test_products_of_integers_have_no_peak() -> None:
    peaks = measure_peaks(torch.device("cpu"), "int8")
    assert peaks.tflops is None
    assert peaks.memory_gb_s is not None


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({}, 128 * MIB),
        ({"0-1": "32768K"}, 128 * MIB),
        ({"0-7": "32768K", "8-15": "32768K"}, 256 * MIB),
        ({"0-7": "1048576K"}, 512 * MIB),
        ({"0-7": "large"}, 128 * MIB),
    ],
)
def test_the_buffer_is_larger_than_all_caches(
    tmp_path: Path, sizes: dict[str, str], expected: int
) -> None:
    for number, (shared, size) in enumerate(sizes.items()):
        for twin in (0, 1):  # two processors that share the cache
            cache = tmp_path / f"cpu{2 * number + twin}" / "cache" / "index3"
            cache.mkdir(parents=True)
            (cache / "shared_cpu_list").write_text(f"{shared}\n")
            (cache / "size").write_text(f"{size}\n")
    assert cpu_buffer_bytes(tmp_path) == expected
