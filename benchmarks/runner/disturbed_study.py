"""A study whose processes are killed, with checks that its files stay consistent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

from llem_config import ExecutionConfig, ExperimentConfig, StudyConfig
from llem_energy import read_result
from llem_runner import read_manifest

Victim = Literal["parent", "child", "both"]
TESTS = Path(__file__).parents[2] / "tests"
N_POINTS, N_CYCLES = 4, 2
_PARENT = """
import sys
from pathlib import Path
from fakes import measures
from llem_config import StudyConfig
from llem_runner import resume_study, run_study
if __name__ == "__main__":
    study, output = map(Path, sys.argv[1:])
    started = [path.parent for path in output.glob("*/study_resolved.json")]
    if started:
        resume_study(started[0], measure=measures.writes_samples)
    else:
        config = StudyConfig.model_validate_json(study.read_text())
        run_study(config, output=output, measure=measures.writes_samples)
"""
PROGRAM = """
import sys
from pathlib import Path
if __name__ == "__main__":
    Path("started").touch()
    try:
        from fakes import measures
        from llem_cli import _app
        from llem_cli._commands.study.resume import resume
        from llem_cli._commands.study.run import run
    except KeyboardInterrupt:  # as in `llem_cli.main`
        sys.exit(130)
    study, output = map(Path, sys.argv[1:])
    started = [path.parent for path in output.glob("*/study_resolved.json")]
    def command(*_, **__):
        if started:
            return resume(started[0], measure=measures.writes_samples)
        return run(study.with_suffix(".yaml"), output=output, measure=measures.writes_samples)
    _app.app = command
    _app.main([])
