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
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed

from benchmarks.pytorch.parts import N_INPUT, N_OUTPUT, PARTS, save_model
from benchmarks.shared.optimum_benchmark import PEER, last_answer, peer_command

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


def _child(command: Sequence[str]) -> dict[str, Any] | None:
    """Return what a program of one thread answers; None if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Any] | None = last_answer(
            command, Path(folder), os.environ | {"OMP_NUM_THREADS": "1"}
        )
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
    shape = map(str, (rows, N_INPUT, N_OUTPUT, seconds))
    return _child(peer_command("-c", program, folder, *shape))


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
        save_model(model, folder)
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
        print(json.dumps(PARTS[name](model, int(rows), int(number))))
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
