"""The lowest memory limit of the groups that a process is in counts."""

from __future__ import annotations

from pathlib import Path

from llem_energy._host.control_groups import group_limit_bytes
from llem_energy._machine.device_memory import host_memory_bytes
from llem_energy._machine.environment import installed_memory_bytes

NO_LIMIT_V1 = 9223372036854771712


def process(folder: Path, cgroup: str, *mounts: str) -> Path:
    """Return a folder with the files of a process in these groups."""
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text("".join(f"{line}\n" for line in mounts))
    return folder


def mount(kind: str, point: Path, root: str = "/", options: str = "rw") -> str:
    escaped = str(point).replace(" ", r"\040")
    return f"30 23 0:26 {root} {escaped} rw,nosuid shared:9 - {kind} cgroup {options}"


def limit(point: Path, group: str, text: str, name: str = "memory.max") -> None:
    folder = point / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_the_own_group_and_every_group_above_it_count(tmp_path: Path) -> None:
    point = tmp_path / "with space"
    me = process(tmp_path, "0::/slurm/job_7/step_0\n", mount("cgroup2", point))
    limit(point, "slurm/job_7/step_0", "max\n")
    limit(point, "slurm/job_7", "8000\n")
    limit(point, "slurm", "9000\n")
    limit(point, "slurm/job_8", "10\n")  # of another job
    assert group_limit_bytes(me) == 8000
    limit(point, "slurm", "7000\n")
    assert group_limit_bytes(me) == 7000
    limit(point, "slurm/job_7/step_0", "6000\n")
    assert group_limit_bytes(me) == 6000


def test_a_limit_of_version_1_counts(tmp_path: Path) -> None:
    name = "memory.limit_in_bytes"
    memory, processor = tmp_path / "memory", tmp_path / "cpu"
    me = process(
        tmp_path,
        "12:cpu,cpuacct:/a\n9:memory:/docker/0123\n1:name=systemd:/docker/0123\n",
        mount("cgroup", processor, options="rw,cpu,cpuacct"),
        mount("cgroup", memory, options="rw,memory"),
    )
    limit(memory, "docker/0123", "5000\n", name)
    limit(memory, "docker", f"{NO_LIMIT_V1}\n", name)
    limit(processor, "docker/0123", "10\n", name)
    assert group_limit_bytes(me) == 5000


def test_in_a_container_the_visible_root_is_its_own_group(tmp_path: Path) -> None:
    point = tmp_path / "groups"
    limit(point, "", "4000\n")
    for cgroup, root in (("0::/\n", "/"), ("0::/docker/01\n", "/docker/01"), ("0::/a/b\n", "/")):
        assert group_limit_bytes(process(tmp_path, cgroup, mount("cgroup2", point, root))) == 4000


def test_without_groups_or_limits_there_is_no_limit(tmp_path: Path) -> None:
    assert group_limit_bytes(tmp_path / "absent") is None
    assert group_limit_bytes(process(tmp_path, "", "damaged", "- x")) is None
    limit(tmp_path / "groups", "", "max\n")
    me = process(tmp_path, "0::/\n", mount("cgroup2", tmp_path / "groups"))
    assert group_limit_bytes(me) is None


def test_the_memory_of_this_machine_is_never_more_than_installed() -> None:
    installed, usable = installed_memory_bytes(), host_memory_bytes()
    assert installed is not None
    assert usable is not None
    assert 0 < usable <= installed
