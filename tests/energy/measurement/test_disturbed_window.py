"""A window that something disturbs from outside: stops, other programs, a server's own work."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from energy.parts import QUICK, run_python, with_gpus
from fakes.burners import burner
from fakes.fake_nvml import FakeGpu, Process

from llem_energy._host.processes import cpu_time_s

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.usefixtures("real_load"),
]

PARROT: dict[str, Any] = {
    **{key: value for key, value in QUICK.items() if key != "pytorch"},
    "backend": "parrot",
    "energy": {"sources": ["none"], "min_window_seconds": 4.0},
}
MEASURE = """
import json, sys
import msgspec
from llem_config import ExperimentConfig
from llem_energy import measure
def stage(name):
    print(name, flush=True)
result = measure(ExperimentConfig.model_validate_json(sys.argv[1]), on_stage=stage)
print(msgspec.json.encode(result).decode(), flush=True)
"""
LAST_LINE = MEASURE.replace("    print(name, flush=True)", "    pass")
TIMES = ("window_s", "tokens_per_second", "time_to_first_token", "inter_token_latency")


SERVED = """
import os, subprocess, sys, time
from llem_parrot._backend import ParrotBackend

LATE = "NAMED_AFTER_LOADING"
WORK = '''
import sys, time
for line in sys.stdin:
    end_s = time.process_time() + float(line)
    while time.process_time() < end_s:
        pass
    print(time.process_time(), flush=True)
'''

class ServedBackend(ParrotBackend):
    '''A parrot whose work is done by a server in a session of its own.'''

    def load(self):
        super().load()
        self.server = subprocess.Popen(
            [sys.executable, "-S", "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, start_new_session=True,
        )
        self.used_s = [self.ask(0)]

    def ask(self, seconds):
        self.server.stdin.write(f"{seconds}\\n")
        self.server.stdin.flush()
        return float(self.server.stdout.readline())

    def generate(self, batch):
        self.used_s.append(self.ask(0.25))
        return super().generate(batch)

    def process_ids(self):
        is_named = "NAMED_PID" in os.environ and (LATE not in os.environ or hasattr(self, "server"))
        return [int(os.environ["NAMED_PID"])] if is_named else []

    def effective_config(self):
        return {**super().effective_config(), "used_s": self.used_s, "pid": self.server.pid}

    def close(self):
        self.server.kill()
        self.server.wait()
"""
ENTRY_POINTS = """
[llem.backends]
parrot = llem_parrot._backend:ParrotBackend
served = served:ServedBackend
[llem.backend_facts]
parrot = llem_parrot._facts:ParrotFacts
served = llem_parrot._facts:ParrotFacts
[llem.sections]
parrot = llem_parrot._section:ParrotConfig
served = llem_parrot._section:ParrotConfig
"""
EXAMPLE = Path(__file__).parents[2] / "example_backend" / "src"


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a process that sees the example backend, and one with a server."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "served.py").write_text(SERVED)
    info = folder / "served-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: served\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{EXAMPLE}"}


@contextlib.contextmanager
def running(config: dict[str, Any], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start a measurement and return when its window begins."""
    process = subprocess.Popen(
        [sys.executable, "-c", MEASURE, json.dumps(config)],
        env=os.environ | env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        while (line := process.stdout.readline()) != "window\n":
            assert line, "the measurement ended early"
        # The thread that watches for stops begins just before the window.
        while len(list(Path(f"/proc/{process.pid}/task").iterdir())) < 2:
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def test_a_run_that_is_stopped_in_its_window_is_flagged(backends: dict[str, str]) -> None:
    stop_s = 1.5
    for _ in range(3):  # on a busy machine the window may end before the signal arrives
        with running(PARROT, backends) as process:
            os.kill(process.pid, signal.SIGSTOP)
            status = Path(f"/proc/{process.pid}/stat")
            while status.read_text().rpartition(")")[2].split()[0] != "T":
                time.sleep(0.01)
            time.sleep(stop_s)
            os.kill(process.pid, signal.SIGCONT)
            result = result_of(process)
        if result["window_s"] >= stop_s:
            break
    assert result["stops"]["stopped_s"] >= stop_s - 0.2  # the resolution of the watch is 0.1 s
    assert result["window_s"] >= stop_s
    for name in TIMES:
        quality = result["figures"][name]
        assert quality["status"] == "flagged"
        assert any("was stopped for" in reason for reason in quality["reasons"]), quality
    assert any("was stopped for" in warning for warning in result["measurement_warnings"])
    assert result["stops"]["n_yields"] > 0


def test_a_run_that_is_not_stopped_has_no_stop(backends: dict[str, str]) -> None:
    short = {**PARROT, "energy": {"sources": ["none"], "min_window_seconds": 1.0}}
    with running(short, backends) as process:
        result = result_of(process)
    assert result["stops"]["stopped_s"] == 0
    assert result["stops"]["suspended_s"] == 0
    # One thread that works all the time.
    assert result["load_in_window"]["family_cpu_s"] > 0


def test_the_work_of_another_program_is_counted_and_flags_time(
    tmp_path: Path, backends: dict[str, str]
) -> None:
    with burner(tmp_path / "other", orphan=True) as other:
        other.start(1000.0)
        with running(PARROT, backends) as process:
            before_s = cpu_time_s(other.pid)
            time.sleep(1.0)
            after_s = cpu_time_s(other.pid)
            assert before_s is not None
            assert after_s is not None
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], 0)[0] == [], "the window is over"
            result = result_of(process)
    load = result["load_in_window"]
    # Each CPU may have a part of a tick that is not counted yet. Any other program comes on top.
    slack_s = 2 * (os.cpu_count() or 1) / os.sysconf("SC_CLK_TCK")
    assert load["other_cores"] * load["duration_s"] >= after_s - before_s - slack_s
    assert result["figures"]["tokens_per_second"]["status"] == "flagged"
    assert any(
        "of the" in w and "busy during the window" in w for w in result["measurement_warnings"]
    )


