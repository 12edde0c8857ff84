"""The energy of nodes from a real accounting, and from texts that no plugin here can give."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from slurm.conftest import REQUIRED, check_possible
from slurm.loopback import Loopback
from slurm.plans import program
from slurm.studies import SlurmStudy

from llem_runner.clusters import JobStart, NodeReading, ask_node_energy
from llem_runner.records import NodeEnergy
from llem_runner.shards import merge_study
from llem_slurm._node_energy import node_energy

pytestmark = pytest.mark.slurm

POWER_W = 120.0  # of package and memory
WRITER = Path(__file__).parent / "scripted_rapl.py"


class MeteredSlurm(Loopback):
    """A Slurm that counts energy by its plugin `rapl`; only the first node has a counter to read."""

    def start_node(self, number: int) -> None:
        """Start the slurmd of a node."""
        folder = self.folder / ("cpu" if number == 1 else "no-cpu")
        folder.mkdir(exist_ok=True)
        name = f"n{number}"
        # In a view of the file system of its own, where the folder is in the place of /dev/cpu.
        shell = f"mount --bind {folder} /dev/cpu && exec slurmd -D -N {name} -f {self.folder}/slurm.conf"
        self.daemons.spawn(f"slurmd-{name}", "unshare", "--mount", "sh", "-c", shell)


@contextmanager
def counting(folder: Path) -> Iterator[None]:
    """Let the registers of a processor rise meanwhile."""
    command = [sys.executable, str(WRITER), str(folder), str(POWER_W / 1.2)]
    with subprocess.Popen(command, start_new_session=True) as writer:
        try:
            yield
        finally:
            writer.kill()


def why_no_other_view() -> str | None:
    """Return why this machine cannot show a process another /dev/cpu; None if it can."""
    command = ["unshare", "--mount", "sh", "-c", "mount --bind /tmp /dev/cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None


def may_mount() -> bool:
    """Return whether this process is root with CAP_SYS_ADMIN. Source: capabilities(7)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return os.geteuid() == 0 and bool(int(lines["CapEff"], 16) >> 21 & 1)


@pytest.fixture
def metered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    check_possible(accounting=True)
    if reason := why_no_other_view():
        text = f"no other /dev/cpu can be shown to a process here: {reason}"
        if REQUIRED and may_mount():
            pytest.fail(f"LLEM_REQUIRE_SLURM is set, and this process may mount, but {text}")
        pytest.skip(text)
    with tempfile.TemporaryDirectory(prefix="llem-slurm-") as name:
        slurm = MeteredSlurm(
            Path(name),
            accounting=True,
            extra={
                "AcctGatherEnergyType": "acct_gather_energy/rapl",
                "AcctGatherNodeFreq": "1",
                "JobAcctGatherFrequency": "energy=1",
            },
        )
        for variable in ("SLURM_CONF", "PATH"):
            monkeypatch.setenv(variable, slurm.environment[variable])
        with counting(slurm.folder / "cpu"):
            try:
                slurm.start()
                yield slurm
            finally:
                slurm.stop()


def merged(study: SlurmStudy) -> tuple[NodeEnergy, ...]:
    """Return what the study says once the accounting knows all ends."""
    study.wait_until(lambda: not ask_node_energy(study.folder, study.cluster).open_reasons, 180)
    return merge_study(study.folder).summary.node_energy


def test_a_plugin_counts_the_node_of_each_attempt_and_a_node_without_a_counter_has_a_reason(
    metered: Loopback, tmp_path: Path
) -> None:
    study = SlurmStudy(metered, tmp_path, n_points=3, n_cycles=3, seconds=0.5, exclusive=True)
    # A task on the counted node is stopped and started again: each attempt has its own joules.
    study.wait_until(lambda: any(study.state(n).machine == "n1" for n in (1, 2, 3)))
    number = next(n for n in (1, 2, 3) if study.state(n).machine == "n1")
    study.wait_until(lambda: study.n_attempts(number) > 0)
    metered.ask("scontrol", "requeue", study.task(number))
    study.settle()
    n_counted = 0

    def is_known() -> bool:
        nonlocal n_counted
        reasons = ask_node_energy(study.folder, study.cluster).open_reasons
        found = merge_study(study.folder).summary.node_energy
        n_counted = sum(each.machine == "n1" for each in found)
        # What the other node lacks may come later, as far as Slurm tells.
        return set(reasons) <= {"the accounting of Slurm has no energy"} and n_counted > 1

    study.wait_until(is_known, 180)
    found = merge_study(study.folder).summary.node_energy
    counted = [each for each in found if each.machine == "n1" and each.energy_j]
    assert len(counted) == n_counted
    for each in counted:
        assert (each.meter, each.covers, each.reason) == ("rapl", "processor", None)
        assert each.energy_j and each.started_at and each.ended_at
        begin, end = map(datetime.fromisoformat, (each.started_at, each.ended_at))
        seconds = (end - begin).total_seconds()
        # Slurm has whole seconds, and reads the counter somewhat after the start.
        assert 0 < each.energy_j <= POWER_W * (seconds + 5)
        assert each.measured_j is None  # no run has metered a processor
    assert len({each.energy_j for each in counted}) == len(counted)  # each start has its own


