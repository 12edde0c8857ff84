"""The result of a real study of a sweep, whose runs take no time and have known figures."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from fakes.results import make_result

from llem_config import ExperimentConfig, load_study
from llem_energy import ExperimentResult
from llem_energy._result.answer_quality import packed
from llem_energy.records import AnswerQuality
from llem_runner import StudyResult, run_study
from llem_runner.executors import InlineExecutor

STUDY = """
model: builtin:tiny-llama
max_output_tokens: 4
sweep:
  precision: [fp32, bf16]
  pytorch.batch_size: [1, 8]
  attention:
    - {pytorch.attn_implementation: eager}
    - {pytorch.attn_implementation: sdpa, pytorch.torch_compile: true}
execution: {n_cycles: 4, config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


class Measured:
    """Measures a run in no time: J per token by its point, plus a little noise.

    With `nll_of_bf16`, the runs state the quality of their answers; the NLL of fp32 is 2.5. `log_sd` is the
    standard deviation of the logarithm of energies and speeds, in addition to the little noise.
    """

    def __init__(
        self,
        *,
        attention_matters: bool = True,
        nll_of_bf16: float | None = None,
        log_sd: float = 0.0,
        **changes: Any,
    ) -> None:
        self._noise = random.Random("swept study")
        self._large_noise = random.Random("noisy study")
        self._log_sd = log_sd
        self._attention_matters = attention_matters
        self._nll_of_bf16 = nll_of_bf16
        self._changes = changes
        self._n_runs = 0

    def __call__(self, config: ExperimentConfig, **_: Any) -> ExperimentResult:
        """Return the result of the next run."""
        self._n_runs += 1
        assert config.pytorch is not None
        energy_j = 0.2 if config.precision == "bf16" else 0.3
        energy_j /= 1 + 0.1 * (config.pytorch.batch_size == 8)
        if self._attention_matters and config.pytorch.torch_compile:
            energy_j *= 0.9
        energy_j *= math.exp(self._large_noise.gauss(0, self._log_sd))
        figures = {
            "started_at": f"2026-01-01T00:{self._n_runs:02}:00+00:00",
            "energy_per_output_token_j": energy_j * (1 + self._noise.gauss(0, 0.003)),
            "tokens_per_second": 50 / energy_j * (1 + self._noise.gauss(0, 0.003)),
        }
        if self._nll_of_bf16 is not None:
            is_bf16 = config.precision == "bf16"
            figures["quality"] = AnswerQuality(
                nll=self._nll_of_bf16 if is_bf16 else 2.5,
                n_tokens=2040,
                nll_answers=0.8,
                n_answer_tokens=400,
                tokens_sha256="0" * 64,
                choices=packed([1, 2, 3, 5 if is_bf16 else 4]),
                duration_s=1.0,
            )
        return make_result(config, **figures | self._changes)


def run_swept_study(folder: Path, measured: Measured | None = None) -> StudyResult:
    """Return the result of a study of 8 points in 4 cycles."""
    file = folder / "swept.yaml"
    file.write_text(STUDY)
    return run_study(
        load_study(file),
        output=folder / "results",
        measure=measured or Measured(),
        executor=InlineExecutor(),
    )
