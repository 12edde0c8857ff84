"""`divide_study`: a folder with shards that need no other file, and which studies are refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from fakes.studies import study

from llem_config import Settings, StudyConfig
from llem_runner import PreflightError, StudyError, read_manifest, read_study
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_records import planned_runs
from llem_runner.plan import PlannedRun, schedule
from llem_runner.shards import divide_study, merge_study, open_shards, plan_division, read_plan


def shuffled(n_points: int = 10, n_cycles: int = 3) -> StudyConfig:
    return study(range(1, n_points + 1), n_cycles=n_cycles, cycle_order="shuffled")


def test_the_shards_in_the_folder_have_every_run_of_the_study(tmp_path: Path) -> None:
    config = shuffled()
    plan = divide_study(config, output=tmp_path, shards=2)
    assert plan.folder.parent == tmp_path
    assert re.fullmatch(r"test_[0-9]{8}T[0-9]{6}Z_[0-9a-f]{4}", plan.name)
    assert plan == read_plan(plan.folder)
    assert read_study(plan.folder).config_hashes == config.config_hashes
    folder = DividedFolder(plan.folder)
    runs: list[PlannedRun] = []
    for shard in plan.shards:
        runs += planned_runs(*folder.read_shard(shard.number))
    planned = {run.index: run for run in schedule(config)}
    assert {run.index for run in runs} == set(planned)
    for run in runs:
        expected = planned[run.index]
        assert (run.cycle, run.config_hash, run.label) == (
            expected.cycle,
            expected.config_hash,
            expected.label,
        )
        assert run.config == expected.config


def test_a_shard_can_be_read_without_the_rest_of_the_study(tmp_path: Path) -> None:
    plan = divide_study(shuffled(), output=tmp_path / "here", shards=2)
    whole = DividedFolder(plan.folder)
    alone = DividedFolder(tmp_path / "there")
    shutil.copytree(whole.shard(4), alone.shard(4))
    assert planned_runs(*alone.read_shard(4)) == planned_runs(*whole.read_shard(4))


def test_two_studies_in_one_second_have_their_own_folders(tmp_path: Path) -> None:
    folders = {divide_study(shuffled(), output=tmp_path).folder for _ in range(5)}
    assert len(folders) == 5


def test_the_shards_share_the_settings_of_the_machine_that_divided_the_study(
    tmp_path: Path,
) -> None:
    settings = Settings.model_validate(
        {
            "execution": {"config_gap_seconds": 7.0, "gap_until_temperature_c": 40.0},
            "measurement": {"electricity_price_kwh": 0.5},
        }
    )
    config = shuffled()
    execution = config.execution.model_copy(update={"config_gap_seconds": None})
    plan = divide_study(
        config.model_copy(update={"execution": execution}), output=tmp_path, settings=settings
    )
    shard, of_shard = DividedFolder(plan.folder).read_shard(1)
    assert of_shard.execution.config_gap_seconds == 7.0
    assert shard.origin.settings["execution"]["gap_until_temperature_c"] == 40.0
    assert shard.origin.settings["measurement"]["electricity_price_kwh"] == 0.5


def test_nothing_is_written_for_a_study_that_no_machine_can_run(tmp_path: Path) -> None:
    config = StudyConfig(
        experiments=tuple(
            each.model_copy(update={"model": str(tmp_path / "missing")})
            for each in shuffled(2).experiments
        ),
        execution=shuffled().execution,
    )
    with pytest.raises(PreflightError, match="missing"):
        divide_study(config, output=tmp_path / "out")
    with pytest.raises(StudyError, match="cycle_order"):
        divide_study(study((1, 2), n_cycles=3), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_completed_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StudyError, match="not a folder"):
        divide_study(shuffled(), output=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_shard_needs_and_how_long_it_takes_are_known(tmp_path: Path) -> None:
    plan = divide_study(shuffled(), output=tmp_path, seconds_per_run=3.0)
    assert plan.seconds_per_shard == 30.0
    assert plan.needs.n_gpus == 0
    assert plan.needs.whole_machine  # on the processor, every program counts
    assert plan_division(shuffled()).seconds_per_shard is None


def test_a_folder_of_another_kind_and_a_damaged_plan_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"found no shards/plan\.json"):
        read_plan(tmp_path)
    plan = divide_study(shuffled(), output=tmp_path)
    folder = DividedFolder(plan.folder)
    with pytest.raises(
        StudyError, match="expected 1 to 3, because the study has 3 shards, found 9"
    ):
        folder.read_shard(9)
    data = json.loads(folder.plan.read_text())
    data["shards"][0]["runs"][0] = data["shards"][1]["runs"][0]
    folder.plan.write_text(json.dumps(data))
    with pytest.raises(StudyError, match="its shards do not have each run once"):
        read_plan(plan.folder)


def test_a_shard_that_was_changed_or_is_missing_is_refused(tmp_path: Path) -> None:
    plan = divide_study(shuffled(), output=tmp_path)
    folder = DividedFolder(plan.folder)
    shard_file, original = folder.shard_file(2), folder.shard_file(2).read_text()
    data = json.loads(original)
    data["study"]["execution"]["config_gap_seconds"] = 17.0  # no hash of a point has it
    shard_file.write_text(json.dumps(data))
    with pytest.raises(StudyError, match=r"shard\.json was changed after the study was divided"):
        folder.read_shard(2)
    with pytest.raises(StudyError, match=r"shard\.json was changed after the study was divided"):
        open_shards(plan.folder)
    shard_file.unlink()
    with pytest.raises(StudyError, match=r"shard\.json is missing: expected the description"):
        folder.read_shard(2)
    shard_file.write_text(original)
    assert folder.read_shard(2)[0].shard.number == 2
    folder.plan.unlink()  # the folder of a shard can be copied alone
    shard_file.write_text(folder.shard_file(1).read_text())
    with pytest.raises(StudyError, match="it is not shard 2"):
        DividedFolder(plan.folder).read_shard(2)


def test_a_divided_study_without_its_resolved_study_says_so(tmp_path: Path) -> None:
    plan = divide_study(shuffled(), output=tmp_path)
    (plan.folder / "study_resolved.json").unlink()
    assert read_manifest(plan.folder).totals.pending > 0  # not "no folder of a study"
    with pytest.raises(StudyError, match=r"study_resolved\.json is missing, which has the points"):
        merge_study(plan.folder)


@pytest.mark.parametrize("name", ["a001", "a1", "a00", "a0", "a0000001"])
def test_an_attempt_has_one_name(tmp_path: Path, name: str) -> None:
    plan = divide_study(shuffled(), output=tmp_path)
    folder = DividedFolder(plan.folder)
    folder.claim_attempt(1)
    (folder.shard(1) / "a01-copy").mkdir()  # no attempt
    assert [each.path.name for each in folder.attempts(1)] == ["a01"]
    (folder.shard(1) / name).mkdir()
    with pytest.raises(StudyError, match=rf"{name}: expected .*a01.*, found {name}; "):
        merge_study(plan.folder)


def test_attempts_are_claimed_one_after_the_other_and_holes_do_no_harm(tmp_path: Path) -> None:
    plan = divide_study(shuffled(), output=tmp_path)
    folder = DividedFolder(plan.folder)
    assert folder.attempts(1) == []
    assert [folder.claim_attempt(1).path.name for _ in range(2)] == ["a01", "a02"]
    (folder.shard(1) / "a07").mkdir()
    assert folder.claim_attempt(1).path.name == "a08"
    assert [attempt.number for attempt in folder.attempts(1)] == [1, 2, 7, 8]
