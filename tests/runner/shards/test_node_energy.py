"""The energy of whole machines beside that of runs: read once, kept in a file, in no figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.results import make_result
from fakes.shard_studies import SECONDS, divided, on_a_node
from fakes.studies import experiment

from llem_runner import StudyError, changed_files, read_manifest, read_study_result
from llem_runner._analysis.node_energy import node_energies
from llem_runner._executors.inline import InlineExecutor
from llem_runner._storage.atomic_files import encode_json
from llem_runner._storage.node_energy import NodeEnergyFile, NodeEnergyRecord, add_node_energy
from llem_runner.clusters import (
    JobStart,
    NodeMeter,
    NodeReading,
    Place,
    ask_node_energy,
    damaged_node_energy,
)
from llem_runner.records import ManifestEntry, NodeEnergy
from llem_runner.shards import merge_study, run_shard

TIMES = {"started_at": "2026-02-02T02:40:00+00:00", "ended_at": "2026-02-02T02:41:40+00:00"}

RECORD = NodeEnergyRecord(
    shard=1,
    attempt=1,
    cluster="scripted",
    job="7_1",
    machine="n1",
    whole_machine=True,
    energy_j=9.0,
)


class PlainCluster:
    """Starts a task on a whole machine."""

    def __init__(
        self,
        *answers: NodeReading,
        whole_machine: bool = True,
        job: str = "7_1",
        cluster: str = "scripted",
    ) -> None:
        self.answers = list(answers)
        self.asked: list[JobStart] = []
        self._place = Place(
            cluster=cluster, job=job, machine="n1", whole_machine=whole_machine, n_restarts=0
        )

    def here(self, environment: Mapping[str, str]) -> Place:
        del environment
        return self._place

    def again(self, place: Place, *, elsewhere: bool = False) -> bool:
        del place, elsewhere
        return False


class ScriptedCluster(PlainCluster):
    """Has scripted answers about the joules."""

    def node_energy(self, starts: Sequence[JobStart]) -> Sequence[NodeReading]:
        self.asked += starts
        return [self.answers.pop(0) for _ in starts]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS, "0")


def made(folder: Path, cluster: Any, *, n_shards: int = 1) -> Path:
    """Return a study of which each shard has run once as a task of the cluster."""
    plan = divided(folder, 3, n_shards, 1)
    for number in range(1, n_shards + 1):
        run_shard(
            plan.folder, number, cluster=cluster, measure=on_a_node, executor=InlineExecutor()
        )
    return plan.folder


def reading(energy_j: float | None = 600.0, **fields: Any) -> NodeReading:
    return NodeReading(energy_j=energy_j, meter="ipmi", covers="machine", **TIMES | fields)


def test_the_last_task_asks_and_what_is_final_is_not_asked_again(tmp_path: Path) -> None:
    cluster = ScriptedCluster(reading(None, reason="running", is_final=False), reading())
    folder = made(tmp_path, cluster)
    assert isinstance(cluster, NodeMeter)
    assert len(cluster.asked) == 1
    assert read_study_result(folder).summary.node_energy == ()
    assert ask_node_energy(folder, cluster).n_new == 1  # type: ignore[arg-type]
    assert ask_node_energy(folder, cluster).n_new == 0  # type: ignore[arg-type]
    assert [start.job for start in cluster.asked] == ["7_1", "7_1"]
    (node,) = merge_study(folder).summary.node_energy
    assert (node.energy_j, node.meter, node.machine, node.n_runs) == (600.0, "ipmi", "n1", 3)
    assert node.measured_j is not None and node.measured_s == 3.0
    assert node.measured_share == pytest.approx(node.measured_j / 600)
    assert node.measured_time_share == pytest.approx(0.03)


def test_joules_of_nodes_change_no_other_figure(tmp_path: Path) -> None:
    folder = made(tmp_path, ScriptedCluster(reading(None, is_final=False)))
    before = read_study_result(folder)
    ask_node_energy(folder, ScriptedCluster(reading(1e6)))  # type: ignore[arg-type]
    after = merge_study(folder)
    summary = msgspec.structs.replace(after.summary, node_energy=())
    assert msgspec.structs.replace(after, summary=summary) == before
    assert after.summary.node_energy


def test_the_same_files_give_the_same_bytes_whether_a_cluster_answers_or_not(
    tmp_path: Path,
) -> None:
    folder = made(tmp_path, ScriptedCluster(reading()))
    first = (folder / "study_result.json").read_bytes()
    assert b'"energy_j":600.0' in first.replace(b" ", b"")
    merge_study(folder)
    assert (folder / "study_result.json").read_bytes() == first


def test_a_cluster_that_raises_ends_neither_the_last_task_nor_a_merge(tmp_path: Path) -> None:
    folder = made(tmp_path, ScriptedCluster())  # it has no answer, so `pop` raises
    assert read_study_result(folder).summary.completed == 3
    asked = ask_node_energy(folder, ScriptedCluster())  # type: ignore[arg-type]
    assert asked.n_new == 0
    assert asked.open_reasons == ("the cluster scripted failed: IndexError: pop from empty list",)
    assert merge_study(folder).summary.node_energy == ()


@pytest.mark.parametrize("whole", [True, False])
def test_a_shared_machine_and_a_cluster_that_counts_nothing_have_their_reasons(
    tmp_path: Path, whole: bool
) -> None:
    folder = made(tmp_path, PlainCluster(whole_machine=whole))
    (node,) = merge_study(folder).summary.node_energy
    expected = "the cluster does not count energy" if whole else "other jobs could use the machine"
    assert node.energy_j is None and str(node.reason).startswith(expected)


def test_one_job_of_two_shards_has_no_joules_of_one(tmp_path: Path) -> None:
    folder = made(tmp_path, ScriptedCluster(job="12"), n_shards=2)
    nodes = merge_study(folder).summary.node_energy
    assert [node.energy_j for node in nodes] == [None, None]
    assert {node.reason for node in nodes} == {
        "its job made 2 attempts, whose joules the cluster does not tell apart"
    }


@pytest.mark.parametrize("content", ["", "{", '{"records": 1}', '{"schema_version": 2}'])
def test_a_damaged_file_stops_no_merge_and_the_cluster_is_asked_again(
    tmp_path: Path, content: str
) -> None:
    folder = made(tmp_path, ScriptedCluster(reading()))
    file = folder / "cluster/scripted/node_energy.json"
    file.write_text(content)
    result = merge_study(folder)
    assert (result.summary.completed, result.summary.node_energy) == (3, ())
    (sentence,) = damaged_node_energy(folder)
    is_newer = "schema_version" in content
    problem = ": expected format 1, found 2, of a newer llem" if is_newer else " is damaged"
    assert sentence.startswith(f"{file}{problem}") and "asks the cluster again" in sentence
    assert sentence in changed_files(folder, read_manifest(folder))
    assert ask_node_energy(folder, ScriptedCluster(reading(700.0))).n_new == 1  # type: ignore[arg-type]
    assert damaged_node_energy(folder) == ()
    assert merge_study(folder).summary.node_energy[0].energy_j == 700.0


# --- folders in which other people may write


@pytest.mark.parametrize("name", ["../../../OUTSIDE", "..", "/tmp", "a/b", "", "a\n"])
def test_a_cluster_whose_name_would_leave_the_study_is_refused(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path / "a/b/c", PlainCluster())
    record = folder / "shards/0001/a01/attempt.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"cluster": name}))
    before = sorted(tmp_path.rglob("*"))
    for use in (merge_study, ask_node_energy):
        with pytest.raises(StudyError, match=r"attempt.json is damaged: cluster: expected"):
            use(folder)
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(StudyError, match="expected the name of a cluster"):
        add_node_energy(folder, [msgspec.structs.replace(RECORD, cluster=name)])
    assert sorted(tmp_path.rglob("*")) == before


def test_a_shard_of_a_cluster_with_such_a_name_does_not_begin(tmp_path: Path) -> None:
    cluster = PlainCluster(cluster="../x")
    with pytest.raises(StudyError, match=r"cluster: expected .* found '../x'"):
        made(tmp_path, cluster)
    assert not list(tmp_path.rglob("a01"))


@pytest.mark.parametrize("link", ["cluster", "cluster/scripted"])
def test_nothing_is_written_or_read_through_a_link(tmp_path: Path, link: str) -> None:
    folder = made(tmp_path / "results", ScriptedCluster(reading(is_final=False)))
    victim = tmp_path / "victim"
    own = victim if link.endswith("scripted") else victim / "scripted"
    own.mkdir(parents=True)
    (folder / link).parent.mkdir(exist_ok=True)
    (folder / link).symlink_to(victim)
    with pytest.raises(StudyError, match="found a link, which is not followed"):
        ask_node_energy(folder, ScriptedCluster(reading()))  # type: ignore[arg-type]
    assert list(own.iterdir()) == []
    (own / "node_energy.json").write_bytes(encode_json(NodeEnergyFile(records=(RECORD,))))
    assert merge_study(folder).summary.node_energy == ()
    assert damaged_node_energy(folder) == ()


# --- which joules are set beside one another

CONFIG = experiment()
GPU = {"energy_source_kind": "gpu", "energy_total_j": 100.0}


def beside(record: dict[str, Any], *results: dict[str, Any]) -> NodeEnergy:
    """Return what is shown of an attempt with these results, of 10 s each."""
    entries = [
        ManifestEntry(index=n, cycle=1, config_hash="h", label="x", shard=4, session=2)
        for n in range(1, len(results) + 1)
    ]
    made_ = {
        n: make_result(CONFIG, **{"window_s": 10.0} | each) for n, each in enumerate(results, 1)
    }
    whole: dict[str, Any] = {
        "shard": 4, "attempt": 2, "cluster": "c", "job": "7_4", "machine": "n1", "whole_machine": True,
        "energy_j": 1000.0, "meter": "ipmi", "covers": "machine",
    }  # fmt: skip
    (node,) = node_energies([NodeEnergyRecord(**whole | TIMES | record)], entries, made_)
    return node


@pytest.mark.parametrize(
    ("covers", "results", "joules", "seconds"),
    [
        ("machine", [GPU | {"energy_host_j": 50.0}, GPU], 250.0, 20.0),
        ("machine", [{"energy_total_j": None}], None, 0.0),
        ("processor", [GPU | {"energy_host_j": 50.0}, GPU], 50.0, 10.0),
        ("processor", [{"energy_source_kind": "cpu", "energy_total_j": 80.0}], 80.0, 10.0),
        ("gpus", [GPU | {"energy_host_j": 50.0}], 100.0, 10.0),
        ("gpus", [{"energy_source_kind": "cpu", "energy_total_j": 80.0}], None, 0.0),
    ],
)
def test_a_meter_is_compared_with_the_joules_of_what_it_counts(
    covers: str, results: list[dict[str, Any]], joules: float | None, seconds: float
) -> None:
    node = beside({"covers": covers}, *results)
    assert (node.measured_j, node.measured_s) == (joules, seconds)
    assert (node.measured_share is None) == (joules is None)


@pytest.mark.parametrize(
    ("energy_j", "words"),
    [
        (150.0, "the runs measured 1.33 x the joules that ipmi counted for the whole job"),
        (1000.0, None),  # 20 % of the joules in 20 % of the time
        (4000.0, "ipmi counted 4.0 x the power that the runs measured"),
        (None, None),
    ],
)
def test_meters_that_contradict_each_other_are_named(
    energy_j: float | None, words: str | None
) -> None:
    node = beside({"energy_j": energy_j}, GPU, GPU)
    assert (node.problem is None) == (words is None)
    assert str(node.problem).startswith(words or "None")


def test_no_joules_of_runs_beside_joules_of_the_machine_are_a_contradiction() -> None:
    node = beside({"covers": "processor", "energy_j": 600.0}, GPU | {"energy_host_j": 0.0})
    assert (node.measured_j, node.measured_share) == (0.0, 0.0)
    assert node.problem == (
        "the runs measured 0 J, while ipmi counted 600 J for the whole job, so one of the two meters is "
        "wrong"
    )


def test_a_record_that_cannot_be_compared_says_so() -> None:
    node = beside({"started_at": "noon"}, GPU)
    assert node.energy_j == 1000.0
    assert (node.n_runs, node.measured_j) == (0, None)
    assert str(node.problem).startswith("the cross-check failed: ValueError")
