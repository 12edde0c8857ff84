"""Points that are added to a measured study: connected by anchors, or refused with nothing changed."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.studies import TINY, only_folder, study
from report.comparison.folders import KnownMeter, make_folder

from llem_config import StudyConfig
from llem_report import analyse, archive_study
from llem_runner import (
    StudyError,
    StudyLocked,
    StudyResult,
    extend_study,
    merge_studies,
    read_manifest,
    read_study,
    read_study_result,
    resume_study,
    run_study,
    verify_study,
)
from llem_runner._storage.lock import hold
from llem_runner._study.anchors import anchor_positions
from llem_runner.executors import InlineExecutor
from llem_runner.plan import schedule

NS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("results"), 1, ns=NS, cycles=3)


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "study"))


def wanted(ns: Sequence[int] = (*NS, 6), **execution: Any) -> StudyConfig:
    return study(ns, **{"n_cycles": 3, "cycle_order": "shuffled", **execution})


def extend(folder: Path, config: Any = None, *, meter: Any = None, **arguments: Any) -> StudyResult:
    return extend_study(
        folder,
        wanted() if config is None else config,
        measure=meter or KnownMeter(5, 3),
        executor=InlineExecutor(),
        **arguments,
    )


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_new_points_and_two_anchors_run_in_new_cycles(folder: Path) -> None:
    result = extend(folder)
    assert result.status == "completed"
    manifest = read_manifest(folder)
    n = {
        h: c.n
        for h, c in zip(
            read_study(folder).config_hashes, read_study(folder).experiments, strict=True
        )
    }
    runs = Counter((n[entry.config_hash], entry.session) for entry in manifest.entries)
    assert runs == {(1, 1): 3, (2, 1): 3, (3, 1): 3, (4, 1): 3, (1, 2): 3, (4, 2): 3, (6, 2): 3}
    (extension,) = manifest.extensions
    assert (extension.first_cycle, extension.last_cycle, extension.is_open) == (4, 6, False)
    assert [n[point] for point in extension.anchors] == [1, 4]
    assert {entry.cycle for entry in manifest.entries if entry.session == 2} == {4, 5, 6}
    assert manifest.looks == (3,)


@pytest.mark.parametrize(
    ("lacking", "anchors"),
    [({}, [1, 4]), ({1: 2}, [2, 4]), ({1: 2, 4: 1}, [2, 3]), ({1: 2, 2: 2, 4: 1}, [3, 4])],
)
def test_a_point_that_lacks_runs_is_an_anchor_only_if_there_are_no_others(
    original: Path, lacking: dict[int, int], anchors: list[int]
) -> None:
    known, manifest = read_study(original), read_manifest(original)
    n = {h: c.n for h, c in zip(known.config_hashes, known.experiments, strict=True)}
    entries = []
    for entry in manifest.entries:
        has_failed = entry.cycle <= lacking.get(n[entry.config_hash], 0)
        entries.append(
            msgspec.structs.replace(entry, status="failed" if has_failed else "completed")
        )
    manifest = msgspec.structs.replace(manifest, entries=tuple(entries))
    chosen = anchor_positions(known, manifest, set(known.config_hashes), None)
    assert [known.experiments[position].n for position in chosen] == anchors


def test_hashes_and_digests_agree_after_the_extension(folder: Path) -> None:
    extend(folder)
    manifest, grown = read_manifest(folder), read_study(folder)
    assert manifest.study_design_hash == grown.study_design_hash
    assert grown.study_design_hash == wanted().study_design_hash
    assert verify_study(folder, files_only=True).verdict == "intact"
    assert [(run.config_hash, run.cycle) for run in schedule(grown)] == [
        (entry.config_hash, entry.cycle) for entry in manifest.entries
    ]
    assert resume_study(folder, executor=InlineExecutor()).summary.completed == 21


def test_a_machine_that_is_warmer_the_second_time_does_not_shift_the_new_points(
    folder: Path,
) -> None:
    """All runs of the second day take 30 % more; the true ratio of 6 to 2 is 3."""
    extend(folder, meter=KnownMeter(5, 3, factor=1.3))
    comparisons = read_study_result(folder).summary.comparisons
    assert comparisons is not None
    assert comparisons.reason is None
    assert comparisons.n_blocks == 6
    ratios = {point.label: point for point in comparisons.points}
    for label, truth in (("n=2", 2.0), ("n=3", 3.0), ("n=4", 4.0), ("n=6", 6.0)):
        assert ratios[label].ci95_low <= truth <= ratios[label].ci95_high
        assert ratios[label].ratio == pytest.approx(truth, rel=0.03)
    points = {point.label: point.value for point in analyse(folder).points}
    assert set(points) == {"n=1", "n=2", "n=3", "n=4", "n=6"}


def test_the_comparison_says_what_was_measured_when(folder: Path) -> None:
    extend(folder)
    comparisons = read_study_result(folder).summary.comparisons
    assert comparisons is not None
    (sentence,) = (c for c in comparisons.caveats if c.startswith("not all points were measured"))
    assert "n=2, n=3 in cycles 1 to 3 (" in sentence
    assert "n=6 in cycles 4 to 6 (" in sentence
    assert "n=1, n=4 in cycles 1 to 6 (" in sentence
    assert any(c.startswith("cycles were added") for c in comparisons.caveats)


def test_a_second_extension_has_other_anchors_and_compares_all_points(folder: Path) -> None:
    extend(folder)
    extend(folder, wanted((8,)))
    grown, manifest = read_study(folder), read_manifest(folder)
    n = {h: c.n for h, c in zip(grown.config_hashes, grown.experiments, strict=True)}
    assert [n[point] for point in manifest.extensions[1].anchors] == [2, 6]
    assert [part.last_cycle for part in grown.parts] == [3, 6, 9]
    comparisons = read_study_result(folder).summary.comparisons
    assert comparisons is not None
    assert (comparisons.reason, comparisons.left_out) == (None, ())
    assert len(comparisons.points) == 5


def test_cycles_that_are_added_after_an_extension_have_all_points(folder: Path) -> None:
    extend(folder)
    resume_study(folder, cycles=7, measure=KnownMeter(6, 5), executor=InlineExecutor())
    last = [entry for entry in read_manifest(folder).entries if entry.cycle == 7]
    assert len(last) == 5
    assert verify_study(folder, files_only=True).verdict == "intact"


def test_a_file_keeps_its_text_in_the_folder_and_in_the_archive(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    base = {**TINY, "execution": {"config_gap_seconds": 0, "cycle_gap_seconds": 0, "n_cycles": 3}}
    file.write_text(json.dumps({**base, "sweep": {"n": [1, 2]}}))
    run_study(file, output=tmp_path / "r", measure=KnownMeter(1, 2), executor=InlineExecutor())
    folder = only_folder(tmp_path / "r")
    more = tmp_path / "more.yaml"
    more.write_text(json.dumps({**base, "sweep": {"n": [1, 2, 3]}}))
    extend(folder, more)
    assert (folder / "extension_1.yaml").read_text() == more.read_text()
    assert read_study(folder).factors[0].levels == ("1", "2", "3")
    assert verify_study(folder, files_only=True).verdict == "intact"
    archive_study(folder, tmp_path / "a.zip")
    found = verify_study(tmp_path / "a.zip", files_only=True)
    assert found.verdict == "intact"
    assert "data/study/extension_1.yaml" in {each.name for each in found.files}
    (folder / "extension_1.yaml").write_text("changed")
    assert verify_study(folder, files_only=True).verdict == "not intact"


class StopsAfter:
    """A meter that is interrupted by the user after some runs."""

    def __init__(self, n_runs: int) -> None:
        self.meter, self.n_left = KnownMeter(5, 3), n_runs

    def __call__(self, *arguments: Any, **others: Any) -> Any:
        if self.n_left == 0:
            raise KeyboardInterrupt
        self.n_left -= 1
        return self.meter(*arguments, **others)


def test_a_resume_finishes_an_extension_that_was_interrupted(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        extend(folder, meter=StopsAfter(4))
    assert read_manifest(folder).totals.completed == 16
    result = resume_study(folder, measure=KnownMeter(7, 3), executor=InlineExecutor())
    assert (result.status, result.summary.completed) == ("completed", 21)
    assert len(read_manifest(folder).extensions) == 1


@pytest.mark.parametrize("is_rewritten", [False, True], ids=["before", "after"])
def test_a_kill_while_the_points_are_added_leaves_the_old_study_or_the_new(
    folder: Path, tmp_path: Path, is_rewritten: bool
) -> None:
    """The state between two writes is put together from the files before and after them."""
    after = Path(shutil.copytree(folder, tmp_path / "after"))
    extend(after)
    (extension,) = read_manifest(after).extensions
    manifest = json.loads((folder / "manifest.json").read_text())
    opened = msgspec.structs.replace(extension, is_open=True)
    manifest["extensions"] = [msgspec.to_builtins(opened)]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if is_rewritten:
        shutil.copy(after / "study_resolved.json", folder / "study_resolved.json")
    assert verify_study(folder, files_only=True).verdict == "intact"
    result = resume_study(folder, measure=KnownMeter(7, 3), executor=InlineExecutor())
    assert result.summary.completed == (21 if is_rewritten else 12)
    assert len(read_manifest(folder).extensions) == (1 if is_rewritten else 0)
    if not is_rewritten:
        assert extend(folder).summary.completed == 21


@pytest.mark.parametrize(
    ("config", "arguments", "problem"),
    [
        (wanted(NS), {}, "has all 4 points of the study file already"),
        (wanted(), {"anchors": 0}, "anchors: expected at least 1, found 0"),
        (wanted(), {"cycles": 2}, "cycles: expected at least 3, found 2"),
        (wanted(timeout_seconds=5.0), {}, "execution.timeout_seconds 3600.0 -> 5.0"),
        (wanted(cycle_order="sequential"), {}, "execution.cycle_order shuffled -> sequential"),
    ],
)
def test_what_would_not_be_comparable_is_refused_by_name_and_nothing_is_changed(
    folder: Path, config: StudyConfig, arguments: dict[str, Any], problem: str
) -> None:
    before = content_of(folder)
    with pytest.raises(StudyError) as caught:
        extend(folder, config, **arguments)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert content_of(folder) == before


def test_other_settings_of_the_measurement_are_refused_and_new_levels_named(folder: Path) -> None:
    before = content_of(folder)
    config = wanted((1, 6))
    points = tuple(
        each.model_copy(
            update={"energy": each.energy.model_copy(update={"min_window_seconds": 2.0})}
        )
        for each in config.experiments
    )
    other = StudyConfig(name="test", experiments=points, execution=config.execution)
    with pytest.raises(StudyError, match="cannot be extended") as caught:
        extend(folder, other)
    assert "energy.min_window_seconds 0.0 -> 2.0 (new, and no obstacle: n + 6)" in str(caught.value)
    assert content_of(folder) == before


def test_another_version_of_llem_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["versions"]["llem-energy"] = "0.0.1"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = content_of(folder)
    with pytest.raises(StudyError, match=r"llem-energy: the folder was started with 0\.0\.1"):
        extend(folder)
    assert content_of(folder) == before


def test_a_running_study_is_refused(folder: Path) -> None:
    before = content_of(folder)
    with hold(folder / ".lock", str(folder)), pytest.raises(StudyLocked, match="is in use"):
        extend(folder)
    assert content_of(folder) == before


def test_an_unfinished_study_is_refused(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        resume_study(folder, cycles=4, measure=StopsAfter(1), executor=InlineExecutor())
    before = content_of(folder)
    with pytest.raises(StudyError, match="is not finished: 3 of 16 runs are open"):
        extend(folder)
    assert content_of(folder) == before


def test_a_merged_study_is_refused(folder: Path, tmp_path: Path) -> None:
    other = make_folder(tmp_path, 2, ns=NS, cycles=3)
    merge_studies(tmp_path / "merged", [folder, other])
    before = content_of(tmp_path / "merged")
    with pytest.raises(StudyError, match="was merged from 2 folders and cannot be continued"):
        extend(tmp_path / "merged")
    assert content_of(tmp_path / "merged") == before


def test_a_resume_with_another_file_shows_the_fields_and_the_next_step(folder: Path) -> None:
    with pytest.raises(StudyError) as caught:
        resume_study(folder, config=wanted((1, 2, 3, 6)), executor=InlineExecutor())
    assert "by field: n + 6" in str(caught.value)
    assert "n - 4" in str(caught.value)
    assert "llem-cli study extend" in str(caught.value)


def test_a_name_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    extend(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["extensions"][0]["study_file"] = "../../etc/passwd"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StudyError, match=r"extensions\[0\]\.study_file"):
        read_manifest(folder)