def test_the_zero_of_a_slurm_without_a_plugin_is_missing_and_not_zero(
    on_accounted: Loopback, tmp_path: Path
) -> None:
    study = SlurmStudy(on_accounted, tmp_path, n_cycles=2, seconds=0.1, exclusive=True)
    study.settle()
    job = study.jobs[1]
    lines = on_accounted.ask("sacct", "-n", "-P", "-j", job, "-o", "JobID,ConsumedEnergyRaw")
    assert f"{job}_1.batch|0" in lines.splitlines()  # as Slurm 22.05 answers
    found = merged(study)
    assert [each.energy_j for each in found] == [None, None]
    assert {each.reason for each in found} == {
        "the Slurm of this site has no plugin that counts energy (AcctGatherEnergyType)"
    }
    # The last task has asked already, when it merged the study.
    assert (study.folder / "cluster" / "slurm" / "node_energy.json").is_file()


def test_a_shared_node_is_not_asked_for(on_accounted: Loopback, tmp_path: Path) -> None:
    study = SlurmStudy(on_accounted, tmp_path, n_points=3, n_cycles=1, seconds=0.1)
    study.settle()
    (found,) = merged(study)
    assert found.energy_j is None and found.whole_machine is False
    assert str(found.reason).startswith("other jobs could use the machine")


# --- texts of sacct

IPMI = "AcctGatherEnergyType    = acct_gather_energy/ipmi"
ENDED_S = 1_770_000_100


def start(job: str = "7_1", n_restarts: int = 0, ended_s: float | None = ENDED_S) -> JobStart:
    ended_at = None if ended_s is None else datetime.fromtimestamp(ended_s, UTC).isoformat()
    return JobStart(job=job, n_restarts=n_restarts, machine="n1", attempt_s=90.0, ended_at=ended_at)


def step(
    energy: object, *, job: str = "7_1", state: str = "COMPLETED", kind: str = "batch",
    node: str = "n1", begin: object = ENDED_S - 100, end: object = ENDED_S, seconds: object = 100,
) -> str:  # fmt: skip
    return f"{job}.{kind}|{state}|{node}|{begin}|{end}|{seconds}|{energy}"


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder with the answers of `scontrol` and `sacct`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "config").write_text(IPMI)
    program(tmp_path / "bin" / "scontrol", f"cat {tmp_path}/config")
    program(
        tmp_path / "bin" / "sacct",
        f"printf '%s\\n' \"$*\" >> {tmp_path}/asked\ncat {tmp_path}/rows",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return tmp_path


def read(folder: Path, *rows: str, starts: tuple[JobStart, ...] = (), now_s: float = 2e9) -> list[NodeReading]:  # fmt: skip
    (folder / "rows").write_text("\n".join(rows))
    return node_energy(starts or (start(),), now=lambda: now_s)


def test_joules_of_the_batch_step_count_and_those_of_other_steps_do_not(scripted: Path) -> None:
    rows = [
        f"7_1|COMPLETED|n1|{ENDED_S - 100}|{ENDED_S}|100|",
        step(51234),
        step(51000, kind="extern"),
    ]
    (found,) = read(scripted, *rows)
    assert (found.energy_j, found.meter, found.covers) == (51234, "ipmi", "machine")
    assert found.started_at == "2026-02-02T02:40:00+00:00" and found.is_final


def test_each_start_of_a_task_has_its_own_joules(scripted: Path) -> None:
    rows = [step(900, begin=ENDED_S + 200, end=ENDED_S + 300), step(500, state="CANCELLED by 0")]
    starts = (start(), start(n_restarts=1), start(n_restarts=2))
    first, second, third = read(scripted, *rows, starts=starts)
    assert (first.energy_j, second.energy_j, third.energy_j) == (500, 900, None)
    assert third.reason == "the accounting of Slurm has 2 starts of the job, not start 3"


def test_one_question_is_asked_for_each_array(scripted: Path) -> None:
    starts = tuple(start(job) for job in ("7_1", "7_2", "8_1", "9"))
    found = read(scripted, *(step(100 + n, job=s.job) for n, s in enumerate(starts)), starts=starts)
    assert [each.energy_j for each in found] == [100, 101, 102, 103]
    asked = (scripted / "asked").read_text().splitlines()
    assert [line.split("-j ")[1].split()[0] for line in asked] == ["7", "8", "9"]


@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        ("", "no energy"),
        ("0", "0 J"),
        ("4294967294", "a mean power of 4.29e+07 W, which no node draws"),
        ("18446744073709551614", "which no node draws"),
        ("-5", "no energy"),
        ("12.5K", "no energy"),
    ],
)
def test_what_is_no_energy_is_missing(scripted: Path, energy: str, reason: str) -> None:
    (found,) = read(scripted, step(energy))
    assert found.energy_j is None and found.is_final
    assert str(found.reason).startswith("the accounting of Slurm has") and reason in str(
        found.reason
    )


