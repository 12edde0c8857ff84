"""Files of which the system does not tell whether they are there: no command takes them for missing ones."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.shard_studies import divided
from fakes.willing_cluster import Willing, ticket
from report.comparison.folders import KnownMeter

from llem_runner import (
    StudyError,
    is_running,
    list_studies,
    read_manifest,
    read_study_result,
    resume_study,
    verify_study,
)
from llem_runner._storage.node_energy import NodeEnergyRecord, add_node_energy, read_node_energy
from llem_runner._storage.tickets import add_tickets, read_tickets
from llem_runner.clusters import cluster_states, resubmit_shards
from llem_runner.executors import InlineExecutor
from llem_runner.shards import (
    add_cycles,
    merge_study,
    open_shards,
    read_plan,
    resume_shards,
    run_shard,
)

STRANGER = 65534  # a user without rights


@pytest.fixture
def folder(open_folder: Path) -> Path:
    folder = divided(open_folder, 4, 2, 1).folder
    resume_shards(folder, executor=InlineExecutor(), measure=KnownMeter(1, 4))
    for path in folder.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)  # a command could write
    folder.chmod(0o777)
    return folder


@contextlib.contextmanager
def closed(path: Path) -> Iterator[None]:
    """Close a folder for the time of a test, in which root is another user."""
    path.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(STRANGER)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        path.chmod(0o777)


def names(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.name != ".lock")


def run_again(folder: Path) -> object:
    return run_shard(folder, 2, executor=InlineExecutor(), measure=KnownMeter(1, 4))


READERS: dict[str, Callable[[Path], object]] = {
    "manifest": read_manifest,
    "merge": merge_study,
    "running": is_running,
    "verify": lambda folder: verify_study(folder, files_only=True),
    "cycles": lambda folder: add_cycles(folder, 3),
    "open": open_shards,
    "resume": resume_shards,
    "shard": run_again,
}


@pytest.mark.parametrize("name", READERS)
def test_an_attempt_that_cannot_be_read_is_no_attempt_without_runs(folder: Path, name: str) -> None:
    before = names(folder)
    with (
        closed(folder / "shards/0002/a01"),
        pytest.raises(
            StudyError, match=r"a01/attempt\.json: cannot be read: Permission denied"
        ) as e,
    ):
        READERS[name](folder)
    assert "\n" not in str(e.value)
    assert names(folder) == before


@pytest.mark.parametrize("name", [*READERS, "undivided"])
def test_a_plan_that_cannot_be_read_does_not_make_a_study_undivided(
    folder: Path, name: str
) -> None:
    before = names(folder)
    readers = {**READERS, "undivided": resume_study}
    with (
        closed(folder / "shards"),
        pytest.raises(StudyError, match=r"shards/.*: cannot be read: Permission denied") as caught,
    ):
        readers[name](folder)
    assert "\n" not in str(caught.value)
    assert names(folder) == before


def test_tickets_that_cannot_be_read_are_neither_forgotten_nor_submitted_again(
    folder: Path,
) -> None:
    add_tickets(folder, [ticket(1, 2)])
    cluster = Willing()
    calls: list[Callable[[], object]] = [
        lambda: read_tickets(folder),
        lambda: cluster_states(folder, cluster),
        lambda: resubmit_shards(folder, [1], cluster=cluster),
        lambda: add_tickets(folder, [ticket(1)]),
    ]
    with closed(folder / "cluster/willing"):
        for call in calls:
            with pytest.raises(
                StudyError, match=r"tickets\.json: cannot be read: Permission denied"
            ):
                call()
    assert cluster.asked == []
    assert len(read_tickets(folder)) == 1


@pytest.mark.parametrize("read", [read_manifest, read_study_result, merge_study, resume_shards])
def test_a_closed_study_folder_is_not_one_without_a_study(
    folder: Path, read: Callable[[Path], object]
) -> None:
    merge_study(folder)
    before = names(folder)
    with closed(folder), pytest.raises(StudyError, match="cannot be read: Permission denied") as e:
        read(folder)
    assert "not the folder of a study" not in str(e.value) and "\n" not in str(e.value)
    assert names(folder) == before


def test_a_closed_folder_is_no_study_of_a_list(folder: Path) -> None:
    with closed(folder):
        assert list_studies(folder.parent) == ()
    assert [listed.folder for listed in list_studies(folder.parent)] == [str(folder)]


def test_energy_of_machines_that_cannot_be_read_is_not_overwritten(folder: Path) -> None:
    first, second = (
        NodeEnergyRecord(
            shard=1,
            attempt=n,
            cluster="willing",
            job="1",
            machine="m",
            whole_machine=True,
            energy_j=1.0,
        )
        for n in (1, 2)
    )
    add_node_energy(folder, [first])
    file = folder / "cluster/willing/node_energy.json"
    for path in (folder / "cluster", file.parent):
        path.chmod(0o777)
    with (
        closed(file),
        pytest.raises(StudyError, match=r"node_energy\.json: cannot be read: Permission denied"),
    ):
        add_node_energy(folder, [second])
    assert read_node_energy(folder) == (first,)
    add_node_energy(folder, [second])
    assert read_node_energy(folder) == (first, second)


def test_a_merge_of_a_folder_without_a_study_is_a_sentence(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(StudyError, match=r"found no shards/plan\.json"):
            merge_study(folder)


def test_missing_files_are_still_missing(folder: Path) -> None:
    (folder / "shards/0002/a01/attempt.json").unlink()
    assert read_manifest(folder).totals.completed == 8
    (folder / "shards/plan.json").unlink()
    with pytest.raises(StudyError, match=r"found no shards/plan\.json"):
        read_plan(folder)
