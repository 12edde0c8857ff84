"""Submission, states and refusals on a real Slurm without accounting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from slurm.loopback import Loopback
from slurm.plans import plan_of, program

from llem_runner.clusters import (
    ShardPlan,
    ShardState,
    SubmissionRefused,
    SubmissionUnknown,
    Ticket,
)
from llem_slurm import Slurm

pytestmark = pytest.mark.slurm


def wait_for(
    is_reached: Callable[[], bool], what: Callable[[], object] = lambda: "", limit_s: float = 60
) -> None:
    end = time.monotonic() + limit_s
    while not is_reached():
        assert time.monotonic() < end, what()
        time.sleep(0.1)


def wait_for_phases(
    slurm: Slurm,
    tickets: list[Ticket],
    expected: list[str],
    meanwhile: Callable[[], None] = lambda: None,
) -> dict[int, ShardState]:
    states: dict[int, ShardState] = {}

    def is_reached() -> bool:
        meanwhile()
        states.clear()
        states.update(slurm.states(tickets))
        return [states[n].phase for n in sorted(states)] == expected

    wait_for(is_reached, lambda: states)
    return states


def submitted(slurm: Slurm, plan: ShardPlan) -> list[Ticket]:
    return list(slurm.submit(plan, [shard.number for shard in plan.shards]))


def test_shards_run_where_slurm_starts_them_and_know_it(
    on_slurm: Loopback, folder: Path, tmp_path: Path
) -> None:
    code = (
        "import json, os, sys; from llem_slurm import Slurm; p = Slurm().here(os.environ); "
        "from llem_slurm._place import job_age_s; "
        "print(json.dumps([p.cluster, p.job, p.n_restarts, p.machine, p.ends_at, p.whole_machine, job_age_s()]))"
    )
    python = program(
        tmp_path / "python",
        f"{sys.executable} -c '{code}' > $folder/place-$shard.json\nenv > $folder/env-$shard.txt",
    )
    os.environ["CUDA_VISIBLE_DEVICES"] = "7"
    try:
        slurm = Slurm({"python": python, "time": "5m"})
        began = time.time()
        (ticket,) = submitted(slurm, plan_of(folder, 3))
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    assert ticket.shards == (1, 2, 3)
    states = wait_for_phases(slurm, [ticket], ["ended"] * 3)
    assert {state.machine for state in states.values()} <= {"n1", "n2"}
    for number in (1, 2, 3):
        place = json.loads((folder / f"place-{number}.json").read_text())
        cluster, job, n_restarts, machine, ends_at, is_alone, age_s = place
        assert (cluster, job, n_restarts) == ("slurm", f"{ticket.job}_{number}", 0)
        assert machine in ("n1", "n2")
        assert began + 295 < ends_at < time.time() + 305
        assert is_alone is False
        assert 0 <= age_s < 60  # by the process of Slurm, whatever the clock says
        lines = (folder / f"env-{number}.txt").read_text().splitlines()
        assert "HF_HUB_OFFLINE=1" in lines
        assert "CUDA_VISIBLE_DEVICES=7" not in lines


def test_a_job_with_its_node_to_itself_knows_it(
    on_slurm: Loopback, folder: Path, tmp_path: Path
) -> None:
    code = "import os; from llem_slurm import Slurm; print(Slurm().here(os.environ).whole_machine)"
    python = program(tmp_path / "python", f"{sys.executable} -c '{code}' > $folder/alone")
    slurm = Slurm({"python": python})
    (ticket,) = submitted(slurm, plan_of(folder, 1, alone=True))
    wait_for_phases(slurm, [ticket], ["ended"])
    assert (folder / "alone").read_text() == "True\n"


def test_what_is_rendered_is_what_slurm_is_given(
    on_slurm: Loopback, folder: Path, tmp_path: Path
) -> None:
    slurm = Slurm({"python": program(tmp_path / "python", "sleep 60"), "at_most": 1})
    plan = plan_of(folder)
    made = slurm.render(plan, [1, 3])
    assert not list(folder.iterdir())
    victim = tmp_path / "victim"
    victim.write_text("of the user")
    (path,) = made.files
    (folder / path).parent.mkdir(parents=True)
    (folder / path).symlink_to(victim)  # of another user, in a shared folder
    (ticket,) = slurm.submit(plan, [1, 3])
    assert victim.read_text() == "of the user"
    assert {p: (folder / p).read_text() for p in made.files} == made.files
    (script,) = made.files.values()
    assert (
        on_slurm.ask("scontrol", "write", "batch_script", f"{ticket.job}_1", "-") == script.strip()
    )


def test_a_waiting_a_running_and_a_cancelled_shard_are_told_apart(
    on_slurm: Loopback, folder: Path, tmp_path: Path
) -> None:
    slurm = Slurm({"python": program(tmp_path / "python", "sleep 300"), "at_most": 2})
    tickets = submitted(slurm, plan_of(folder))
    states = wait_for_phases(slurm, tickets, ["running", "running", "waiting"])
    assert states[1].machine in ("n1", "n2")
    assert states[3].reason == "JobArrayTaskLimit"
    on_slurm.ask("scancel", f"{tickets[0].job}_1")
    states = wait_for_phases(slurm, tickets, ["ended", "running", "running"])
    assert states[1].reason is not None
    assert "cancelled" in states[1].reason
    slurm.cancel(tickets)
    states = wait_for_phases(slurm, tickets, ["ended"] * 3)
    assert all("cancelled" in str(state.reason) for state in states.values())
    slurm.cancel(tickets)  # again, which is no error


def test_a_shard_is_started_again_when_it_asks(
    on_slurm: Loopback, folder: Path, tmp_path: Path
) -> None:
    code = (
        "import os, signal, time; from llem_slurm import Slurm; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); s = Slurm(); p = s.here(os.environ); "
        "print(p.n_restarts, flush=True); p.n_restarts or print(s.again(p), flush=True)"
    )
    python = program(tmp_path / "python", f"exec {sys.executable} -c '{code}' >> $folder/seen")
    slurm = Slurm({"python": python})
    tickets = submitted(slurm, plan_of(folder, 1))
    wait_for(lambda: (folder / "seen").exists() and "True" in (folder / "seen").read_text())
    states = wait_for_phases(slurm, tickets, ["ended"], on_slurm.hurry)
    assert (folder / "seen").read_text() == "0\nTrue\n1\n"
    assert states[1].n_restarts == 1


def test_a_shard_that_a_node_cannot_run_is_started_on_another_one(
    on_slurm: Loopback, folder: Path, tmp_path: Path
) -> None:
    code = (
        "import os, signal, time; from llem_slurm import Slurm; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); s = Slurm(); p = s.here(os.environ); "
        "print(p.machine, flush=True); p.n_restarts or s.again(p, elsewhere=True)"
    )
    python = program(tmp_path / "python", f"exec {sys.executable} -c '{code}' >> $folder/seen")
    tickets = submitted(Slurm({"python": python}), plan_of(folder, 1))
    wait_for(lambda: on_slurm.ask("squeue", "-h", "-o", "%x", check=False) == "n1")
    wait_for_phases(Slurm({}), tickets, ["ended"], on_slurm.hurry)
    assert (folder / "seen").read_text() == "n1\nn2\n"


def test_a_shard_that_slurm_has_forgotten_has_ended_and_an_empty_list_says_nothing(
    on_slurm: Loopback, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = Ticket(cluster="slurm", job="99999", shards=(1,), submitted_at="")
    assert Slurm({}).states([absent])[1].phase == "ended"
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "squeue", "true")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    assert Slurm({}).states([absent])[1].phase == "unknown"
    program(tmp_path / "bin" / "squeue", "echo slurm_load_jobs error: Socket timed out >&2; exit 1")
    state = Slurm({}).states([absent])[1]
    assert state.phase == "unknown"
    assert "Socket timed out" in str(state.reason)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"partition": "nope"},
            ["clusters.slurm.partition = nope", "no such partition", "offers: p"],
        ),
        ({"constraint": "fast"}, ["clusters.slurm.constraint = fast", "no node has this feature"]),
        ({"gpu_type": "a100", "gpus": 1}, ["clusters.slurm.gpu_type = a100"]),
        ({"gpus": 9}, ["clusters.slurm.gpus = 9"]),
        ({"mem": "900G"}, ["clusters.slurm.mem = 900G"]),
        ({"excluded_nodes": ["n77"]}, ["clusters.slurm.excluded_nodes = n77"]),
        ({"extra": ["--no-such-option"]}, ["clusters.slurm.extra = --no-such-option"]),
        ({"max_array": 5000}, ["clusters.slurm.max_array = 5000"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_refusal_names_the_setting_and_nothing_is_queued(
    on_slurm: Loopback, folder: Path, options: Mapping[str, object], words: list[str]
) -> None:
    plan = plan_of(folder, 2000 if "max_array" in options else 2)
    with pytest.raises(SubmissionRefused) as caught:
        submitted(Slurm({"python": "/bin/true", **options}), plan)
    message = str(caught.value)
    assert all(word in message for word in words), message
    _sentence, original = message.splitlines()
    assert original.startswith("Slurm says: sbatch: "), message
    assert on_slurm.ask("squeue", "-h") == ""


def test_a_held_shard_says_what_releases_it(
    on_slurm: Loopback, folder: Path, tmp_path: Path
) -> None:
    slurm = Slurm({"python": program(tmp_path / "python", "sleep 60")})
    (ticket,) = submitted(slurm, plan_of(folder, 1))
    wait_for_phases(slurm, [ticket], ["running"])
    on_slurm.ask("scontrol", "requeuehold", f"{ticket.job}_1")
    states = wait_for_phases(slurm, [ticket], ["waiting"])
    assert f"until `scontrol release {ticket.job}_1`" in str(states[1].reason)


def test_an_array_above_the_limit_is_divided(on_slurm: Loopback, folder: Path) -> None:
    slurm = Slurm({"python": "/bin/true"})
    plan = plan_of(folder, 1005)
    tickets = slurm.submit(plan, [1, 1000, 1001, 1005])
    assert [ticket.shards for ticket in tickets] == [(1, 1000), (1001, 1005)]
    assert tickets[1].job.endswith("+1000")
    states = wait_for_phases(slurm, list(tickets), ["ended"] * 4)
    assert set(states) == {1, 1000, 1001, 1005}


def lost(path: Path, before: str, after: str) -> None:
    """Put a program in place of sbatch that does something before and after it."""
    path.parent.mkdir(exist_ok=True)
    program(path, f"{before}\n{after}")


def test_a_lost_answer_makes_one_array(
    on_slurm: Loopback, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm = Slurm({"python": "/bin/true"})
    first = submitted(slurm, plan_of(folder, 2))  # of the same name, not to be taken for the new
    lost(
        tmp_path / "bin" / "sbatch",
        '/usr/bin/sbatch "$@" > /dev/null',
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation'"
        " >&2; exit 1",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    second = submitted(slurm, plan_of(folder, 2))
    jobs = set(on_slurm.ask("squeue", "-h", "-t", "all", "--name", f"llem-{folder.name}", "-O",
                            "ArrayJobID").split())  # fmt: skip
    assert jobs == {first[0].job, second[0].job}
    assert len(jobs) == 2


def test_an_answer_that_is_lost_for_good_is_unknown_and_not_refused(
    on_slurm: Loopback, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llem_slurm import _submission

    text = "slurm error: Unable to contact slurm controller (connect failure)"
    for name in ("sbatch", "squeue"):
        lost(tmp_path / "bin" / name, "", f"echo '{text}' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    script = folder / "batch.sh"
    script.write_text("#!/bin/bash\n")
    waits: list[float] = []
    with pytest.raises(SubmissionUnknown, match="squeue --name=llem-x"):
        _submission.submit_array(script, "llem-x", Slurm({}).settings, sleep=waits.append)
    assert waits == [1.0, 30.0, 120.0]


def test_a_machine_without_a_configuration_of_slurm_says_so(
    on_slurm: Loopback, unconfigured: subprocess.Popen[str]
) -> None:
    _, said = unconfigured.communicate(timeout=200)
    assert "SubmissionRefused: this machine has no configuration of a Slurm" in said


def test_nothing_of_slurm_is_left_when_its_folder_is_gone(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from slurm.loopback import started\n"
        "with started(nodes=1) as slurm:\n"
        "    print(slurm.folder, flush=True)\n"
        "    raise SystemExit(3)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    folder = done.stdout.strip()
    assert folder
    assert not Path(folder).exists()
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert folder not in lines
