"""The speed of a measured window and of loading, compared with bare transformers and with a peer.

    uv run python benchmarks/pytorch_speed.py [--quick] [--model builtin:tiny-llama]

Window: the backend runs a workload inside a window, as in `measure`. The bare loop calls `generate`
of the same model object with the same arguments on the same prompts, so loading is not included. The
two alternate with a second bare loop, which shows the difference between two identical loops here.
The work that we add to each step, recording the time of its token and checking its logits, is also timed
alone, the latter with the vocabulary of Llama 3. The model is as small as possible, so that a step is
short and our share of it is large.

Load: the `load` of the backend and plain `from_pretrained` alternate, on weights in a local folder,
for this model and for a larger one, because our checks of a model take the same time for both.

Peer: optimum-benchmark on the same folder and shapes; each measurement is a separate process, and
the two sides alternate. uv installs the peer into a separate environment, with the newest version of
transformers with which it can be imported; a bare loop in that environment shows how much of the
difference is due to transformers.

Every process uses one thread. Ratios are of paired turns: the median and the middle half of the
pairs. CPU time is printed beside wall-clock time, because other work on the machine disturbs it
less. No time is asserted.
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

from benchmarks.pytorch.parts import N_INPUT, N_OUTPUT, N_VOCABULARY, PARTS, save_model
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
    "tokens_per_call": report.generate.throughput.value * latency.mean,
    "unit": report.generate.throughput.unit,
}))
"""


def _child(command: Sequence[str]) -> dict[str, Any] | None:
    """Return the answer of a program that runs with one thread; None if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        answer: dict[str, Any] | None = last_answer(
            command, Path(folder), os.environ | {"OMP_NUM_THREADS": "1"}
        )
    return answer


def _part(name: str, model: str, rows: int, number: int) -> dict[str, Any]:
    script = str(Path(__file__).resolve())
    answer = _child([sys.executable, script, "--part", name, model, str(rows), str(number)])
    assert answer is not None, name
    return answer


def _peer(program: str, folder: str, rows: int, seconds: int) -> dict[str, Any] | None:
    shape = map(str, (rows, N_INPUT, N_OUTPUT, seconds))
    return _child(peer_command("-c", program, folder, *shape))


def _row(what: str, speeds: dict[str, Any]) -> None:
    """Print one row for wall-clock time and one for CPU time."""
    for clock, name in enumerate(("wall time", "CPU time")):
        by_side = {side: [pair[clock] for pair in speeds[side]] for side in speeds}
        ours, bare = (statistics.median(by_side[side]) for side in ("ours", "bare"))
        print(f"{what:9} {name:9} {ours:>9.4g} {bare:>9.4g}  "
              f"{_ratio(by_side['ours'], by_side['bare']):26} "
              f"{_ratio(by_side['again'], by_side['bare'])}")  # fmt: skip


def _ratio(above: Sequence[float], below: Sequence[float]) -> str:
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.4f} ({low:.4f} to {high:.4f})"


def _speed(model: str, n_pairs: int) -> None:
    print(f"\ntokens per second, {n_pairs} turns of half a second")
    print(f"{'':19} {'window':>9} {'bare loop':>9}  {'window / bare':26} second bare / bare")
    for rows in (1, 8):
        speeds = _part("window", model, rows, n_pairs)
        _row(f"batch {rows}", speeds)
        step_us = rows * 1e6 / statistics.median(pair[1] for pair in speeds["bare"])
        record_us = _part("clock", model, rows, 2000)["us"]
        print(f"{'':9} recording a step: {record_us:.1f} us of {step_us:.0f} us of CPU time, "
              f"{record_us / step_us:.2%}")  # fmt: skip
        logits = _part("logits", model, rows, 2000)
        print(f"{'':9} checking the logits of {N_VOCABULARY} tokens: {logits['us']:.0f} us; argmax of "
              f"the same logits: {logits['argmax_us']:.0f} us")  # fmt: skip


def _loading(model: str, n_pairs: int) -> None:
    print(f"\nseconds to load {model}, {n_pairs} turns")
    print(f"{'':19} {'load':>9} {'bare':>9}  {'load / from_pretrained':26} second bare / bare")
    _row("", _part("load", model, 1, n_pairs))


def _compare_with_peer(model: str, n_turns: int, seconds: int) -> None:
    print(f"\noptimum-benchmark, tokens per second, {n_turns} turns of {seconds} s")
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, folder)
        for rows in (1, 8):
            ours, peer, bare = [], [], []
            for _ in range(n_turns):
                theirs = _peer(_PEER, folder, rows, seconds)
                without = _peer(_BARE, folder, rows, seconds)
                if theirs is None or without is None:
                    print(f"{' '.join(PEER)} cannot be installed or run on this machine")
                    return
                peer.append(theirs)
                bare.append(without)
                ours.append(_part("measure", folder, rows, seconds))
            our_speed, peer_speed, bare_speed = (
                statistics.median(answer["tokens_per_second"] for answer in answers)
                for answers in (ours, peer, bare)
            )
            print(f"batch {rows}: ours {our_speed:.1f}, peer {peer_speed:.1f}, bare loop in the "
                  f"environment of the peer {bare_speed:.1f}; ours / peer "
                  f"{our_speed / peer_speed:.3f}, peer / its bare loop "
                  f"{peer_speed / bare_speed:.3f}")  # fmt: skip
            print(f"  tokens per call: {rows * N_OUTPUT} requested; ours counts "
                  f"{ours[0]['tokens_per_call']:.1f}, the peer {peer[0]['tokens_per_call']:.1f} "
                  f"(unit: {peer[0]['unit'].partition('/')[0]})")  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer turns, no peer")
    parser.add_argument("--model", default="builtin:tiny-llama")
    parser.add_argument("--part", nargs=4, metavar=("NAME", "MODEL", "ROWS", "NUMBER"),
                        help="run one part in this process and print JSON")  # fmt: skip
    options = parser.parse_args()
    if options.part:
        name, model, rows, number = options.part
        print(json.dumps(PARTS[name](model, int(rows), int(number))))
        return
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}, {options.model}, fp32, {N_INPUT} tokens in, "
          f"{N_OUTPUT} out")  # fmt: skip
    _speed(options.model, 10 if options.quick else 60)
    _loading(options.model, 10 if options.quick else 30)
    if not options.quick:
        _loading("builtin:qwen-0.5b", 8)  # its loading takes more than a few milliseconds
        _compare_with_peer(options.model, 3, 4)


if __name__ == "__main__":
    main()
