"""What a run costs beside its window: ours, and optimum-benchmark's launcher of processes.

    uv run python benchmarks/runner_peer.py [--runs N] [--gap S]

Both measure the same tiny model from the same folder on the CPU, for as many seconds, each
experiment in a spawned process of its own, in turns. What is compared is the time of an experiment
beyond its measured answers: for the peer from one `Benchmark.launch` to the next, less what its
latency figures add up to; for ours from the end of one window to the start of the next, less the
gap where there is one. The peer knows no gaps. Load and warm-up are part of it on both sides. uv
installs the peer into an environment of its own, with the newest transformers that it can be
imported with. Ratios matter, seconds belong to the machine. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed

from benchmarks.shared.optimum_benchmark import PEER, last_answer, peer_command
from llem_config import ExecutionConfig, ExperimentConfig, StudyConfig
from llem_energy import read_result
from llem_runner import run_study

N_INPUT, N_OUTPUT, WINDOW_S = 16, 16, 1.0
_PEER = """
import json, sys, time
from optimum_benchmark import (
    Benchmark, BenchmarkConfig, InferenceConfig, ProcessConfig, PyTorchConfig,
)
if __name__ == "__main__":
    folder, n_in, n_out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    seconds, n_runs = float(sys.argv[4]), int(sys.argv[5])
    starts, measured = [], []
    for number in range(n_runs):
        starts.append(time.perf_counter())
        report = Benchmark.launch(BenchmarkConfig(
            name=f"run{number}",
            launcher=ProcessConfig(start_method="spawn"),
            backend=PyTorchConfig(model=folder, task="text-generation", library="transformers",
                                  device="cpu", torch_dtype="float32"),
            scenario=InferenceConfig(
                input_shapes={"batch_size": 1, "sequence_length": n_in}, duration=seconds,
                iterations=1, warmup_runs=1,
                generate_kwargs={"max_new_tokens": n_out, "min_new_tokens": n_out}),
        ))
        parts = (getattr(report, name, None) for name in ("generate", "per_token"))
        measured.append(next(part.latency.total for part in parts if part is not None))
    starts.append(time.perf_counter())
    beyond = [b - a - m for a, b, m in zip(starts, starts[1:], measured)]
    # Without the first, whose files are read from the disk; so it is on our side.
    print(json.dumps({"beyond_s": beyond[1:], "measured_s": measured}))
"""


def study(folder: str, n_runs: int, gap_s: float) -> StudyConfig:
    """Return as many points as runs, which all cost the same."""
    points = tuple(
        ExperimentConfig.model_validate(
            {
                "model": folder, "precision": "fp32", "n": 1, "max_input_tokens": N_INPUT,
                "max_output_tokens": N_OUTPUT, "pytorch": {"device": "cpu"}, "random_seed": seed,
                "warmup": {"n_warmup": 1, "convergence_detection": False},
                "baseline": {"enabled": False}, "energy": {"min_window_seconds": WINDOW_S},
            }
        )
        for seed in range(n_runs)
    )  # fmt: skip
    execution = ExecutionConfig(config_gap_seconds=gap_s, cycle_gap_seconds=gap_s)
    return StudyConfig(experiments=points, execution=execution)


def ours(folder: str, n_runs: int, gap_s: float) -> list[float]:
    """Return the seconds between the windows of a study, less the gap."""
    with tempfile.TemporaryDirectory() as results:
        files = run_study(study(folder, n_runs, gap_s), output=results).result_files
        (own,) = Path(results).iterdir()
        spans = [read_result(own / file).steady_state_window for file in files]
    found = []
    for before, after in itertools.pairwise(spans):
        assert before is not None
        assert after is not None
        found.append(after.start_s - before.end_s - gap_s)
    return found


def peer(program: Path, folder: str, n_runs: int) -> dict[str, list[float]] | None:
    """Return what the peer's experiments took beyond their answers; None if it cannot run."""
    # Compiled ahead, as ours is: else each of its processes would compile all it imports.
    env = os.environ | {"UV_COMPILE_BYTECODE": "1"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    shape = map(str, (N_INPUT, N_OUTPUT, WINDOW_S, n_runs))
    command = peer_command(str(program), folder, *shape)
    found: dict[str, list[float]] | None = last_answer(command, program.parent, env)
    return found


def save_model(folder: str) -> None:
    """Save the tiny model, in a process of its own: this one imports no torch before its runs."""
    program = (
        "import sys, torch, transformers\n"
        "from llem_energy._model_info.builtin import builtin_architecture\n"
        "made = transformers.AutoConfig.for_model(**builtin_architecture('builtin:tiny-llama'))\n"
        "model = transformers.AutoModelForCausalLM.from_config(made, dtype=torch.float32)\n"
        "model.save_pretrained(sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", program, folder], check=True, capture_output=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=4, help="experiments of each turn")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--gap", type=float, default=10.0, help="seconds")
    given = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}; {given.turns} turns of {given.runs} experiments, "
          f"{WINDOW_S:g} s each")  # fmt: skip
    found: dict[str, list[float]] = {"peer": [], "gap": [], "none": []}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peer.py"
        program.write_text(_PEER)
        model = str(Path(folder) / "model")
        save_model(model)
        for _ in range(given.turns):
            theirs: Any = peer(program, model, given.runs)
            if theirs is None:
                print(f"{' '.join(PEER)} cannot be installed or run here")
                return
            found["peer"] += theirs["beyond_s"]
            found["gap"] += ours(model, given.runs, given.gap)
            found["none"] += ours(model, given.runs, 0.0)
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    print(
        f"{'seconds per experiment, beyond its answers and the gap':56} {'median':>7} {'ratio':>6}"
    )
    rows = (
        ("peer", "optimum-benchmark's launcher of processes"),
        ("gap", f"ours, gaps of {given.gap:g} s"),
        ("none", "ours, no gaps"),
    )
    for name, words in rows:
        print(f"{words:56} {middle[name]:>7.3f} {middle[name] / middle['peer']:>6.3f}   "
              f"({min(found[name]):.3f} to {max(found[name]):.3f})")  # fmt: skip


if __name__ == "__main__":
    main()