"""
"""The same study by the command line, which handles signals."""
_STUDY_FILE = """
model: builtin:tiny-llama
pytorch: {device: cpu}
sweep: {n: [1, 2, 3, 4]}
execution: {n_cycles: 2, cycle_order: interleaved, config_gap_seconds: 0.2, cycle_gap_seconds: 0.2}
"""
_EXIT_TIMEOUT_S = 20.0  # for the processes of a killed study; one may still be starting
_START_TIMEOUT_S = 120.0  # for an interpreter that begins a program; on a busy machine seconds

Figures = set[tuple[int, int, str, float]]


class DisturbedStudy:
    """One study that separate processes start, kill and resume."""

    def __init__(self, work: Path, program: str = _PARENT) -> None:
        self.results = work / "results"
        self._work = work
        self._marker = f"LLEM_CAMPAIGN={work.name}-{os.getpid()}-{time.monotonic_ns()}"
        self._tokens: dict[int, str] = {}  # of the completed runs, by index
        self._parent: subprocess.Popen[bytes] | None = None
        self.results.mkdir(parents=True)
        (work / "parent.py").write_text(program)
        (work / "study.yaml").write_text(_STUDY_FILE)
        (work / "study.json").write_text(_study().model_dump_json())

    @property
    def folder(self) -> Path | None:
        """Return the folder of the study, or None before there is one that can be resumed."""
        return next((p.parent for p in self.results.glob("*/study_resolved.json")), None)

    def start(self) -> subprocess.Popen[bytes]:
        """Start or resume the study in a new process."""
        name, _, value = self._marker.partition("=")
        path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        with (self._work / "parent.log").open("ab") as log:
            self._parent = subprocess.Popen(
                [sys.executable, "parent.py", "study.json", "results"],
                cwd=self._work,
                env={**os.environ, "PYTHONPATH": path, name: value},
                stdout=log,
                stderr=log,
            )
        return self._parent

    def processes(self, *, children: bool = False) -> list[int]:
        """Return the pids of all live processes of the study, or only of its child processes."""
        pids = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._marker.encode() not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX" and (not children or self._is_child(folder)):
                    pids.append(int(folder.name))
            except OSError:
                continue
        return pids

    def _is_child(self, folder: Path) -> bool:
        """Return whether the parent spawned this process to measure a run."""
        assert self._parent is not None
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        return parent == self._parent.pid and b"llem-run" in (folder / "cmdline").read_bytes()

    def wait_until_started(self) -> None:
        """Wait until `PROGRAM` begins: before, signals meet the interpreter only.

        Raises:
            AssertionError: it does not begin in time; it is killed.
        """
        assert self._parent is not None
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not (self._work / "started").exists() and self._parent.poll() is None:
            if time.monotonic() > deadline_s:
                state = describe(self._parent.pid)
                self._parent.kill()
                raise AssertionError(f"no start within {_START_TIMEOUT_S:.0f} s: {state}")
            time.sleep(0.01)
        (self._work / "started").unlink(missing_ok=True)

    def log(self) -> str:
        """Return what the parents have printed."""
        return (self._work / "parent.log").read_text(errors="replace")

    def kill(self, victim: Victim, number: signal.Signals = signal.SIGKILL) -> bool:
        """Send a signal to the victim; return False if no such process was alive."""
        assert self._parent is not None
        pids = self.processes(children=True) if victim in ("child", "both") else []
        if victim in ("parent", "both") and self._parent.poll() is None:
            pids.insert(0, self._parent.pid)
        killed = False
        for pid in pids:
            try:
                os.kill(pid, number)
                killed = True
            except ProcessLookupError:
                continue
        return killed

    def check(self) -> None:
        """Raise unless the folder is consistent and no result is lost; the parent must have ended."""
        deadline = time.monotonic() + _EXIT_TIMEOUT_S
        while (alive := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.01)
        expect(not alive, f"expected no process of the study, found {[*map(describe, alive)]}")
        if self.folder is None:
            return
        for path in self.folder.rglob("*.json"):
            json.loads(path.read_bytes())
        if not (self.folder / "manifest.json").exists():
            return
        for entry in read_manifest(self.folder).entries:
            if entry.status == "completed":
                expect(
                    entry.result_file is not None, f"completed run {entry.index} has no result file"
                )
                token = read_result(self.folder / str(entry.result_file)).effective_config["token"]
                before = self._tokens.setdefault(entry.index, token)
                expect(before == token, f"the result of run {entry.index} was replaced")
            else:
                expect(entry.index not in self._tokens, f"the result of run {entry.index} is lost")

    @property
    def is_complete(self) -> bool:
        """Return whether every run is completed."""
        if self.folder is None or not (self.folder / "manifest.json").exists():
            return False
        return read_manifest(self.folder).status == "completed"

    def figures(self) -> Figures:
        """Return the results of all runs.

        Raises:
            AssertionError: a run was not completed exactly once, or a file is left over.
        """
        assert self.folder is not None
        manifest = read_manifest(self.folder)
        expect(
            manifest.totals.completed == N_POINTS * N_CYCLES,
            f"expected {N_POINTS * N_CYCLES} completed runs, found {manifest.totals}",
        )
        leftover = [path.name for path in self.folder.rglob(".*.tmp")]
        expect(not leftover, f"expected no half-written files, found {leftover}")
        files = set(self.folder.rglob("result.json"))
        listed = {self.folder / str(entry.result_file) for entry in manifest.entries}
        expect(files == listed, "expected the manifest to list each result once")
        return figures_of(self.folder)


def figures_of(folder: Path) -> Figures:
    """Return index, cycle, hash and tokens per second of every run of a complete study."""
    return {
        (
            entry.index,
            entry.cycle,
            entry.config_hash,
            read_result(folder / str(entry.result_file)).tokens_per_second,
        )
        for entry in read_manifest(folder).entries
    }


def describe(pid: int) -> str:
    """Return what a process is and does, for the report of a fault."""
    folder = Path(f"/proc/{pid}")
    try:
        line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        # What it waits for in the kernel; only root may read the stack.
        waits = (folder / "wchan").read_text()
    except OSError as error:
        return f"{pid} ({error.strerror})"
    names = ("state", "parent", "group", "session")
    known = ", ".join(f"{name} {value}" for name, value in zip(names, fields, strict=False))
    return f"{pid} ({known}, waits in {waits}): {line[-200:]}"


def _study() -> StudyConfig:
    point: dict[str, Any] = {"model": "builtin:tiny-llama", "pytorch": {"device": "cpu"}}
    points = [ExperimentConfig.model_validate({**point, "n": n + 1}) for n in range(N_POINTS)]
    return StudyConfig(
        experiments=tuple(points),
        execution=ExecutionConfig(
            n_cycles=N_CYCLES,
            cycle_order="interleaved",
            config_gap_seconds=0.2,
            cycle_gap_seconds=0.2,
        ),
    )


def expect(condition: bool, message: str) -> None:
    """Raise unless the condition holds.

    Raises:
        AssertionError: with the message.
    """
    if not condition:
        raise AssertionError(message)
