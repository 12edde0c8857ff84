"""The stages of `experiment run`, with the seconds that each took."""

from __future__ import annotations

import pytest

from llem_cli._display.stage_lines import StageLines
from llem_config import ExperimentConfig


def test_each_stage_is_a_line_with_the_seconds_of_the_stage_before_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now_s = iter([0.0, 0.2, 12.2, 42.4, 52.5])
    config = ExperimentConfig.model_validate(
        {"model": "m", "energy": {"min_window_seconds": 10, "phases": ["prefill"]}}
    )
    show = StageLines(config, lambda: next(now_s))
    for stage in ("open", "load", "warm-up", "window", "result"):
        show(stage)
    assert capsys.readouterr().err.splitlines() == [
        "opening the device ...",
        "load ...",
        "warm-up ... (load: 12 s)",
        "measured window, at least 10 s ... (warm-up: 30 s)",
        "result ... (measured window: 10 s)",
    ]
