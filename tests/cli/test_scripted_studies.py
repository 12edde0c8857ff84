"""Whole studies on the scripted driver say which of their figures can be believed, and why not."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.disturbed_backend import DISTURBED_BATCH_SIZE
from fakes.fake_nvml import FakeGpu
from fakes.results import GAIN
from fakes.scripted_study import ScriptedStudy, results_of

from llem_config.settings import cache_path, gains_path
from llem_energy.gain import save_gains
from llem_energy.sources import BoardCheck, save_board_checks

pytestmark = pytest.mark.slow  # starts a process for each run

UUID, DRIVER = "GPU-scripted", "580.00.01"
LAGS = "after the work had ended"
"""In both sentences about a counter that lags: on a busy machine, it is not always told from a board that
needs time to fall to idle power."""
SHARED = "1 other process was on GPU 0 later in the run"
OF_ENERGY = (
    "energy_total_j", "energy_per_output_token_j", "energy_per_input_token_j", "energy_per_prompt_j",
)  # fmt: skip
OF_TIME = ("window_s", "tokens_per_second", "time_to_first_token", "inter_token_latency")


def gpu(**flaws: Any) -> FakeGpu:
    return FakeGpu(uuid=UUID, points=((0.0, 25.0),), counter_phase_s=0.037, **flaws)


def known(result: dict[str, Any], figure: str) -> set[str]:
    """Return which of the two scripted disturbances a figure names; a busy machine may add others."""
    reasons = " ".join(result["figures"][figure]["reasons"])
    return {text for text in (LAGS, SHARED) if text in reasons}


def page_text(path: Path) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", path.read_text("utf-8"))).split())


def with_runs(warnings: dict[str, int], text: str) -> Iterator[int]:
    yield from (n for warning, n in warnings.items() if text in warning)


def test_a_lagging_counter_and_a_passing_neighbour_flag_exactly_what_they_spoil(
    library: Path, tmp_path: Path
) -> None:
    study = ScriptedStudy(
        tmp_path, library, gpu(counter_delay_s=0.25), batch_sizes=(1, DISTURBED_BATCH_SIZE),
        backend="fakes.disturbed_backend:DisturbedBackend",
    )  # fmt: skip
    folder = study.run()
    results = results_of(folder)
    sizes = [result["config"]["scripted"]["batch_size"] for result in results]
    assert sorted(sizes) == [1, 1, DISTURBED_BATCH_SIZE, DISTURBED_BATCH_SIZE]
    for size, result in zip(sizes, results, strict=True):
        spoilt = {LAGS, SHARED} if size == DISTURBED_BATCH_SIZE else {LAGS}
        for figure in OF_ENERGY:
            assert known(result, figure) == spoilt
            assert result["figures"][figure]["status"] == "flagged"
        for figure in OF_TIME:
            assert known(result, figure) == set()
        for figure in ("energy_host_j", "energy_per_output_token_with_host_j"):
            assert result[figure] is None
            assert result["figures"][figure]["status"] == "missing"
        (device,) = result["devices"]
        assert device["counter_check"] in ("lags", "unclear")
        assert device["energy_after_j"] > 20
        assert result["counter_exactness"] == "unverified"
    shown = json.loads(study.llem("study", "show", folder, "--json"))["result"]
    summary = shown["summary"]
    assert [point["n_flagged"] for point in summary["points"]] == [2, 2]
    assert sum(with_runs(summary["warnings"], LAGS)) == 4
    assert sum(with_runs(summary["warnings"], SHARED)) == 2
    assert shown["measurement_protocol"]["counter_exactness"] == {"unverified": 4}
    text = study.llem("study", "show", folder)
    assert "*: this figure is flagged in 4 runs" in text
    assert "energy counter: not checked" in text
    assert "J/output token is of the GPUs alone, without the host" in text
    study.llem("study", "report", folder)
    page = page_text(folder / "report.html")
    assert sum(map(int, re.findall(rf"(\d) runs?: {UUID}: [^:]*{LAGS}", page))) == 4
    assert f"2 runs: {SHARED}" in page
    assert "unverified: the error bound holds for a counter that is exact at its updates" in page
    assert "not metered: the energy is that of the GPUs alone" in page


def test_a_stored_gain_and_a_stored_check_are_used_and_shown(library: Path, tmp_path: Path) -> None:
    gain = msgspec.structs.replace(GAIN, device=UUID, driver=DRIVER)
    save_gains(gains_path(), [gain])
    check = BoardCheck(
        device=UUID, driver=DRIVER, verdict="exact", counter_period_s=0.1, counter_delay_s=0.0,
        counter_lag_s=0.0, power_lag_s=0.0, explained_share=0.99, seen_share=1.0,
        phase_spread_share=0.01, part_time_reason=None, checked_at="2026-02-03T04:05:06+00:00",
    )  # fmt: skip
    assert save_board_checks(cache_path(), [check])
    study = ScriptedStudy(tmp_path, library, gpu(), batch_sizes=(16,))
    folder = study.run()
    results = results_of(folder)
    assert len(results) == 2
    for result in results:
        assert result["energy_gain_corrected_j"] == pytest.approx(0.96 * result["energy_total_j"])
        budget = result["error_budget"]
        assert budget["gain_share"] == pytest.approx(0.04 + 0.01)
        assert budget["corrected_gain_share"] == pytest.approx(0.01 / 0.96)
        assert result["gains"] == [msgspec.to_builtins(gain)]
        assert result["counter_exactness"] == "exact"
        assert result["board_checks"] == [msgspec.to_builtins(check)]
    gain_error = (
        "±5 %, calibration with an external meter (PDU 7, 2026-01-01); "
        "±1 % in energy_gain_corrected_j"
    )
    shown = json.loads(study.llem("study", "show", folder, "--json"))["result"]
    assert shown["measurement_protocol"]["gain_errors"] == {gain_error: 2}
    text = study.llem("study", "show", folder)
    assert f"gain error of the sensor: {gain_error}" in text
    assert "energy counter: exact at its updates (checked)" in text
    study.llem("study", "report", folder)
    page = page_text(folder / "report.html")
    assert gain_error in page
    assert f"exact, checked on 2026-02-03 with driver {DRIVER}" in page
