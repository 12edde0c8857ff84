"""What measuring costs: a measured window beside a bare `model.generate` loop, loading, and a peer.

    uv run python benchmarks/pytorch_speed.py [--quick] [--model builtin:tiny-llama]

Window: the backend answers a workload inside of a window, as `measure` has it; the bare loop calls
`generate` of the same model object with the same arguments on the same prompts, so that loading
has no part in it. The two take turns, with a second bare loop between them, which shows how much
two equal things differ here. What is done at each step besides is timed alone too: noting that its
token is there.
The model is as small as can be, so that a step is short and our share of it large. Load: the
backend's `load` beside `from_pretrained` alone, in turns, on weights in a local folder, of this
model and of a larger one: what we check about a model takes as long for each. Peer:
optimum-benchmark on the same folder and the same shapes, each measurement a process of its own,
in turns. uv installs the peer into an environment of its own, with the newest transformers that
it can be imported with; a bare loop in that environment shows what is transformers' own part of
the difference. One thread each. Ratios are of paired turns: median, and the middle half of the
pairs. Beside the clock stands the processor time of the process, which other work on the machine
disturbs less. No time is asserted.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

N_INPUT, N_OUTPUT = 64, 64
Speed = tuple[float, float]  # by the clock, and by the processor time of the process
PEER = ("optimum-benchmark==0.6.*", "transformers<5")
# Not that of our environment, whose packages the peer would see.
_PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")
_BARE = """
import json, sys, time
import torch, transformers
folder, rows, n_in, n_out, seconds = sys.argv[1], *map(int, sys.argv[2:6])
model = transformers.AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
ids = torch.randint(8, model.config.vocab_size, (rows, n_in))
options = {"max_new_tokens": n_out, "min_new_tokens": n_out, "do_sample": False, "pad_token_id": 0}
def answer():
    return model.generate(ids, attention_mask=torch.ones_like(ids), **options).shape[1] - n_in
answer()
n_tokens, start = 0, time.perf_counter()
while time.perf_counter() - start < seconds:
    n_tokens += rows * answer()
print(json.dumps({"tokens_per_second": n_tokens / (time.perf_counter() - start)}))
"""
_PEER = """
import json, sys
from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, InlineConfig, PyTorchConfig
folder, rows, n_in, n_out, seconds = sys.argv[1], *map(int, sys.argv[2:6])
report = Benchmark.launch(BenchmarkConfig(
    name="peer",
    launcher=InlineConfig(),
    backend=PyTorchConfig(model=folder, task="text-generation", library="transformers",
                          device="cpu", torch_dtype="float32"),
    scenario=InferenceConfig(
        input_shapes={"batch_size": rows, "sequence_length": n_in}, duration=seconds,
        iterations=1, warmup_runs=1,
        generate_kwargs={"max_new_tokens": n_out, "min_new_tokens": n_out}),
))
latency = report.generate.latency
print(json.dumps({
    "tokens_per_second": rows * n_out * latency.count / latency.total,
    "own_tokens_per_call": report.generate.throughput.value * latency.mean,
    "unit": report.generate.throughput.unit,
}))
"""


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
    """Return paired speeds of our window, a bare loop, and the bare loop again."""
    import torch

    from llem_energy._datasets import load_prompts
    from llem_energy._pytorch import PyTorchBackend
    from llem_energy._recorder import Recorder
    from llem_energy._sampler import Sampler
    from llem_energy._window import Windows

    config = _config(model, rows)
    ours = PyTorchBackend(config)
    ours.open()
    ours.load()
    workload = ours.prepare(load_prompts(config, ours.vocabulary()))
    (batch,) = workload.batches
    bare, arguments = ours._model, copy.deepcopy(ours._generation)
    arguments.return_dict_in_generate = False  # as anybody calls it
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
    """Return the microseconds that noting a step takes inside of `generate`'s criteria."""
    import torch
    import transformers

    from llem_energy._pytorch_answer import StepClock

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


def _timed(work: Callable[[], object]) -> Speed:
    gc.collect()
    start, cpu_start = time.perf_counter(), time.process_time()
    kept = work()
    seconds = time.perf_counter() - start, time.process_time() - cpu_start
    del kept
    return seconds


def _in_turns(
    works: dict[str, Callable[[float], Speed]], n_turns: int, seconds: float
) -> dict[str, list[Speed]]:
    """Return what each gave in each turn; the order changes from turn to turn."""
    found: dict[str, list[Speed]] = {name: [] for name in works}
    for work in works.values():
        work(seconds)
    for turn in range(n_turns):
        names = list(works)
        for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
            found[name].append(works[name](seconds))
    return found


def part_load(model: str, _rows: int, n_pairs: int) -> dict[str, list[Speed]]:
    """Return paired seconds of our `load` and of `from_pretrained` alone."""
    import torch
    import transformers

    from llem_energy._pytorch import PyTorchBackend

    with tempfile.TemporaryDirectory() as folder:
        _save(model, folder)
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
        "own_tokens_per_call": result.output_tokens / result.n_repeats,
    }


