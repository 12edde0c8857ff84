"""The record of `llem-cli doctor`: tables of what was found, then every problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.table import Table

from llem_cli._display.console import out, say
from llem_energy import Calibration, DiagnosedDomain, DiagnosedGpu, Diagnosis

_Row = TypeVar("_Row")
_Column = tuple[str, Callable[[_Row], str]]


def show_diagnosis(found: Diagnosis) -> None:
    """Print what a machine can measure and how well, and what is in the way."""
    _show("sources of energy", found.sources, [
        ("source", lambda source: source.name),
        ("meters", lambda source: source.kind or "-"),
        ("available", lambda source: _yes(source.available)),
        ("why not", lambda source: source.reason or ""),
    ])  # fmt: skip
    _show("how well a GPU is measured", found.gpus, _MEASURED)
    _show("how a GPU is set", found.gpus, _SET)
    _show("counters of the processor", found.domains, _DOMAINS)
    shown = {gpu.uuid for gpu in found.gpus} | {domain.name for domain in found.domains}
    devices = [c for source in found.sources for c in source.calibration if c.device not in shown]
    _show("other metered devices", devices, _DEVICES)
    _show("versions", list(found.versions.items()), [
        ("of", lambda item: item[0]),
        ("version", lambda item: item[1] or "-"),
    ])  # fmt: skip
    for problem in found.problems:
        say(f"problem: {problem}")
    if not found.problems:
        say("no problem found")


def _show(title: str, rows: Sequence[_Row], columns: Sequence[_Column[_Row]]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for name, _ in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(cell(row) for _, cell in columns))
    out().print(table)
    say("")


def _yes(answer: bool | None) -> str:
    return "-" if answer is None else "yes" if answer else "no"


def _number(value: float | None, scale: float = 1.0, digits: int = 3) -> str:
    return "-" if value is None else f"{value * scale:.{digits}g}"


def _period(seen: Calibration | None) -> str:
    if seen is None or seen.counter_period_s is None:
        return "-"
    return f"{_number(seen.counter_period_s, 1e3)} ± {_number(seen.counter_jitter_s, 1e3, 2)}"


def _call(seen: Calibration | None) -> str:
    if seen is None:
        return "-"
    return f"{_number(seen.call_p50_s, 1e3)} / {_number(seen.call_p99_s, 1e3)}"


def _counter(gpu: DiagnosedGpu) -> str:
    if gpu.counter_problem is not None:
        return gpu.counter_problem
    moves = gpu.calibration is None or gpu.calibration.counter_period_s is not None
    return "yes" if moves else "stands still"


def _bound(gpu: DiagnosedGpu) -> str:
    typical, worst = gpu.bound_10s_share, gpu.bound_10s_p95_share
    return f"{_number(typical, 100)} / {_number(worst, 100)}"


def _shortest(gpu: DiagnosedGpu) -> str:
    return f"{_number(gpu.window_1_percent_s)} / {_number(gpu.window_1_percent_p95_s)}"


def _limit(gpu: DiagnosedGpu) -> str:
    return (
        f"{_number(gpu.power_limit_w, digits=4)} / {_number(gpu.power_limit_default_w, digits=4)}"
    )


def _others(gpu: DiagnosedGpu) -> str:
    if gpu.other_pids is None:
        return "-"
    return ", ".join(str(pid) for pid in gpu.other_pids) or "none"


_MEASURED: list[_Column[DiagnosedGpu]] = [
    ("GPU", lambda gpu: str(gpu.index)),
    ("name", lambda gpu: gpu.name),
    ("counter", _counter),
    ("period ms", lambda gpu: _period(gpu.calibration)),
    ("call ms, p50 / p99", lambda gpu: _call(gpu.calibration)),
    ("bound of 10 s %, median / p95", _bound),
    ("window s for 1 %, median / p95", _shortest),
]
_SET: list[_Column[DiagnosedGpu]] = [
    ("GPU", lambda gpu: str(gpu.index)),
    ("uuid", lambda gpu: gpu.uuid),
    ("limit W, now / default", _limit),
    ("C", lambda gpu: _number(gpu.temperature_c)),
    ("persistence", lambda gpu: _yes(gpu.persistence_mode)),
    ("MIG", lambda gpu: _yes(gpu.mig)),
    ("virtual", lambda gpu: gpu.virtualization or "-"),
    ("other pids", _others),
    ("fields", lambda gpu: " ".join(str(field) for field in gpu.supported_fields) or "none"),
    ("module power", lambda gpu: _yes(gpu.module_power)),
]
_DOMAINS: list[_Column[DiagnosedDomain]] = [
    ("domain", lambda domain: domain.name),
    ("readable", lambda domain: _yes(domain.readable)),
    ("period ms", lambda domain: _period(domain.calibration)),
    ("call ms, p50 / p99", lambda domain: _call(domain.calibration)),
]
_DEVICES: list[_Column[Calibration]] = [
    ("device", lambda device: device.device),
    ("period ms", _period),
    ("call ms, p50 / p99", _call),
]
