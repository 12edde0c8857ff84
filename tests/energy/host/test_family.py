"""The CPU time of a run is that of all its processes, and of no other process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.burners import Burner, burner

from llem_energy._host.family import Family, cpu_time_between_s, refreshed
from llem_energy._host.host_load import load_between
from llem_energy._host.host_reading import n_usable_cpus, read_host, since_boot_s
from llem_energy._host.processes import tick_s

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.usefixtures("real_load"),
]

BURN_S = 0.3


def family_time_s(family: Family, process: Burner) -> float:
    """Return what a family used besides this process, while another process burnt `BURN_S`."""
    started_s = since_boot_s()
    before, own_before_s = family.read(), time.process_time()
    process.burn(BURN_S)
    after, own_after_s = family.read(), time.process_time()
    return cpu_time_between_s(before, after, started_s) - (own_after_s - own_before_s)


def near(seconds: float) -> object:
    """Return what equals a CPU time, apart from ticks of the kernel and the waiting of a burner."""
    return pytest.approx(seconds, abs=3 * tick_s() + 0.05)


@pytest.mark.parametrize("session", [False, True])
def test_the_time_of_a_child_process_counts(tmp_path: Path, session: bool) -> None:
    with burner(tmp_path / "child", session=session) as child:
        assert family_time_s(Family(), child) == near(BURN_S)


def test_the_time_of_an_unrelated_process_does_not_count(tmp_path: Path) -> None:
    with burner(tmp_path / "other", orphan=True) as other:
        assert family_time_s(Family(), other) == near(0.0)


def test_a_process_with_the_tag_of_the_run_counts_after_its_parent_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLEM_RUN_TAG", "this run")
    family = Family()
    with burner(tmp_path / "tagged", orphan=True) as tagged:
        assert tagged.pid in family.pids()
        assert family_time_s(family, tagged) == near(BURN_S)
    other = {**os.environ, "LLEM_RUN_TAG": "another run"}
    with burner(tmp_path / "other", orphan=True, env=other) as process:
        assert process.pid not in family.pids()


def test_a_process_that_the_backend_names_counts_with_its_children(tmp_path: Path) -> None:
    with burner(tmp_path / "server", orphan=True) as server:
        named = Family(lambda: [server.pid])
        assert server.pid in named.pids()
        assert family_time_s(named, server) == near(BURN_S)


def test_the_earlier_time_of_a_process_that_is_named_late_does_not_count(tmp_path: Path) -> None:
    with burner(tmp_path / "server", orphan=True) as server:
        server.burn(1.0)
        names: list[int] = []
        family = Family(lambda: names)
        started_s = since_boot_s()
        before = family.read()
        names.append(server.pid)
        assert cpu_time_between_s(before, family.read(), started_s) < 0.5


def test_a_process_that_is_gone_is_not_an_error() -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    family = Family(lambda: [gone.pid])
    assert os.getpid() in family.members()
    assert gone.pid not in family.members()


def test_the_time_of_a_child_that_has_ended_counts_once(tmp_path: Path) -> None:
    family = Family()
    with burner(tmp_path / "child") as child:
        child.burn(BURN_S)
        started_s = since_boot_s()
        before, own_before_s = family.read(), time.process_time()
        child.burn(BURN_S)
    # It was killed and collected: its time is now part of this process's account of its children.
    after, own_after_s = family.read(), time.process_time()
    used_s = cpu_time_between_s(before, after, started_s) - (own_after_s - own_before_s)
    assert used_s == near(BURN_S)


def test_an_orphan_that_has_ended_does_not_make_the_time_negative(tmp_path: Path) -> None:
    with burner(tmp_path / "server", orphan=True) as server:
        family = Family(lambda: [server.pid])
        server.burn(1.0)
        started_s = since_boot_s()
        before = family.read()
    assert 0 <= cpu_time_between_s(before, family.read(), started_s) < 0.5


def test_a_refreshed_reading_has_the_same_processes_and_their_new_times(tmp_path: Path) -> None:
    with burner(tmp_path / "child") as child:
        before = Family().read()
        total_s = child.burn(BURN_S)
        after = refreshed(before)
        assert after.members.keys() == before.members.keys()
        (process,) = [p for p in after.members.values() if p.pid == child.pid]
        assert process.own_s >= total_s


def test_other_load_has_the_time_of_other_processes_and_not_that_of_the_run(
    tmp_path: Path,
) -> None:
    family = Family()
    with burner(tmp_path / "child") as child, burner(tmp_path / "other", orphan=True) as other:
        before = read_host(family)
        child.start(BURN_S)
        other.start(2 * BURN_S)
        child.finish()
        other.finish()
        after = read_host(family)
    load = load_between(before, after)
    assert load.n_cpus == n_usable_cpus()
    assert load.other_cores is not None
    assert load.other_usable_cores is not None
    # The kernel counts the time of a CPU in ticks, so a part of a tick may be missing on each.
    slack_s = 2 * tick_s() * (os.cpu_count() or 1)
    assert load.other_cores * load.duration_s >= 2 * BURN_S - slack_s
    assert load.family_cpu_s >= BURN_S
    # No time is counted twice. The clock and the kernel's account are not read at the same instant,
    # so the sum is compared with the account.
    assert before.every_cpu is not None
    assert after.every_cpu is not None
    busy_s = after.every_cpu.busy_s - before.every_cpu.busy_s
    assert load.other_cores * load.duration_s + load.family_cpu_s <= busy_s + slack_s


def test_without_the_kernels_account_the_load_is_unknown(
    quiet_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLEM_PROC", str(quiet_machine))
    family = Family()
    before = read_host(family)
    end_s = time.process_time() + 0.1
    while time.process_time() < end_s:
        pass
    load = load_between(before, read_host(family))
    assert load.family_cpu_s >= 0.1
    assert (load.other_cores, load.other_usable_cores, load.stolen_s) == (None, None, None)
    assert (load.cpu_pressure_s, load.cpu_limit_s, load.swapped_in_bytes) == (None, None, None)
