"""The overhead of a run, compared with the process launcher of optimum-benchmark.

    uv run python benchmarks/runner_peer.py [--runs N] [--turns N] [--gap S]

Both measure the same tiny model from the same folder on the CPU for the same number of seconds. Each
experiment runs in a separate spawned process; the two sides alternate. The overhead is the time of
an experiment without the measured generation. For the peer it is the time from one
`Benchmark.launch` to the next, minus the sum of its latencies; for ours it is the time from the end
of one window to the start of the next, minus the gap. The peer has no gaps. Load and warm-up are
included on both sides. uv installs the peer into a separate environment, with the newest version of
transformers with which it can be imported. Both sides keep compiled Python files, whatever the
environment says, and the first experiment of each turn, which may compile them, is not counted.
The ratios matter; the seconds depend on the machine.
Nothing is asserted.
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

from benchmarks.shared.compiled_files import keep_compiled_files
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
    overhead = [b - a - m for a, b, m in zip(starts, starts[1:], measured)]
    # Without the first run, which compiles and reads its files; our side omits it as well.
    print(json.dumps({"overhead_s": overhead[1:], "measured_s": measured}))
"""


def study(folder: str, n_runs: int, gap_s: float) -> StudyConfig:
    """Return a study of `n_runs` points that all take the same time."""
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
    """Return the seconds between the windows of a study, without the gap."""
    with tempfile.TemporaryDirectory() as results:
        files = run_study(study(folder, n_runs, gap_s), output=results).result_files
        (study_folder,) = Path(results).iterdir()
        spans = [read_result(study_folder / file).steady_state_window for file in files]
    overheads_s = []
    for before, after in itertools.pairwise(spans):
        assert before is not None
        assert after is not None
        overheads_s.append(after.start_s - before.end_s - gap_s)
    return overheads_s


def peer(program: Path, folder: str, n_runs: int) -> dict[str, list[float]] | None:
    """Return the overheads of the experiments of the peer; None if it cannot run."""
    shape = map(str, (N_INPUT, N_OUTPUT, WINDOW_S, n_runs))
    command = peer_command(str(program), folder, *shape)
    overheads: dict[str, list[float]] | None = last_answer(command, program.parent, os.environ)
    return overheads


def save_model(folder: str) -> None:
    """Save the tiny model in another process, because this one must not import torch."""
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
    parser.add_argument("--runs", type=int, default=4, help="experiments per turn")
    parser.add_argument("--turns", type=int, default=2, help="turns of each side")
    parser.add_argument("--gap", type=float, default=10.0, help="seconds")
    options = parser.parse_args()
    keep_compiled_files()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}; {options.turns} turns of {options.runs} experiments, "
          f"{WINDOW_S:g} s each")  # fmt: skip
    overheads_s: dict[str, list[float]] = {"peer": [], "gap": [], "none": []}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peer.py"
        program.write_text(_PEER)
        model = str(Path(folder) / "model")
        save_model(model)
        for _ in range(options.turns):
            theirs: Any = peer(program, model, options.runs)
            if theirs is None:
                print(f"{' '.join(PEER)} cannot be installed or run on this machine")
                return
            overheads_s["peer"] += theirs["overhead_s"]
            overheads_s["gap"] += ours(model, options.runs, options.gap)
            overheads_s["none"] += ours(model, options.runs, 0.0)
    medians_s = {name: statistics.median(values) for name, values in overheads_s.items()}
    what = "seconds per experiment, without generation and gap"
    print(f"{what:56} {'median':>7} {'ratio':>6}")
    rows = (
        ("peer", "process launcher of optimum-benchmark"),
        ("gap", f"ours, gaps of {options.gap:g} s"),
        ("none", "ours, no gaps"),
    )
    for name, label in rows:
        ratio = medians_s[name] / medians_s["peer"]
        print(f"{label:56} {medians_s[name]:>7.3f} {ratio:>6.3f}   "
              f"({min(overheads_s[name]):.3f} to {max(overheads_s[name]):.3f})")  # fmt: skip


if __name__ == "__main__":
    main()