def test_joules_that_may_come_later_are_asked_for_again(scripted: Path) -> None:
    """Slurm 22.05 has 0 J for some seconds after the end of a step."""
    (soon,) = read(scripted, step(0), now_s=ENDED_S + 5)
    (running,) = read(scripted, step(0, state="RUNNING", end="Unknown"))
    assert not soon.is_final and not running.is_final


@pytest.mark.parametrize(
    ("ended_s", "hours", "is_final"),
    [(ENDED_S, 1, False), (ENDED_S, 5, False), (ENDED_S, 7, True), (None, 7, False)],
)
def test_a_start_that_the_accounting_lacks_is_asked_for_again_for_some_hours(
    scripted: Path, ended_s: float | None, hours: int, *, is_final: bool
) -> None:
    """While slurmdbd is down, slurmctld keeps the records of jobs."""
    now_s = ENDED_S + 3600 * hours
    attempt, later = start(ended_s=ended_s), start(n_restarts=1, ended_s=ended_s)
    (no_job,) = read(scripted, starts=(attempt,), now_s=now_s)
    first, second = read(scripted, step(500), starts=(attempt, later), now_s=now_s)
    assert (first.energy_j, first.is_final) == (500, True)
    assert no_job.energy_j is None and second.energy_j is None
    assert (no_job.is_final, second.is_final) == (is_final, is_final)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (step(500, node="n2"), "it ran on n1, and the accounting of Slurm has n2 for it"),
        (step(500, seconds=20), "it took 90 s, and the accounting of Slurm has 20 s for it"),
        ("damaged", "has 0 starts of the job"),
    ],
)
def test_another_start_is_not_taken_for_the_attempt(scripted: Path, row: str, reason: str) -> None:
    (found,) = read(scripted, row)
    assert found.energy_j is None and reason in str(found.reason)


def test_no_accounting_is_a_reason_and_no_answer_is_not_final(scripted: Path) -> None:
    bad = "echo 'Slurm accounting storage is disabled' >&2; exit 1"
    program(scripted / "bin" / "sacct", bad)
    (found,) = read(scripted)
    assert found.reason == "the Slurm of this site has no accounting" and found.is_final
    program(scripted / "bin" / "sacct", bad.replace("storage is disabled", "is not reached"))
    (found,) = read(scripted)
    assert not found.is_final and "is not reached" in str(found.reason)
    program(scripted / "bin" / "scontrol", "exit 1")
    (found,) = read(scripted)
    assert not found.is_final and "does not tell whether it counts energy" in str(found.reason)


def test_the_answer_is_kept_as_it_was_first_given(on_accounted: Loopback, tmp_path: Path) -> None:
    study = SlurmStudy(on_accounted, tmp_path, n_points=3, n_cycles=1, seconds=0.1, exclusive=True)
    study.settle()
    merged(study)
    file = study.folder / "cluster" / "slurm" / "node_energy.json"
    before = file.read_bytes()
    time.sleep(0.01)
    assert ask_node_energy(study.folder, study.cluster).n_new == 0
    assert file.read_bytes() == before
    merge_study(study.folder)
    assert file.read_bytes() == before
