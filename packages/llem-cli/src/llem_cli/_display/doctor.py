"""What `llem-cli doctor` prints: tables of what can be measured, then every problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from llem_cli._display.console import (
    add_row,
    plain_table,
    print_line,
    print_table,
    say,
    stdout_console,
)
from llem_energy.doctor import DiagnosedDomain, DiagnosedGpu, DiagnosedSource, Diagnosis, HostLoad
from llem_energy.sources import BoardCheck, Calibration

_Row = TypeVar("_Row")
_Column = tuple[str, Callable[[_Row], str]]


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """Print what a machine can measure, how accurately, and every problem."""
    _show("Energy sources", diagnosis.sources, _SOURCES)
    _show("GPUs", diagnosis.gpus, _GPUS)
    _show(
        "GPU accuracy (median / 95th percentile; read time: median / 99th)",
        diagnosis.gpus,
        _ACCURACY,
    )
    _show("Energy counters of GPUs under load", diagnosis.gpus, _CHECKS)
    _show("GPU settings", diagnosis.gpus, _SETTINGS)
    _show("GPU clocks", diagnosis.gpus, _CLOCKS)
    _show("CPU energy counters", diagnosis.domains, _DOMAINS)
    shown = {gpu.uuid for gpu in diagnosis.gpus} | {domain.name for domain in diagnosis.domains}
    calibrations = [item for source in diagnosis.sources for item in source.calibration]
    _show("Other meters", [item for item in calibrations if item.device not in shown], _METERS)
    _show("Other load", [diagnosis.load] if diagnosis.load else [], _LOAD)
    _show("Versions", list(diagnosis.versions.items()), _VERSIONS)
    for problem in diagnosis.problems:
        say(f"problem: {problem}")
    if not diagnosis.problems:
        say("no problems found")
    unverified = [gpu for gpu in diagnosis.gpus if gpu.counter_exactness == "unverified"]
    if unverified:
        one = str(unverified[0].index) if len(unverified) == 1 else "all"
        say(
            "the bounds hold for counters that are exact at their updates; "
            f"`llem-cli doctor --check-gpu {one}` checks that in about 80 s per GPU"
        )


def _show(title: str, rows: Sequence[_Row], columns: Sequence[_Column[_Row]]) -> None:
    if not rows:
        return
    table = plain_table()
    for name, _ in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        add_row(table, [cell(row) for _, cell in columns])
    print_line(stdout_console(), title, "bold")
    print_table(table)
    say("")


def _yes(answer: bool | None) -> str:
    return "-" if answer is None else "yes" if answer else "no"


def _number(value: float | None, scale: float = 1.0, digits: int = 3) -> str:
    return "-" if value is None else f"{value * scale:.{digits}g}"


def _pair(first: float | None, second: float | None, scale: float = 1.0, digits: int = 3) -> str:
    return f"{_number(first, scale, digits)} / {_number(second, scale, digits)}"


def _period(calibration: Calibration | None) -> str:
    if calibration is None or calibration.counter_period_s is None:
        return "-"
    period_ms = _number(calibration.counter_period_s, 1e3)
    return f"{period_ms} ± {_number(calibration.counter_jitter_s, 1e3, 2)}"


def _read_time(calibration: Calibration | None) -> str:
    if calibration is None:
        return "-"
    return _pair(calibration.call_p50_s, calibration.call_p99_s, 1e3)


def _counter(gpu: DiagnosedGpu) -> str:
    if gpu.counter_problem is not None:
        return gpu.counter_problem
    updates = gpu.calibration is None or gpu.calibration.counter_period_s is not None
    return "yes" if updates else "not updating"


def _found(gpu: DiagnosedGpu, value: Callable[[BoardCheck], float | None], scale: float) -> str:
    return "-" if gpu.board_check is None else _number(value(gpu.board_check), scale)


def _other_processes(gpu: DiagnosedGpu) -> str:
    if gpu.other_pids is None:
        return "-"
    return ", ".join(str(pid) for pid in gpu.other_pids) or "none"


_SOURCES: list[_Column[DiagnosedSource]] = [
    ("source", lambda source: source.name),
    ("measures", lambda source: source.kind or "-"),
    ("available", lambda source: _yes(source.available)),
    ("reason", lambda source: source.reason or ""),
]
_GPUS: list[_Column[DiagnosedGpu]] = [
    ("GPU", lambda gpu: str(gpu.index)),
    ("name", lambda gpu: gpu.name),
    ("UUID", lambda gpu: gpu.uuid),
]
_ACCURACY: list[_Column[DiagnosedGpu]] = [
    ("GPU", lambda gpu: str(gpu.index)),
    ("energy\ncounter", _counter),
    ("update\nperiod, ms", lambda gpu: _period(gpu.calibration)),
    ("read\ntime, ms", lambda gpu: _read_time(gpu.calibration)),
    (
        "error bound\nof 10 s, %",
        lambda gpu: _pair(gpu.bound_10s_share, gpu.bound_10s_p95_share, 100),
    ),
    (
        "window for a\n1 % bound, s",
        lambda gpu: _pair(gpu.window_1_percent_s, gpu.window_1_percent_p95_s),
    ),
]
_CHECKS: list[_Column[DiagnosedGpu]] = [
    ("GPU", lambda gpu: str(gpu.index)),
    ("counter is", lambda gpu: gpu.counter_exactness or "-"),
    ("late by,\nms", lambda gpu: _found(gpu, lambda check: check.counter_delay_s, 1e3)),
    ("filter,\nms", lambda gpu: _found(gpu, lambda check: check.counter_lag_s, 1e3)),
    ("part of the\ntime seen, %", lambda gpu: _found(gpu, lambda check: check.seen_share, 100)),
    ("checked at", lambda gpu: gpu.board_check.checked_at if gpu.board_check else "-"),
    ("driver", lambda gpu: gpu.board_check.driver if gpu.board_check else "-"),
]
_SETTINGS: list[_Column[DiagnosedGpu]] = [
    ("GPU", lambda gpu: str(gpu.index)),
    (
        "power limit, W\n(now / default)",
        lambda gpu: _pair(gpu.power_limit_w, gpu.power_limit_default_w, digits=4),
    ),
    ("temp.,\nC", lambda gpu: _number(gpu.temperature_c)),
    ("persis-\ntence", lambda gpu: _yes(gpu.persistence_mode)),
    ("MIG", lambda gpu: _yes(gpu.mig)),
    ("virtual", lambda gpu: gpu.virtualization or "-"),
    ("other\nprocesses", _other_processes),
    ("NVML\nfields", lambda gpu: " ".join(map(str, gpu.supported_fields)) or "none"),
    ("module\npower", lambda gpu: _yes(gpu.module_power)),
]
_CLOCKS: list[_Column[DiagnosedGpu]] = [
    ("GPU", lambda gpu: str(gpu.index)),
    ("SM now,\nMHz", lambda gpu: _number(gpu.sm_clock_mhz, digits=4)),
    ("for appli-\ncations", lambda gpu: _number(gpu.application_sm_clock_mhz, digits=4)),
    ("maximum", lambda gpu: _number(gpu.sm_clock_max_mhz, digits=4)),
    ("locked", lambda gpu: "unknown" if gpu.clocks_locked is None else _yes(gpu.clocks_locked)),
    ("because", lambda gpu: gpu.clocks_locked_reason or "-"),
]
_DOMAINS: list[_Column[DiagnosedDomain]] = [
    ("domain", lambda domain: domain.name),
    ("readable", lambda domain: _yes(domain.readable)),
    ("update\nperiod, ms", lambda domain: _period(domain.calibration)),
    ("read time, ms\n(median / p99)", lambda domain: _read_time(domain.calibration)),
]
_METERS: list[_Column[Calibration]] = [
    ("device", lambda calibration: calibration.device),
    ("update\nperiod, ms", _period),
    ("read time, ms\n(median / p99)", _read_time),
]
_LOAD: list[_Column[HostLoad]] = [
    ("CPUs", lambda load: str(load.n_cpus)),
    ("busy with other\nprocesses", lambda load: _number(load.other_usable_cores, digits=2)),
    ("withheld by the\nhypervisor, s", lambda load: _number(load.stolen_s, digits=2)),
    ("observed\nfor, s", lambda load: _number(load.duration_s, digits=2)),
]
_VERSIONS: list[_Column[tuple[str, str | None]]] = [
    ("package", lambda item: item[0]),
    ("version", lambda item: item[1] or "-"),
]
