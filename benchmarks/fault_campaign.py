"""Studies whose processes are killed at random instants, and resumed until they are complete.

    uv run python benchmarks/fault_campaign.py [N] [--seed SEED]

N kills (200 unless given) by SIGKILL of the parent, of a worker or of both, at instants drawn from
a seed. After each it is checked that no process is left, that every file can be read, and that no
result which was booked has changed; in the end that each run is completed exactly once and that
the results are those of a study that nobody has disturbed. The measurement is a stand-in, the
processes, pipes, locks and files are real. It raises at the first thing that is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llem_config import ExecutionConfig, ExperimentConfig, StudyConfig
from llem_energy import read_result
from llem_runner import read_manifest

Victim = str
VICTIMS: tuple[Victim, ...] = ("parent", "child", "both")
TESTS = Path(__file__).parents[1] / "tests"
N_POINTS, N_CYCLES = 4, 2
_PARENT = """
import sys
from pathlib import Path
from fakes import measures
from llem_config import StudyConfig
from llem_runner import resume_study, run_study
if __name__ == "__main__":
    study, output = map(Path, sys.argv[1:])
    begun = [path.parent for path in output.glob("*/study_resolved.json")]
    if begun:
        resume_study(begun[0], measure=measures.counts_itself)
    else:
        made = StudyConfig.model_validate_json(study.read_text())
        run_study(made, output=output, measure=measures.counts_itself)
"""
_GONE_S = 5.0

Figures = set[tuple[int, int, str, float]]


class Study:
    """One study that is begun, killed and resumed by processes of its own."""

    def __init__(self, work: Path) -> None:
        self.results = work / "results"
        self._work = work
        self._mark = f"LLEM_CAMPAIGN={work.name}-{os.getpid()}-{time.monotonic_ns()}"
        self._booked: dict[int, str] = {}
        self._parent: subprocess.Popen[bytes] | None = None
        self.results.mkdir(parents=True)
        (work / "parent.py").write_text(_PARENT)
        (work / "study.json").write_text(_study().model_dump_json())

    @property
    def folder(self) -> Path | None:
        """Return the study's folder once there is one that can be resumed."""
        return next((p.parent for p in self.results.glob("*/study_resolved.json")), None)

    def start(self) -> subprocess.Popen[bytes]:
        """Begin the study, or go on with it."""
        name, _, value = self._mark.partition("=")
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

    def processes(self, *, workers: bool = False) -> list[int]:
        """Return every living process that the study has ever started, or its workers alone."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark.encode() not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX" and (not workers or self._is_worker(folder)):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def _is_worker(self, folder: Path) -> bool:
        """Tell whether the parent has spawned it to measure; a worker's guard has another parent."""
        assert self._parent is not None
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        return parent == self._parent.pid and b"spawn_main" in (folder / "cmdline").read_bytes()

    def kill(self, victim: Victim) -> bool:
        """Kill as told; false if there was nobody."""
        assert self._parent is not None
        pids = self.processes(workers=True) if victim in ("child", "both") else []
        if victim in ("parent", "both") and self._parent.poll() is None:
            pids.insert(0, self._parent.pid)
        killed = False
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                killed = True
            except ProcessLookupError:
                continue
        return killed

    def check(self) -> None:
        """Raise unless the folder is whole and no result is lost; the parent must be dead."""
        deadline = time.monotonic() + _GONE_S
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.01)
        _expect(not left, f"processes {left} are left")
        if self.folder is None:
            return
        for path in self.folder.rglob("*.json"):
            json.loads(path.read_bytes())
        if not (self.folder / "manifest.json").exists():
            return
        for entry in read_manifest(self.folder).entries:
            if entry.status == "completed":
                _expect(entry.result_file is not None, f"run {entry.index} names no result")
                token = read_result(self.folder / str(entry.result_file)).effective_config["token"]
                before = self._booked.setdefault(entry.index, token)
                _expect(before == token, f"the result of run {entry.index} was replaced")
            else:
                _expect(entry.index not in self._booked, f"the result of {entry.index} is lost")

    @property
    def is_complete(self) -> bool:
        """Tell whether every run is completed."""
        if self.folder is None or not (self.folder / "manifest.json").exists():
            return False
        return read_manifest(self.folder).status == "completed"

    def figures(self) -> Figures:
        """Return what was measured; raises unless each run is completed exactly once."""
        assert self.folder is not None
        manifest = read_manifest(self.folder)
        _expect(manifest.totals.completed == N_POINTS * N_CYCLES, f"{manifest.totals}")
        scratch = [path.name for path in self.folder.rglob(".*.tmp")]
        _expect(not scratch, f"half-written files: {scratch}")
        files = {path for path in self.folder.rglob("result.json")}
        named = {self.folder / str(entry.result_file) for entry in manifest.entries}
        _expect(files == named, "the manifest does not name each result once")
        return {
            (
                entry.index,
                entry.cycle,
                entry.config_hash,
                read_result(self.folder / str(entry.result_file)).tokens_per_second,
            )
            for entry in manifest.entries
        }


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


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise AssertionError(otherwise)


def undisturbed(work: Path) -> Figures:
    """Return the figures of a study that nobody kills."""
    study = Study(work)
    study.start().wait()
    study.check()
    return study.figures()


def disturb(work: Path, chance: random.Random, n_kills: int, longest_s: float) -> Counter[Victim]:
    """Kill a study up to `n_kills` times, resume it to its end, and return how often it was killed.

    Raises:
        AssertionError: a process was left, a file broken, a result lost, a run not completed.
    """
    study, kills = Study(work), Counter[Victim]()
    while not study.is_complete:
        parent = study.start()
        while kills.total() < n_kills and parent.poll() is None:
            time.sleep(chance.uniform(0.05, longest_s))
            victim = chance.choice(VICTIMS)
            kills[victim] += study.kill(victim)
            if victim != "child":
                break
        parent.wait()
        study.check()
    study.figures()
    return kills


def campaign(work: Path, n_kills: int, seed: int, *, longest_s: float = 4.0) -> Counter[Victim]:
    """Disturb one study after the other until so many kills are done; see `disturb`."""
    chance, kills, number = random.Random(seed), Counter[Victim](), 0
    expected = undisturbed(work / "undisturbed")
    while kills.total() < n_kills:
        number += 1
        own = work / str(number)
        kills += disturb(own, chance, n_kills - kills.total(), longest_s)
        study = next((own / "results").glob("*/study_resolved.json")).parent
        _expect(_figures_of(study) == expected, "the results are not those of the undisturbed one")
    return kills


def _figures_of(folder: Path) -> Figures:
    return {
        (
            e.index,
            e.cycle,
            e.config_hash,
            read_result(folder / str(e.result_file)).tokens_per_second,
        )
        for e in read_manifest(folder).entries
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a campaign and say what was done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("n_kills", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        kills = campaign(Path(work), options.n_kills, options.seed)
        n_studies = len(list(Path(work).iterdir())) - 1
    how = ", ".join(f"{kills[victim]} of {victim}" for victim in VICTIMS)
    print(f"{kills.total()} kills ({how}; seed {options.seed}) over {n_studies} studies of")
    print(
        f"{N_POINTS * N_CYCLES} runs: every run completed exactly once, no result lost or changed,"
    )
    print(f"no file half-written, no process left; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
