"""Cycles and points that are added to a divided study: as further shards, or refused with nothing changed."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes.shard_studies import divided, shuffled
from fakes.studies import study
from report.comparison.folders import KnownMeter

from llem_config import StudyConfig
from llem_report import analyse, archive_study, write_report
from llem_runner import (
    StudyError,
    StudyLocked,
    read_manifest,
    read_study,
    read_study_result,
    verify_study,
)
from llem_runner._storage.attempt_process import AttemptProcess
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.lock import hold
from llem_runner.executors import InlineExecutor
from llem_runner.shards import (
    Resumed,
    ShardPlan,
    add_cycles,
    add_points,
    divide_study,
    open_shards,
    plan_shards,
    read_plan,
    resume_shards,
    run_shard,
)

NEW = 12
"""`n` of the point that is added to ten others."""


def run_all(folder: Path, *, factor: float = 1.0, n_points: int = 5) -> Resumed:
    meter = KnownMeter(7, n_points, factor=factor)
    return resume_shards(folder, executor=InlineExecutor(), measure=meter)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten points in three cycles of two shards each, every run with a result."""
    folder = divided(tmp_path_factory.mktemp("results")).folder
    run_all(folder)
    return folder


@pytest.fixture
def folder(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "study"))


def wanted(ns: Sequence[int] = (*range(1, 11), NEW), **execution: Any) -> StudyConfig:
    return study(ns, **{"n_cycles": 3, "cycle_order": "shuffled", **execution})


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_added_cycles_are_the_shards_that_a_longer_study_would_have_had(folder: Path) -> None:
    before = content_of(folder)
    added = add_cycles(folder, 5)
    assert added.numbers == (7, 8, 9, 10)
    assert added.plan == read_plan(folder)
    assert added.plan.shards == plan_shards(shuffled(n_cycles=5), n=2)
    after = content_of(folder)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"shards/plan.json", "study_resolved.json"}
    old, new = (json.loads(each["shards/plan.json"]) for each in (before, after))
    assert new["shard_sha256"][:6] == old["shard_sha256"]
    assert (len(new["shard_sha256"]), new["points"], new["looks"]) == (10, old["points"], [3])
    assert open_shards(folder) == (7, 8, 9, 10)
    result = run_all(folder).result
    assert (result.status, result.summary.completed) == ("completed", 50)
    assert result.measurement_protocol.n_cycles == 5
    assert verify_study(folder, files_only=True).verdict == "intact"


def test_cycles_that_are_added_after_a_look_widen_the_intervals(folder: Path) -> None:
    add_cycles(folder, 4)
    comparisons = run_all(folder).result.summary.comparisons
    assert comparisons is not None
    assert any("after the results of 3 cycles could be seen" in c for c in comparisons.caveats)
    assert add_cycles(folder, 4).numbers == ()
    assert read_manifest(folder).looks == (3,)


