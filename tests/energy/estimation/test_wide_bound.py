"""A wide bound is flagged with its cause: a short window, or a counter that may lag."""

from __future__ import annotations

from llem_energy._estimation.window_energy import energy_figures
from llem_energy._metering.window import MeasuredSpan
from llem_energy._sources.protocol import Kind, Sample, SourceVersions

IDLE_W = 80.0


class Board:
    """A GPU whose counter a test makes up; nothing reads it."""

    name = "test"
    kind: Kind = "gpu"
    devices = ("GPU",)
    gain_share = 0.05

    def versions(self) -> SourceVersions:
        return SourceVersions()

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        raise NotImplementedError

    def power_limit_w(self, device: str) -> float | None:
        return {"GPU": 700.0}.get(device)

    def close(self) -> None:
        return


def reasons(
    load_w: float, window_s: float, *, after_w: float = IDLE_W, is_checked: bool = False
) -> list[str]:
    """Return why the energy of a window is flagged; the board idles before and after it."""
    start_s, end_s = 3.013, 3.013 + window_s

    def energy_j(t_s: float) -> float:
        worked_s, later_s = min(max(t_s - start_s, 0.0), window_s), max(t_s - end_s, 0.0)
        return IDLE_W * t_s + (load_w - IDLE_W) * worked_s + (after_w - IDLE_W) * later_s

    samples = []
    for k in range(int(1000 * (end_s + 1.0))):
        updated_s = 0.1 * (k // 100)
        power_w = load_w if start_s <= updated_s < end_s else IDLE_W
        samples.append(Sample("GPU", 0.001 * k, 0.0, energy_j=energy_j(updated_s), power_w=power_w))
    span = MeasuredSpan(start_s, end_s, 0.0, 1, 0.35, after_s=0.65)
    checked = ("GPU",) if is_checked else ()
    found = energy_figures(
        Board(), samples, span, seen=checked, exact=checked, advice="measure for longer"
    )
    return list(found.total.reasons)


def test_a_short_window_is_to_be_longer() -> None:
    [reason] = reasons(400.0, 0.32)
    assert reason.startswith("the window is short for this meter: the bound is ")
    assert reason.endswith("% of the energy; measure for longer")


def test_near_idle_power_that_varies_the_counter_may_lag() -> None:
    [reason] = reasons(IDLE_W + 8, 2.0, after_w=IDLE_W + 8)
    assert reason.startswith("the energy counter may lag: the bound is ")
    assert "measure for longer, or see with `llem-cli doctor --check-gpu all`" in reason
    assert reasons(IDLE_W + 8, 3.0, after_w=IDLE_W + 8, is_checked=True) == []


def test_a_long_window_of_much_power_has_no_reason() -> None:
    assert reasons(400.0, 10.0) == []
