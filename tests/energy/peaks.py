"""Peaks of a device that does not exist."""

from __future__ import annotations

from llem_energy.records import DevicePeaks, PeakConditions, Peaks

PEAKS = DevicePeaks(
    conditions=PeakConditions(device="GPU-0", precision="bfloat16", library="torch"),
    peaks=Peaks(tflops=100.0, copy_gb_s=900.0, read_gb_s=1000.0),
    driver=None,
    boot_id="boot",
    made_at="2026-01-01T00:00:00+00:00",
)