def _save(model: str, folder: str) -> None:
    from llem_energy._pytorch import PyTorchBackend

    backend = PyTorchBackend(_config(model, 1))
    backend.open()
    backend.load()
    backend._model.save_pretrained(folder)


def _child(command: Sequence[str]) -> dict[str, Any] | None:
    """Return what a program prints last as JSON; None if it fails."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:  # the peer leaves its log where it runs
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False
        )
    if done.returncode:
        print(done.stderr.strip()[-500:], file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _part(name: str, model: str, rows: int, number: int) -> dict[str, Any]:
    own = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--part",
        name,
        model,
        str(rows),
        str(number),
    ]
    found = _child(own)
    assert found is not None, name
    return found


def _peer(program: str, folder: str, rows: int, seconds: int) -> dict[str, Any] | None:
    import torch

    wanted = (*PEER, f"torch=={torch.__version__.partition('+')[0]}")
    command = ["uv", "run", "--quiet", "--isolated", "--no-project", "--python", _PYTHON]
    command += [word for package in wanted for word in ("--with", package)]
    shape = map(str, (rows, N_INPUT, N_OUTPUT, seconds))
    return _child([*command, "python", "-c", program, folder, *shape])


def _row(what: str, found: dict[str, Any]) -> None:
    """Print a row for each of the two clocks."""
    for clock, name in enumerate(("clock", "processor")):
        of = {side: [pair[clock] for pair in found[side]] for side in found}
        middle = [statistics.median(of[side]) for side in ("ours", "bare")]
        print(f"{what:9} {name:9} {middle[0]:>9.4g} {middle[1]:>9.4g}  "
              f"{_ratio(of['ours'], of['bare']):26} {_ratio(of['again'], of['bare'])}")  # fmt: skip


def _ratio(above: Sequence[float], below: Sequence[float]) -> str:
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.4f} ({low:.4f} to {high:.4f})"


def _speed(model: str, n_pairs: int) -> None:
    print(f"\ntokens per second, {n_pairs} turns of half a second")
    print(f"{'':19} {'window':>9} {'bare loop':>9}  {'window / bare':26} bare again / bare")
    for rows in (1, 8):
        found = _part("window", model, rows, n_pairs)
        _row(f"batch {rows}", found)
        step_us = rows * 1e6 / statistics.median(pair[1] for pair in found["bare"])
        noting_us = _part("clock", model, rows, 2000)["us"]
        print(f"{'':9} noting a step takes {noting_us:.1f} us of {step_us:.0f} us of processor "
              f"time: {noting_us / step_us:.2%}")  # fmt: skip


def _loading(model: str, n_pairs: int) -> None:
    print(f"\nseconds to load {model}, {n_pairs} turns")
    print(f"{'':19} {'load':>9} {'bare':>9}  {'load / from_pretrained':26} again / once")
    _row("", _part("load", model, 1, n_pairs))


def _beside_the_peer(model: str, n_turns: int, seconds: int) -> None:
    print(f"\noptimum-benchmark, tokens per second, {n_turns} turns of {seconds} s")
    with tempfile.TemporaryDirectory() as folder:
        _save(model, folder)
        for rows in (1, 8):
            ours, peer, bare = [], [], []
            for _ in range(n_turns):
                theirs = _peer(_PEER, folder, rows, seconds)
                without = _peer(_BARE, folder, rows, seconds)
                if theirs is None or without is None:
                    print(f"{' '.join(PEER)} cannot be installed or run here")
                    return
                peer.append(theirs)
                bare.append(without)
                ours.append(_part("measure", folder, rows, seconds))
            speed = [[one["tokens_per_second"] for one in of] for of in (ours, peer, bare)]
            middle = [statistics.median(of) for of in speed]
            print(f"batch {rows}: ours {middle[0]:.1f}, peer {middle[1]:.1f}, bare loop in the "
                  f"peer's environment {middle[2]:.1f}; ours / peer {middle[0] / middle[1]:.3f}, "
                  f"peer / its bare loop {middle[1] / middle[2]:.3f}")  # fmt: skip
            print(f"  tokens of a call: {rows * N_OUTPUT} asked for; ours counts "
                  f"{ours[0]['own_tokens_per_call']:.1f}, the peer "
                  f"{peer[0]['own_tokens_per_call']:.1f}, and calls them "
                  f"{peer[0]['unit'].partition('/')[0]}")  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few turns, no peer")
    parser.add_argument("--model", default="builtin:tiny-llama")
    parser.add_argument("--part", nargs=4, metavar=("NAME", "MODEL", "ROWS", "NUMBER"))
    given = parser.parse_args()
    if given.part:
        name, model, rows, number = given.part
        print(json.dumps(globals()[f"part_{name}"](model, int(rows), int(number))))
        return
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}, {given.model}, fp32, {N_INPUT} tokens in, "
          f"{N_OUTPUT} out")  # fmt: skip
    _speed(given.model, 10 if given.quick else 60)
    _loading(given.model, 10 if given.quick else 30)
    if not given.quick:
        _loading("builtin:qwen-0.5b", 8)  # where loading is more than a few milliseconds
        _beside_the_peer(given.model, 3, 4)


if __name__ == "__main__":
    main()
