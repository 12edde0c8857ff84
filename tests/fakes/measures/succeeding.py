"""Stand-ins for `measure` that return a result."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakes.results import make_result

from llem_config import ExperimentConfig, Settings
from llem_energy import Carryover, ExperimentResult
from llem_energy.models import digest_inputs

OnStage = Callable[[str], None] | None
_HELD: list[Any] = []  # objects that must live as long as the process


def quick(
    config: ExperimentConfig,
    *,
    settings: Settings | None = None,
    timeseries: Path | None = None,
    on_stage: OnStage = None,
    carryover: Carryover | None = None,
) -> ExperimentResult:
    """Return at once; `effective_config` describes the process and its arguments."""
    if on_stage is not None:
        on_stage("window")
    process = multiprocessing.current_process()
    return make_result(
        config,
        effective_config={
            "pid": os.getpid(),
            "parent_pid": os.getppid(),
            "group": os.getpgid(0),
            "daemon": process.daemon,
            "start_method": multiprocessing.get_start_method(allow_none=True) or "spawn",
            "torch_loaded": "torch" in sys.modules,
            "timeseries": str(timeseries),
            "n_known_calibrations": len(carryover.calibration) if carryover else 0,
            "results_dir": str(settings.output.results_dir) if settings else None,
            "monotonic_s": time.monotonic(),
        },
    )


def reports_its_stages(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Report the stages of a run, each after a while."""
    for stage, seconds in (("open", 0), ("load", 1.2), ("warm-up", 1.2), ("window", 0.5)):
        rest["on_stage"](stage)
        time.sleep(seconds)
    rest["on_stage"]("result")
    return make_result(config)


def reads_inputs(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return a result with the real digests of the files of the experiment."""
    return make_result(config, inputs=digest_inputs([config])[0])


def returns_command_lines(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return the command lines of this process and its parent."""
    lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in (os.getpid(), os.getppid())]
    has_token = bool(os.environ.get("HF_TOKEN"))
    return make_result(config, effective_config={"lines": lines, "has_token": has_token})


def starts_a_program_that_fails(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return the exit code of a program that ends with exit code 3."""
    done = subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=False)
    return make_result(config, effective_config={"exit_code": done.returncode})


def big(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return a result of about 10 MB."""
    return make_result(config, reproducibility_notes=tuple("x" * 1000 for _ in range(10_000)))


def noisy(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Write to stdout and stderr, from Python and directly to the descriptors."""
    print("from python")
    os.write(1, b"from native stdout\n")
    os.write(2, b"from native stderr\n")
    return make_result(config)


def takes_a_second(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Return after one second."""
    time.sleep(1)
    return quick(config, **rest)


def takes_two_seconds(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Return after two seconds."""
    time.sleep(2)
    return quick(config, **rest)


def waits_for_file(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Write the file `.ready`, then wait for the file `.go` of the test."""
    base = Path(config.model)
    base.with_suffix(".ready").write_text(str(os.getpid()))
    while not base.with_suffix(".go").exists():
        time.sleep(0.02)
    return quick(config, **rest)


def writes_samples(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Run two short stages and write samples; the speed depends on `n`."""
    timeseries: Path = rest["timeseries"]
    on_stage: OnStage = rest["on_stage"]
    assert on_stage is not None
    for stage in ("load", "window"):
        on_stage(stage)
        time.sleep(0.1)
    timeseries.write_bytes(b"PAR1 samples PAR1")
    return make_result(
        config,
        tokens_per_second=100.0 + config.n,
        timeseries_file=timeseries.name,
        effective_config={"token": os.urandom(8).hex()},
    )


def holds_a_semaphore(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Create a named lock and keep it, as the progress bars of some libraries do."""
    _HELD.append(multiprocessing.get_context("spawn").RLock())
    return quick(config, **rest)


def leaves_a_daemon(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return, but leave a process in another session."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    Path(config.model).with_suffix(".daemon").write_text(str(child.pid))
    return make_result(config)


def sends_100_megabytes(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return a result of 100 MB."""
    return make_result(config, reproducibility_notes=("x" * 100_000_000,))


def sees_gpus(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Return the variables of this process that name GPUs, and the GPUs that are claimed now."""
    names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "LLEM_OTHER_JOBS")
    claims = sorted(path.name.partition(".")[0] for path in Path("/tmp").glob("llem-GPU-*.lock"))
    variables: dict[str, Any] = {name: os.environ.get(name) for name in names}
    return make_result(config, effective_config={**variables, "claims": claims})