def test_cycles_of_a_study_without_results_are_no_look(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    added = add_cycles(plan.folder, 4)
    assert (added.numbers, added.warnings) == ((7, 8), ())
    assert read_manifest(plan.folder).looks == ()


def test_nothing_is_written_if_the_caller_only_asks(folder: Path) -> None:
    before = content_of(folder)
    asked = add_cycles(folder, 5, write=False)
    assert content_of(folder) == before
    assert add_cycles(folder, 5).plan == asked.plan


def test_new_points_run_with_two_anchors_in_shards_of_their_own(folder: Path) -> None:
    before = content_of(folder)
    added = add_points(folder, wanted())
    assert added.numbers == (7, 8, 9)
    assert [(s.cycle, len(s.runs)) for s in added.plan.shards[6:]] == [(4, 3), (5, 3), (6, 3)]
    after = content_of(folder)
    assert {n for n in before if after[n] != before[n]} == {
        "shards/plan.json",
        "study_resolved.json",
    }
    assert run_all(folder, n_points=3).result.summary.completed == 39
    manifest, grown = read_manifest(folder), read_study(folder)
    n = {h: c.n for h, c in zip(grown.config_hashes, grown.experiments, strict=True)}
    (extension,) = manifest.extensions
    assert (extension.first_cycle, extension.last_cycle, extension.is_open) == (4, 6, False)
    assert [n[point] for point in extension.anchors] == [1, 10]
    runs = Counter(n[e.config_hash] for e in manifest.entries if e.cycle > 3)
    assert runs == {1: 3, 10: 3, NEW: 3}
    assert manifest.study_design_hash == grown.study_design_hash == wanted().study_design_hash
    attempt = json.loads((folder / "shards/0007/a01/manifest.json").read_text())
    assert attempt["study_design_hash"] == grown.study_design_hash
    origin = json.loads(after["shards/plan.json"])["origin"]
    assert origin["study_design_hash"] == shuffled().study_design_hash


def test_a_warmer_second_day_does_not_shift_the_new_points(folder: Path) -> None:
    """All runs of the second day take 30 % more; the true ratio of 12 to 1 is 12."""
    add_points(folder, wanted())
    run_all(folder, factor=1.3, n_points=3)
    comparisons = read_study_result(folder).summary.comparisons
    assert comparisons is not None
    assert comparisons.reason is None
    assert comparisons.n_blocks == 9
    ratios = {point.label: point.ratio for point in comparisons.points}
    assert ratios[f"n={NEW}"] == pytest.approx(NEW, rel=0.03)
    assert ratios["n=5"] == pytest.approx(5, rel=0.03)
    (sentence,) = (c for c in comparisons.caveats if c.startswith("not all points were measured"))
    assert f"n={NEW} in cycles 4 to 6 (" in sentence


def test_a_larger_study_has_all_readers(tmp_path: Path) -> None:
    file, more = tmp_path / "study.yaml", tmp_path / "more.yaml"
    text = (
        "model: builtin:tiny-llama\npytorch: {device: cpu}\nsweep: {n: [1, 2, 3]}\nenergy: {min_window_seconds: 0}\n"
        "execution: {n_cycles: 3, config_gap_seconds: 0, cycle_gap_seconds: 0}\n"
    )
    file.write_text(text)
    more.write_text(text.replace("[1, 2, 3]", "[1, 2, 3, 5]"))
    folder = divide_study(file, output=tmp_path).folder
    run_all(folder, n_points=3)
    add_points(folder, more)
    run_all(folder, n_points=3)
    assert (folder / "extension_1.yaml").read_text() == more.read_text()
    assert read_study(folder).factors[0].levels == ("1", "2", "3", "5")
    assert verify_study(folder, files_only=True).verdict == "intact"
    assert {point.label for point in analyse(folder).points} == {"n=1", "n=2", "n=3", "n=5"}
    assert write_report(folder).is_file()
    (folder / "report.html").unlink()
    archive_study(folder, tmp_path / "a.zip")
    found = verify_study(tmp_path / "a.zip", files_only=True)
    assert found.verdict == "intact"
    names = {each.name for each in found.files}
    assert {"data/study/extension_1.yaml", "data/study/shards/0006/shard.json"} <= names
    # More cycles after that have all points, and the next points other anchors.
    assert add_cycles(folder, 7).numbers == (7,)
    assert run_all(folder, n_points=4).result.summary.completed == 22
    more.write_text(text.replace("[1, 2, 3]", "[8]"))
    add_points(folder, more)
    assert run_all(folder, n_points=3).result.summary.completed == 31
    first, second = read_manifest(folder).extensions
    assert not set(first.anchors) <= set(second.anchors)
    assert read_manifest(folder).looks == (3, 6, 7)
    assert verify_study(folder, files_only=True).verdict == "intact"


def test_many_new_points_are_cut_into_shards_as_large_as_the_others(folder: Path) -> None:
    added = add_points(folder, wanted(range(11, 21)), anchors=4)
    sizes = Counter(len(shard.runs) for shard in added.plan.shards[6:])
    assert sizes == {7: 6}
    comparisons = run_all(folder, n_points=7).result.summary.comparisons
    assert comparisons is not None
    assert (len(comparisons.points), comparisons.left_out) == (19, ())  # beside the best


@pytest.mark.parametrize(
    ("config", "arguments", "problem"),
    [
        (wanted(range(1, 11)), {}, "has all 10 points of the study file already"),
        (wanted(), {"anchors": 0}, "anchors: expected at least 1, found 0"),
        (wanted(), {"cycles": 2}, "cycles: expected at least 3, found 2"),
        (wanted(timeout_seconds=5.0), {}, "execution.timeout_seconds 3600.0 -> 5.0"),
    ],
    ids=["no new point", "no anchor", "two cycles", "another timeout"],
)
def test_points_that_would_not_be_comparable_are_refused_and_nothing_is_changed(
    folder: Path, config: StudyConfig, arguments: dict[str, Any], problem: str
) -> None:
    before = content_of(folder)
    with pytest.raises(StudyError) as caught:
        add_points(folder, config, **arguments)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert content_of(folder) == before


def test_fewer_cycles_and_another_study_are_refused_and_nothing_is_changed(folder: Path) -> None:
    before = content_of(folder)
    with pytest.raises(StudyError, match=r"cycles: expected at least 3 .*found 2; cycles can be"):
        add_cycles(folder, 2)
    with pytest.raises(StudyError, match="point only requested: n=12"):
        add_cycles(folder, 5, config=wanted())
    assert content_of(folder) == before
    assert add_cycles(folder, config=wanted(range(1, 11), n_cycles=4)).numbers == (7, 8)


def test_another_version_of_llem_is_refused(folder: Path) -> None:
    plan = json.loads((folder / "shards/plan.json").read_text())
    plan["origin"]["versions"]["llem-energy"] = "0.0.1"
    (folder / "shards/plan.json").write_text(json.dumps(plan))
    before = content_of(folder)
    for add in (partial(add_cycles, folder, 5), partial(add_points, folder, wanted())):
        with pytest.raises(StudyError, match=r"llem-energy: the folder was started with 0\.0\.1"):
            add()
    assert content_of(folder) == before


def test_an_unfinished_study_gets_cycles_but_no_points(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    run_shard(plan.folder, 1, executor=InlineExecutor(), measure=KnownMeter(1, 5))
    with pytest.raises(StudyError, match="is not finished: 25 of 30 runs are open"):
        add_points(plan.folder, wanted())
    assert add_cycles(plan.folder, 4).numbers == (7, 8)


@pytest.mark.parametrize("is_here", [True, False], ids=["here", "elsewhere"])
def test_a_study_that_runs_or_may_run_is_refused(folder: Path, is_here: bool) -> None:
    path = folder / "shards/0002/a01/attempt.json"
    record = json.loads(path.read_text())
    this = json.loads(json.dumps(record["process"]))
    this |= {name: getattr(AttemptProcess.this(), name) for name in this}
    this |= {} if is_here else {"boot_id": "another", "host": "another"}
    path.write_text(json.dumps(record | {"state": "running", "ended_at": None, "process": this}))
    before = content_of(folder)
    expected = r"is running \(shard 2, process" if is_here else r"may be running \(shard 2, process"
    for add in (partial(add_cycles, folder, 5), partial(add_points, folder, wanted())):
        with pytest.raises(StudyError, match=expected) as caught:
            add()
        assert "\n" not in str(caught.value)
    assert content_of(folder) == before
    assert add_cycles(folder, 5, even_if_running=True).numbers == (7, 8, 9, 10)


def test_two_processes_do_not_add_at_the_same_time(folder: Path) -> None:
    before = content_of(folder)
    adding = f"another command is adding to {folder} (user "
    with hold(folder / ".lock", str(folder)), pytest.raises(StudyLocked) as caught:
        add_cycles(folder, 5)
    assert str(caught.value).startswith(adding)
    assert content_of(folder) == before


def test_an_earlier_plan_without_digests_gets_no_digest_of_only_some_shards(folder: Path) -> None:
    plan = json.loads((folder / "shards/plan.json").read_text())
    for name in ("looks", "extensions"):
        del plan[name]
    (folder / "shards/plan.json").write_text(
        json.dumps(plan | {"schema_version": 1, "shard_sha256": []})
    )
    add_cycles(folder, 4)
    grown = DividedFolder(folder).read_plan()
    assert (grown.schema_version, grown.shard_sha256, len(grown.shards)) == (2, (), 8)
    assert run_all(folder).result.status == "completed"


def test_the_folder_of_a_shard_that_is_not_in_the_plan_is_no_shard(folder: Path) -> None:
    shutil.copytree(folder / "shards/0001", folder / "shards/0007")
    with pytest.raises(StudyError, match="expected 1 to 6, because the study has 6 shards, found"):
        run_shard(folder, 7, executor=InlineExecutor(), measure=KnownMeter(1, 5))
    with pytest.raises(
        StudyError, match=r"expected no runs, because .* has no shard 7, found attem"
    ):
        add_cycles(folder, 4)
    assert len(read_plan(folder).shards) == 6


def test_a_plan_cannot_name_a_file_outside_of_its_folder(folder: Path) -> None:
    add_points(folder, wanted())
    plan = json.loads((folder / "shards/plan.json").read_text())
    plan["extensions"][0]["study_file"] = "../../etc/passwd"
    (folder / "shards/plan.json").write_text(json.dumps(plan))
    with pytest.raises(StudyError, match=r"plan\.json is damaged: extensions\[0\]\.study_file"):
        read_manifest(folder)


def test_a_study_that_is_not_divided_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"found no shards/plan\.json"):
        add_cycles(tmp_path, 5)
    assert list(tmp_path.iterdir()) == []


def test_the_plan_of_a_larger_study_is_what_a_cluster_sees(folder: Path) -> None:
    plan = json.loads((folder / "shards/plan.json").read_text())
    (folder / "shards/plan.json").write_text(json.dumps(plan | {"seconds_per_shard": 50.0}))
    added = add_points(folder, wanted(range(11, 18)), write=False)  # nine runs in a shard, not five
    assert isinstance(added.plan, ShardPlan)
    assert added.plan.seconds_per_shard == pytest.approx(90.0)
    assert added.plan.needs.whole_machine
