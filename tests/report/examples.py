"""Analyses of all shapes, for tests of figures and pages."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from report.simulated import simulate
from report.truth import TrueFactor

from llem_report._figures.power import RunPower
from llem_report.records import Analysis, RunEstimate

HOSTILE = (
    "<script>alert(1)</script>]]>\"'&amp; \\u003c/script> \N{RIGHT-TO-LEFT OVERRIDE}" + "x" * 300
)


PRECISION = TrueFactor("precision", {"fp32": 1.35, "bf16": 1.0})
BATCH_SIZE = TrueFactor(
    "pytorch.batch_size", {"1": 1.5, "4": 1.25, "16": 1.05, "64": 1.0}, numeric=True
)
ATTENTION = TrueFactor("attention", {"eager": 1.12, "sdpa": 1.02, "flash_attention_2": 1.0})
COMPILE = TrueFactor("pytorch.torch_compile", {"false": 1.03, "true": 1.0})
THREADS = TrueFactor("input_order", {"file": 1.0, "length": 1.0, "random": 1.0})
PAPER = (PRECISION, BATCH_SIZE, ATTENTION, COMPILE, THREADS)
"""The study of the example: 144 points, the last factor has no effect."""


def paper() -> Analysis:
    """Return the study of 144 points x 5 cycles."""
    return simulate(
        PAPER,
        n_cycles=5,
        crossing=("pytorch.torch_compile", "pytorch.batch_size", 0.08),
        has_phases=True,
    )


def metered() -> Analysis:
    """Return a study with error bounds and with the temperatures of a machine that warms up.

    Point 2 has no bound, and the first run was made before the driver reported a temperature.
    """
    analysis = simulate((PRECISION, BATCH_SIZE, ATTENTION), n_cycles=4)
    without = analysis.points[1].config_hash

    def meter(run: RunEstimate) -> RunEstimate:
        batch_size = int(run.label.partition("batch_size=")[2].split()[0])
        return msgspec.structs.replace(
            run,
            energy_bound_share=None
            if run.config_hash == without
            else (0.004 + 0.03 / batch_size) * (1 + 0.02 * run.cycle),
            gpu_temperature_c=None
            if run.index == 1
            else round(58 - 24 * math.exp(-run.index / 18) + math.sin(run.index)),
        )

    return msgspec.structs.replace(analysis, runs=changed_runs(analysis, meter))


def changed_runs(
    analysis: Analysis, change: Callable[[RunEstimate], RunEstimate]
) -> tuple[RunEstimate, ...]:
    """Return the runs of an analysis, each one changed."""
    return tuple(change(run) for run in analysis.runs)


def without_values(analysis: Analysis, *, status: Any, reason: str) -> Analysis:
    """Return the analysis of a study of which no run has a figure."""
    return msgspec.structs.replace(
        analysis,
        status="failed" if status == "failed" else "running",
        n_runs_used=0,
        n_runs_failed=len(analysis.runs) if status == "failed" else 0,
        n_runs_pending=0 if status == "failed" else len(analysis.runs),
        finding=reason,
        factors=(),
        dependences=(),
        points=tuple(
            msgspec.structs.replace(
                point,
                n_runs=0,
                value=None,
                ci95_low=None,
                ci95_high=None,
                ratio_to_best=None,
                energy_per_output_token_j=None,
                tokens_per_second=None,
                tokens_per_second_low=None,
                tokens_per_second_high=None,
                time_to_first_token_s=None,
                time_to_first_token_low_s=None,
                time_to_first_token_high_s=None,
                on_first_token_front=False,
                on_front=False,
                front_is_certain=False,
            )
            for point in analysis.points
        ),
        runs=changed_runs(
            analysis,
            lambda run: msgspec.structs.replace(
                run,
                status=status,
                quality="missing",
                value=None,
                ratio_to_point=None,
                started_at=None,
                reasons=(reason,),
            ),
        ),
        shares_of_rest={},
        shares_reason=reason,
        detectable_ratio=None,
        reason=reason,
    )


def no_energy() -> Analysis:
    """Return a study without energy: the figure is the speed, and more is better."""
    analysis = simulate((PRECISION, BATCH_SIZE), n_cycles=3)
    return msgspec.structs.replace(
        analysis,
        figure="tokens_per_second",
        unit="tokens/s",
        lower_is_better=False,
        points=tuple(
            msgspec.structs.replace(point, energy_per_output_token_j=None)
            for point in analysis.points
        ),
    )


def flawed() -> Analysis:
    """Return a study with an outlier, flagged, failed and pending runs."""
    analysis = simulate((PRECISION, BATCH_SIZE, ATTENTION), n_cycles=4)

    def flaw(run: RunEstimate) -> RunEstimate:
        change: dict[str, Any] = {}
        if run.index == 17:
            change = {"ratio_to_point": 1.19, "is_outlier": True}
        elif run.index % 13 == 0:
            change = {"quality": "flagged", "reasons": ("throttled for 3 % of the window",)}
        elif run.index % 19 == 0:
            change = {"status": "failed", "quality": "missing", "reasons": ("out of memory",)}
        elif run.index > 85:
            change = {"status": "pending", "quality": "missing", "started_at": None}
        if change.get("quality") == "missing":
            change |= {"value": None, "ratio_to_point": None}
        return msgspec.structs.replace(run, **change)

    runs = changed_runs(analysis, flaw)
    return msgspec.structs.replace(
        analysis,
        status="running",
        runs=runs,
        n_runs_used=sum(run.value is not None for run in runs),
        n_runs_failed=sum(run.status == "failed" for run in runs),
        n_runs_pending=sum(run.status == "pending" for run in runs),
    )


def hostile() -> Analysis:
    """Return a study whose names and levels try to leave their place on a page."""
    first = TrueFactor(HOSTILE, {HOSTILE + "a": 1.3, "b</style><b>": 1.0})
    second = TrueFactor("pytorch.batch_size", {"1": 1.5, HOSTILE + "2": 1.0})
    analysis = simulate((first, second), crossing=(HOSTILE, "pytorch.batch_size", 0.2))
    return msgspec.structs.replace(
        analysis,
        study_name=HOSTILE,
        finding=f"{HOSTILE} matters most",
        caveats=(HOSTILE,),
        method=HOSTILE,
        runs=changed_runs(
            analysis,
            lambda run: msgspec.structs.replace(run, quality="flagged", reasons=(HOSTILE,)),
        ),
    )


def large() -> Analysis:
    """Return a study of 1,000 points x 5 cycles."""
    keys = ("model", "precision", "batch_size")
    return simulate(
        tuple(
            TrueFactor(
                key, {f"{level}": 1 + 0.05 * level * (3 - i) for level in range(1, 11)}, True
            )
            for i, key in enumerate(keys)
        ),
        n_cycles=5,
    )


def seven_factors() -> Analysis:
    """Return a study whose panels do not fit in one row."""
    switches = [
        TrueFactor(f"section.setting_{i}", {"on": 1 + 0.02 * i, "off": 1.0}) for i in range(6)
    ]
    return simulate((*switches, ATTENTION), n_cycles=2)


SHAPES: dict[str, Callable[[], Analysis]] = {
    "paper": paper,
    "one_point": lambda: simulate((TrueFactor("precision", {"bf16": 1.0}),), n_cycles=3),
    "one_factor": lambda: simulate((BATCH_SIZE,), n_cycles=3),
    "one_cycle": lambda: simulate((PRECISION, BATCH_SIZE), n_cycles=1),
    "seven_factors": seven_factors,
    "no_energy": no_energy,
    "flawed": flawed,
    "metered": metered,
    "all_failed": lambda: without_values(
        simulate((PRECISION, BATCH_SIZE)), status="failed", reason="all runs failed: out of memory"
    ),
    "not_started": lambda: without_values(
        simulate((PRECISION,)), status="pending", reason="no run has completed yet"
    ),
    "equal": lambda: simulate((PRECISION, BATCH_SIZE), noise=0.0, interactions=0.0),
    "hostile": hostile,
}


def run_power(n_devices: int = 1) -> RunPower:
    """Return the power of a run of a minute: idle, warm-up, window, prefill and decode."""
    phases = (
        (0.0, 10.0, "baseline"),
        (10.0, 14.0, "load"),
        (14.0, 19.0, "loaded idle"),
        (19.0, 30.0, "warm-up"),
        (30.0, 46.0, "window"),
        (46.0, 52.0, "prefill"),
        (52.0, 60.0, "decode"),
    )
    watts = {"baseline": 75, "load": 120, "loaded idle": 95, "prefill": 640, "decode": 390}
    rng = np.random.default_rng(5)
    readings = []
    for i in range(1200):
        t_s = i * 0.05
        name = next(name for begin, end, name in phases if begin <= t_s < end)
        power_w = watts.get(name, 390 + 220 * (i % 40 < 6))
        readings += [
            (t_s, device, float(power_w * (1 - 0.2 * device) * rng.normal(1, 0.02)))
            for device in range(n_devices)
        ]
    return RunPower(
        index=17,
        label="precision=bf16 pytorch.batch_size=16",
        energy_j=6912.0,
        bound_j=31.0,
        devices=tuple(f"GPU-{device}" for device in range(n_devices)),
        readings=readings,
        phases=phases,
        throttled_s=(38.0, 38.5, 39.0),
    )
