"""How much is cut from the ends of windows, if the host draws another power in each of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from llem_energy._gain.board_run import BoardRun, Span
from llem_energy._gain.clock_lag import Lag
from llem_energy._gain.energy_curve import EnergyCurve, energies_under
from llem_energy._gain.line_fit import Line, fit_line
from llem_energy._gain.meter_log import MeterLog
from llem_energy._gain.steady_windows import SteadyWindows, steady_windows

SLOPE, IDLE_W, STEP_S = 1.087, 80.0, 0.1
N_WINDOWS, WINDOW_S, PAUSE_S = 30, 25.0, 15.0
SPANS = tuple(
    Span("window", PAUSE_S + i * (WINDOW_S + PAUSE_S), (i + 1) * (WINDOW_S + PAUSE_S))
    for i in range(N_WINDOWS)
)


def cut(averaged_s: float, host_sd_w: float) -> SteadyWindows:
    """Return the windows of a meter that shows the mean of `averaged_s` around each instant."""
    draw = random.Random(7)
    loads_w = [200.0 + 80.0 * (i % 6) for i in range(N_WINDOWS)]
    hosts_w = [300.0 + draw.gauss(0.0, host_sd_w) for _ in range(N_WINDOWS)]
    times_s = [i * STEP_S for i in range(round((SPANS[-1].end_s + PAUSE_S) / STEP_S) + 1)]
    board_w, node_w = [], []
    for t_s in times_s:
        i = min(int(t_s / (WINDOW_S + PAUSE_S)), N_WINDOWS - 1)
        is_loaded = SPANS[i].start_s <= t_s <= SPANS[i].end_s
        board_w.append(loads_w[i] if is_loaded else IDLE_W)
        node_w.append(hosts_w[i] + SLOPE * board_w[-1])
    board = EnergyCurve(times_s, energies_under(times_s, board_w), 2.0)
    node = EnergyCurve(times_s, energies_under(times_s, node_w), 2.0)
    half_s = max(averaged_s, 1.0) / 2
    read_s = [t_s for t_s in times_s[::10] if half_s <= t_s <= times_s[-1] - half_s]
    shown_w = [node.mean_w(t_s - half_s, t_s + half_s) or 0.0 for t_s in read_s]
    meter = EnergyCurve(read_s, energies_under(read_s, shown_w), 5.0)
    log = MeterLog(meter, 1.0, False, "W", len(read_s), "", Path("log.csv"))
    return steady_windows("GPU-1", log, [BoardRun("GPU-1", board, SPANS)], Lag(0.0, 1.0, 1.0, 0.0))


def line(windows: SteadyWindows) -> Line:
    return fit_line([board for board, _ in windows.powers], [node for _, node in windows.powers])


def test_noise_of_the_host_does_not_hide_that_the_meter_averages() -> None:
    slow, fast = cut(8.0, 10.0), cut(0.0, 10.0)
    assert (slow.cut_s, fast.cut_s) == (4.0, 1.0)
    # The noise is the same, so the slope must be.
    assert line(slow).slope == pytest.approx(line(fast).slope, rel=0.005)
    assert abs(line(slow).slope - SLOPE) < line(slow).interval()


def test_without_noise_the_slope_is_that_of_the_node() -> None:
    windows = cut(8.0, 0.0)
    assert windows.cut_s == 4.0
    assert line(windows).slope == pytest.approx(SLOPE, rel=0.005)
