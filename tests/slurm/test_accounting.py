"""A real Slurm with accounting: limits, accounts, ends of jobs, and the devices of a job."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu
from slurm.loopback import Loopback
from slurm.plans import plan_of, program

from llem_runner.clusters import ShardState, SubmissionRefused, Ticket
from llem_slurm import Slurm

pytestmark = pytest.mark.slurm

FORGOTTEN = "Invalid job id specified"
GROUPS = Path("/sys/fs/cgroup/devices").is_dir()


def phases_reached(
    slurm: Slurm, tickets: list[Ticket], is_reached: Callable[[Mapping[int, ShardState]], bool]
) -> Mapping[int, ShardState]:
    end = time.monotonic() + 60
    while not is_reached(states := slurm.states(tickets)):
        assert time.monotonic() < end, states
        time.sleep(0.2)
    return states


def all_ended(states: Mapping[int, ShardState]) -> bool:
    return {state.phase for state in states.values()} == {"ended"}


@pytest.fixture
def limited(on_accounted: Loopback) -> Iterator[Loopback]:
    """Let the user submit at most five jobs."""
    on_accounted.ask("sacctmgr", "-i", "modify", "user", "root", "set", "MaxSubmitJobs=5")
    yield on_accounted
    on_accounted.ask("sacctmgr", "-i", "modify", "user", "root", "set", "MaxSubmitJobs=-1")


def test_a_limit_on_jobs_is_used_up_and_the_rest_waits_for_a_later_submission(
    limited: Loopback, folder: Path, tmp_path: Path
) -> None:
    slurm = Slurm({"python": program(tmp_path / "python", "sleep 100")})
    plan = plan_of(folder, 12)
    numbers = [shard.number for shard in plan.shards]
    end = time.monotonic() + 20  # the controller learns of the limit from the data base
    while len((tickets := list(slurm.submit(plan, numbers)))[0].shards) == 12:
        slurm.cancel(tickets)
        assert time.monotonic() < end
        time.sleep(0.5)
    assert [ticket.shards for ticket in tickets] == [(1, 2, 3)]
    # An array is refused as a whole: nine become four, and these two.
    more = list(slurm.submit(plan, numbers[3:]))
    assert [ticket.shards for ticket in more] == [(4, 5)]
    with pytest.raises(SubmissionRefused, match=r"Slurm says: .*Job violates accounting"):
        slurm.submit(plan, numbers[5:])
    slurm.cancel([*tickets, *more])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"account": "nolab"}, r"clusters\.slurm\.account = nolab: .*; sacctmgr offers: .*lab"),
        ({"qos": "fast"}, r"clusters\.slurm\.qos = fast: .*; sacctmgr offers: normal"),
    ],
)
def test_a_wrong_account_or_qos_is_named_with_those_that_exist(
    on_accounted: Loopback, folder: Path, options: dict[str, str], sentence: str
) -> None:
    with pytest.raises(SubmissionRefused, match=sentence):
        Slurm(options).submit(plan_of(folder, 2), [1, 2])
    assert on_accounted.ask("squeue", "-h") == ""


def test_how_a_shard_ended_is_known_after_slurm_has_dropped_its_job(
    on_accounted: Loopback, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "case $shard in 1) exit 0;; 2) exit 7;; 3) kill -9 $$;; 4) sleep 100;; esac"
    slurm = Slurm({"python": program(tmp_path / "python", body), "mem": "100M"})
    (ticket,) = slurm.submit(plan_of(folder, 4), [1, 2, 3, 4])
    phases_reached(slurm, [ticket], lambda states: states[4].phase == "running")
    on_accounted.ask("scancel", f"{ticket.job}_4")
    phases_reached(slurm, [ticket], all_ended)
    # Some minutes after its end, the controller has no such job.
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "squeue", f"echo 'slurm_load_jobs error: {FORGOTTEN}' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    states = phases_reached(slurm, [ticket], lambda s: s[1].reason == "ended")
    reasons = {number: str(state.reason) for number, state in states.items()}
    assert reasons[1] == "ended"
    assert reasons[2] == "failed with exit code 7"
    assert reasons[3] == "ended by signal 9"
    assert reasons[4].startswith("cancelled")
    assert {state.machine for state in states.values()} <= {"n1", "n2"}


@pytest.mark.skipif(not GROUPS, reason="needs control groups of version 1")
def test_a_shard_that_needs_too_much_memory_says_so(
    on_accounted: Loopback, folder: Path, tmp_path: Path
) -> None:
    body = f"exec {sys.executable} -c 'x = bytes([1]) * 400_000_000; import time; time.sleep(60)'"
    slurm = Slurm({"python": program(tmp_path / "python", body), "mem": "60M"})
    (ticket,) = slurm.submit(plan_of(folder, 1), [1])
    states = phases_reached(slurm, [ticket], all_ended)
    assert states[1].reason == "it needed more memory than its limit (OutOfMemory)"


@pytest.mark.skipif(not GROUPS, reason="needs control groups of version 1")
def test_two_shards_on_one_node_know_their_own_gpus(
    on_accounted: Loopback, folder: Path, tmp_path: Path, library: Path
) -> None:
    # The control group of a job hides the other board of its node from the driver.
    for number in (0, 1):
        board = FakeGpu(uuid=f"GPU-{number}", minor=number)
        fake_nvml.write_trace(tmp_path / f"{number}.trace", [board])
    variables = fake_nvml.environment(library, tmp_path / "$SLURM_JOB_GPUS.trace")
    exports = " ".join(f"{name}={value}" for name, value in variables.items())
    code = "import os; from llem_slurm import Slurm; print(*Slurm().here(os.environ).gpus)"
    body = (
        f"export {exports}\n{sys.executable} -c '{code}' > $folder/gpus-$shard\n"
        "echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES > $folder/names-$shard; sleep 3"
    )
    slurm = Slurm({"python": program(tmp_path / "python", body), "gpu_type": "fake", "mem": "1G"})
    (ticket,) = slurm.submit(plan_of(folder, 4, n_gpus=1), [1, 2, 3, 4])
    phases_reached(slurm, [ticket], all_ended)
    found, visible = set(), set()
    for number in (1, 2, 3, 4):
        node, variable = (folder / f"names-{number}").read_text().split()
        found.add((node, (folder / f"gpus-{number}").read_text().strip()))
        visible.add(variable)
    assert found == {(node, gpu) for node in ("n1", "n2") for gpu in ("GPU-0", "GPU-1")}
    assert visible == {"0"}  # the number in the control group says nothing
