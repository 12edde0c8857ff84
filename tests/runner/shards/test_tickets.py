"""The tickets of a study in a folder in which other people may write: no link is followed."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.shard_studies import divided
from fakes.willing_cluster import Willing, ticket

from llem_runner import StudyError
from llem_runner._storage.tickets import add_tickets, read_tickets
from llem_runner.clusters import (
    Ticket,
    cancel_study,
    cluster_states,
    resubmit_shards,
    submit_shards,
)
from llem_runner.shards import read_plan


@pytest.fixture(params=["cluster", "cluster/willing", "cluster/another"])
def linked(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A divided study with a link in place of a folder, and the folder where that leads."""
    folder = divided(tmp_path / "results").folder
    victim = tmp_path / "home"
    own = victim if request.param != "cluster" else victim / "willing"
    own.mkdir(parents=True)
    (folder / request.param).parent.mkdir(exist_ok=True)
    (folder / request.param).symlink_to(victim)
    return folder, own


def test_a_linked_folder_is_neither_read_nor_written_and_no_shard_is_submitted(
    linked: tuple[Path, Path],
) -> None:
    folder, own = linked
    cluster = Willing()
    plan = read_plan(folder)
    for ask in (
        lambda: submit_shards(plan, [1], cluster),
        lambda: resubmit_shards(folder, [1], cluster=cluster),
        lambda: cluster_states(folder, cluster),
        lambda: cancel_study(folder, cluster=cluster),
        lambda: read_tickets(folder),
    ):
        with pytest.raises(StudyError, match="expected a folder, found a link, which is not foll"):
            ask()
    assert cluster.asked == []
    assert list(own.iterdir()) == []


@pytest.mark.parametrize("link", ["cluster", "cluster/willing"])
def test_tickets_are_not_written_through_a_link(tmp_path: Path, link: str) -> None:
    victim = tmp_path / "home"
    victim.mkdir()
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(victim)
    with pytest.raises(StudyError, match="found a link, which is not followed"):
        add_tickets(tmp_path, [ticket(1)])
    assert list(victim.iterdir()) == []


def test_tickets_are_kept_and_a_linked_file_is_refused(tmp_path: Path) -> None:
    assert read_tickets(tmp_path) == ()
    add_tickets(tmp_path, [ticket(1, 2)])
    add_tickets(tmp_path, [ticket(1, 2)])
    assert read_tickets(tmp_path) == (ticket(1, 2),)
    file = tmp_path / "cluster" / "willing" / "tickets.json"
    file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(tmp_path / "elsewhere.json")
    for ask in (lambda: read_tickets(tmp_path), lambda: add_tickets(tmp_path, [ticket(3)])):
        with pytest.raises(StudyError, match="link"):
            ask()
    with pytest.raises(StudyError, match="expected the name of a cluster"):
        add_tickets(tmp_path, [Ticket(cluster="../x", job="7", shards=(), submitted_at="")])