def test_the_work_of_a_backends_server_is_work_of_the_run(backends: dict[str, str]) -> None:
    config = {**PARROT, "backend": "served", "n": 2, "energy": {"sources": ["none"]}}
    lines = run_python(MEASURE, json.dumps(config), env=backends).splitlines()
    result = json.loads(lines[-1])
    n_in_window = result["n_repeats"] * 2  # one batch for each prompt
    used_s = result["effective_config"]["used_s"]
    served_s = used_s[-1] - used_s[-1 - n_in_window]
    assert served_s >= 0.25 * n_in_window
    # 6 W for each busy core; the client itself only waits and repeats a few words.
    assert result["energy_estimated_j"] / 6.0 == pytest.approx(served_s, abs=0.1 + 0.05 * served_s)
    assert result["load_in_window"]["family_cpu_s"] >= served_s - 0.02


@pytest.mark.parametrize("timing", [{}, {"NAMED_AFTER_LOADING": "1"}], ids=["always", "late"])
def test_the_processes_of_a_backend_are_no_strangers_on_a_gpu(
    tmp_path: Path, library: Path, backends: dict[str, str], timing: dict[str, str]
) -> None:
    config = {**PARROT, "backend": "served", "energy": {"sources": ["none"]}}
    program = f"import os, sys\nos.environ['NAMED_PID'] = sys.argv[2]\n{LAST_LINE}"
    with burner(tmp_path / "server", orphan=True) as server:
        gpu = FakeGpu(processes=(Process(4242), Process(server.pid)))
        result = with_gpus(
            program, library, [gpu], tmp_path, json.dumps(config), str(server.pid),
            env=backends | timing,
        )  # fmt: skip
    assert result["environment_snapshot"]["gpus"][0]["n_other_processes"] == 1
