"""The parts of `pytorch_speed.py`, each run in a separate process.

`pytorch_speed.py` describes what they time. The arguments of a part are the model, the rows of a
batch, and the number of pairs, calls or seconds.
"""

from __future__ import annotations

import copy
import gc
import tempfile
import time
from collections.abc import Callable
from typing import Any

N_INPUT, N_OUTPUT = 64, 64
N_VOCABULARY = 128_256  # of Llama 3
Speed = tuple[float, float]  # by wall-clock time, and by CPU time of the process


def _config(model: str, rows: int, **changes: Any) -> Any:
    from llem_config import ExperimentConfig

    return ExperimentConfig.model_validate(
        {
            "model": model, "precision": "fp32", "n": rows, "max_input_tokens": N_INPUT,
            "max_output_tokens": N_OUTPUT, "pytorch": {"device": "cpu", "batch_size": rows},
            "energy": {"sources": ["none"]}, **changes,
        }
    )  # fmt: skip


def part_window(model: str, rows: int, n_pairs: int) -> dict[str, list[Speed]]:
    """Return paired speeds of our window, a bare loop, and a second bare loop."""
    import torch

    from llem_energy._backends.pytorch.backend import PyTorchBackend
    from llem_energy._metering.recorder import Recorder
    from llem_energy._metering.sampler import Sampler
    from llem_energy._metering.window import Windows
    from llem_energy._prompts.load import load_prompts

    config = _config(model, rows)
    ours = PyTorchBackend(config)
    ours.open()
    ours.load()
    workload = ours.prepare(load_prompts(config, ours.vocabulary()))
    (batch,) = workload.batches
    bare, arguments = ours._model, copy.deepcopy(ours._generation)
    arguments.return_dict_in_generate = False  # as in a usual call
    recorder = Recorder(None)

    def window(seconds: float) -> Speed:
        answers: list[Any] = []
        with Sampler(None, 0.05, recorder) as sampler:
            windows = Windows(sampler, ours.synchronise, (), ())
            span = windows.measure(lambda: answers.append(ours.generate(batch)), seconds)
        n_tokens = sum(sum(answer.n_tokens()) for answer in answers)
        return n_tokens / (span.end_s - span.start_s), n_tokens / span.cpu_time_s

    def loop(seconds: float) -> Speed:
        n_tokens, start, cpu_start = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - start < seconds:
            with torch.inference_mode():
                ids = bare.generate(**batch.inputs, generation_config=arguments)
            n_tokens += ids[:, batch.shape[1] :].numel()
        cpu_s = time.process_time() - cpu_start
        return n_tokens / (time.perf_counter() - start), n_tokens / cpu_s

    return _in_turns({"ours": window, "bare": loop, "again": loop}, n_pairs, 0.5)


def part_clock(_model: str, rows: int, n_calls: int) -> dict[str, float]:
    """Return the microseconds per step of our clock among the stopping criteria of `generate`."""
    import torch
    import transformers

    from llem_energy._backends.pytorch.generation import StepClock

    ids = torch.zeros((rows, N_INPUT + N_OUTPUT), dtype=torch.long)
    longest = transformers.MaxLengthCriteria(max_length=N_INPUT + N_OUTPUT + 1)
    clock = StepClock(torch.device("cpu"), rows)
    without = transformers.StoppingCriteriaList([longest])
    with_clock = transformers.StoppingCriteriaList([longest, clock])
    best = {"with": float("inf"), "without": float("inf")}
    for _ in range(20):
        for name, criteria in (("with", with_clock), ("without", without)):
            start = time.process_time()
            for _ in range(n_calls):
                criteria(ids, None)
            best[name] = min(best[name], (time.process_time() - start) / n_calls * 1e6)
    return {"us": best["with"] - best["without"]}


def part_logits(_model: str, rows: int, n_calls: int) -> dict[str, float]:
    """Return the microseconds of a step that look whether its logits are numbers, and of its argmax.

    The argmax reads the same logits and is part of every greedy step, with or without us.
    """
    import torch

    from llem_energy._backends.pytorch.logits_check import LogitsCheck

    logits = torch.randn(rows, N_VOCABULARY)
    check = LogitsCheck(is_sampled=False)
    works: dict[str, Callable[[], object]] = {
        "us": lambda: check(None, logits),
        "argmax_us": lambda: torch.argmax(logits, dim=-1),
    }
    best = dict.fromkeys(works, float("inf"))
    for _ in range(20):
        for name, work in works.items():
            start = time.process_time()
            for _ in range(max(1, n_calls // 10)):
                work()
            us = (time.process_time() - start) / max(1, n_calls // 10) * 1e6
            best[name] = min(best[name], us)
    return best


def _timed(work: Callable[[], object]) -> Speed:
    gc.collect()
    start, cpu_start = time.perf_counter(), time.process_time()
    result = work()
    seconds = time.perf_counter() - start, time.process_time() - cpu_start
    del result  # after the clocks were read
    return seconds


def _in_turns(
    works: dict[str, Callable[[float], Speed]], n_turns: int, seconds: float
) -> dict[str, list[Speed]]:
    """Return the result of each work in each turn; the order changes from turn to turn."""
    speeds: dict[str, list[Speed]] = {name: [] for name in works}
    for work in works.values():
        work(seconds)
    for turn in range(n_turns):
        names = list(works)
        for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
            speeds[name].append(works[name](seconds))
    return speeds


def part_load(model: str, _rows: int, n_pairs: int) -> dict[str, list[Speed]]:
    """Return paired seconds of our `load` and of plain `from_pretrained`."""
    import torch
    import transformers

    from llem_energy._backends.pytorch.backend import PyTorchBackend

    with tempfile.TemporaryDirectory() as folder:
        save_model(model, folder)
        config = _config(folder, 1)

        def ours(_seconds: float) -> Speed:
            backend = PyTorchBackend(config)
            backend.open()
            return _timed(backend.load)

        def bare(_seconds: float) -> Speed:
            load = transformers.AutoModelForCausalLM.from_pretrained
            return _timed(lambda: load(folder, dtype=torch.float32))

        return _in_turns({"ours": ours, "bare": bare, "again": bare}, n_pairs, 0.0)


def part_measure(folder: str, rows: int, seconds: int) -> dict[str, Any]:
    """Return the speed and the tokens of one real measurement."""
    from llem_energy import measure

    window = {"sources": ["none"], "min_window_seconds": float(seconds)}
    warmup = {"n_warmup": 1, "convergence_detection": False}
    result = measure(_config(folder, rows, energy=window, warmup=warmup))
    return {
        "tokens_per_second": result.tokens_per_second,
        "tokens_per_call": result.output_tokens / result.n_repeats,
    }


def save_model(model: str, folder: str) -> None:
    """Save a model as our backend creates it."""
    from llem_energy._backends.pytorch.backend import PyTorchBackend

    backend = PyTorchBackend(_config(model, 1))
    backend.open()
    backend.load()
    backend._model.save_pretrained(folder)


PARTS: dict[str, Callable[[str, int, int], dict[str, Any]]] = {
    "window": part_window,
    "clock": part_clock,
    "logits": part_logits,
    "load": part_load,
    "measure": part_measure,
}
