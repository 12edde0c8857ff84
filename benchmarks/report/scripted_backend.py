"""A backend whose GPU is that of the scripted driver: it sets the true power of each configuration.

Like a real GPU, the scripted one works through a queue: `generate` returns at once, and
`synchronise` waits for the end. The power of a batch is set in advance, so a process that wakes up
late does not change the energy of its tokens; only idle power is added.

It is no model for other backends: it loads no model, so it cannot refuse an unknown one; it does not
cut long prompts; and it repeats phases that would be too short for a window. `BACKEND_CHECKS` would
report all three. `tests/example_backend` shows how to write a backend.
"""

from __future__ import annotations

import ctypes
import math
import random
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.report.example_truth import NOISE, levels_of, true_energy_j
from llem_config import ExperimentConfig, PhaseName
from llem_energy.backends import Batch, Memory, Phase, Prompt, Workload
from llem_energy.sources import gpu_uuids

IDLE_W, LOADED_W = 25.0, 30.0
PREFILL_SHARE = 0.2  # of the energy of a batch
PREFILL_RATIO = 1.3  # power of prefill over that of decode
PHASE_S = 0.1  # shorter phases are repeated: a process that sleeps briefly is always late


class ScriptedGpu:
    """The queue of the scripted GPU."""

    def __init__(self) -> None:
        self._driver = ctypes.CDLL("libnvidia-ml.so.1")  # the one that the meter has loaded
        self._driver.fake_nvml_now.restype = ctypes.c_double
        self._driver.fake_nvml_set_power.argtypes = [
            ctypes.c_uint, ctypes.c_double, ctypes.c_double,
        ]  # fmt: skip
        self.free_s = 0.0

    def now_s(self) -> float:
        """Return the time of the driver in seconds."""
        return float(self._driver.fake_nvml_now())

    def idle(self, watts: float) -> None:
        """Draw this power from now on, until there is work."""
        self._set(self.now_s(), watts)

    def run(self, *steps: tuple[float, float]) -> float:
        """Append steps of (joules, watts) to the queue; return when they begin, in seconds."""
        start_s = end_s = max(self.now_s(), self.free_s)
        for energy_j, watts in steps:
            self._set(end_s, watts)
            end_s += energy_j / watts
        self._set(end_s, LOADED_W)
        self.free_s = end_s
        return start_s

    def wait(self) -> None:
        """Return when the queue is empty."""
        while (left_s := self.free_s - self.now_s()) > 0:
            time.sleep(left_s)

    def _set(self, t_s: float, watts: float) -> None:
        if not self._driver.fake_nvml_set_power(0, t_s, watts):
            raise RuntimeError(f"the scripted driver refuses {watts} W at {t_s} s")


class ScriptedGeneration:
    """The output of one batch: every token, at times that follow from the power."""

    def __init__(self, n_prompts: int, times_s: tuple[float, ...]) -> None:
        self._n_prompts = n_prompts
        self._times_s = times_s

    def n_tokens(self) -> tuple[int, ...]:
        """Return the number of output tokens of each prompt."""
        return (len(self._times_s),) * self._n_prompts

    def token_times_s(self) -> tuple[float, ...]:
        """Return the time of each step since the batch began, in seconds."""
        return self._times_s

    def cached_input_tokens(self) -> tuple[int, ...]:
        """Return 0 for each prompt: nothing is kept."""
        return (0,) * self._n_prompts


class ScriptedBackend:
    """Generates no text, but as many tokens as requested, at a known energy."""

    def __init__(self, config: ExperimentConfig) -> None:
        self._config = config
        self._levels = levels_of(config)
        self._batch_size = int(self._levels["batch_size"])
        # Unseeded: what a run draws more than another one differs in each cycle.
        noise = math.exp(random.Random().gauss(0, NOISE))
        self._token_j = true_energy_j(self._levels) * noise
        # Larger batches draw more power, so energy and speed do not order the points alike.
        self._decode_w = 280 + 25 * math.log2(self._batch_size)

    def open(self) -> tuple[str, ...]:
        """Return the scripted GPU."""
        uuids = gpu_uuids()[:1]
        self._gpu = ScriptedGpu()
        self._gpu.idle(IDLE_W)
        return uuids

    def load(self) -> None:
        """Draw more power while idle, as with a model in memory."""
        self._gpu.idle(LOADED_W)

    def vocabulary(self) -> range:
        """Return the token ids for prompts."""
        return range(8, 512)

    def prepare(self, prompts: Sequence[Prompt]) -> Workload:
        """Group the prompts; none is longer than allowed, since all are synthetic."""
        size = self._batch_size
        groups = [prompts[start : start + size] for start in range(0, len(prompts), size)]
        return Workload(
            tuple(
                Batch(
                    n_prompts=len(group),
                    shape=(len(group), max(map(len, group))),
                    lengths=tuple(map(len, group)),
                    inputs=None,
                )
                for group in groups
            ),
            0,
        )

    def seed(self) -> None:
        """Do nothing: no token is random."""

    def _energy_j(self, batch: Batch) -> tuple[float, float]:
        """Return the joules of prefill and decode."""
        total_j = self._token_j * batch.n_prompts * self._config.max_output_tokens
        return PREFILL_SHARE * total_j, (1 - PREFILL_SHARE) * total_j

    @property
    def _prefill_w(self) -> float:
        return PREFILL_RATIO * self._decode_w

    def generate(self, batch: Batch) -> ScriptedGeneration:
        """Put a batch into the queue."""
        prefill_j, decode_j = self._energy_j(batch)
        called_s = self._gpu.now_s()
        start_s = self._gpu.run((prefill_j, self._prefill_w), (decode_j, self._decode_w))
        first_s = start_s - called_s + prefill_j / self._prefill_w
        n_tokens = self._config.max_output_tokens
        step_s = decode_j / self._decode_w / max(n_tokens - 1, 1)
        times_s = tuple(first_s + i * step_s for i in range(n_tokens))
        return ScriptedGeneration(batch.n_prompts, times_s)

    def synchronise(self) -> None:
        """Wait for the GPU."""
        self._gpu.wait()

    def phase(self, name: PhaseName, batch: Batch) -> Phase:
        """Return prefill or decode alone."""
        prefill_j, decode_j = self._energy_j(batch)
        step = (prefill_j, self._prefill_w) if name == "prefill" else (decode_j, self._decode_w)
        n_decoded = batch.n_prompts * (self._config.max_output_tokens - 1)
        n_tokens = sum(batch.lengths) if name == "prefill" else n_decoded
        n_repeats = math.ceil(PHASE_S / (step[0] / step[1]))

        def run() -> None:
            self._gpu.run(*[step] * n_repeats)

        return Phase(name, run, n_tokens * n_repeats, batch.n_prompts * n_repeats)

    def reset_peak_memory(self) -> None:
        """Do nothing: memory is not measured."""

    def memory(self) -> Memory:
        """Return that the memory is unknown."""
        return Memory(None, None, "not measured: there is no model")

    def compilations(self) -> int:
        """Return 0: nothing is compiled."""
        return 0

    def flops(self, n_in: int, n_out: int, n_cached: int = 0) -> None:
        """Return None: there are no operations."""

    def effective_config(self) -> dict[str, Any]:
        """Return the level of each choice."""
        return dict(self._levels)

    def warnings(self) -> tuple[str, ...]:
        """Say that nothing is computed."""
        return ()

    def close(self) -> None:
        """Do nothing: the process ends."""
