"""`divide_study`: from a study file to a folder whose shards any machine can run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from llem_config import Settings, StudyConfig, load_study
from llem_config.settings import load_settings
from llem_runner._errors import PreflightError
from llem_runner._plan.schedule import PlannedRun, schedule
from llem_runner._plan.shards import Shard, plan_shards, shard_seconds
from llem_runner._shards.planned_files import (
    needs_of,
    point_of_run,
    points_of,
    shard_file,
    shard_plan,
)
from llem_runner._shards.records import Needs, ShardPlan
from llem_runner._storage.atomic_files import sync_folder
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_records import PlanFile, StudyOrigin
from llem_runner._storage.input_files import digest_inputs
from llem_runner._storage.layout import new_divided_folder
from llem_runner._storage.manifest import tool_versions
from llem_runner._study.preflight import check_files
from llem_runner._study.preparation import fill_gaps

_EXECUTION = ("executor", "gap_until_temperature_c", "gap_within_c", "gap_at_most_seconds")


class Division(msgspec.Struct, frozen=True, kw_only=True):
    """How a study will be divided; nothing of it is on disk yet."""

    study: StudyConfig
    """With every gap a number."""
    settings: Settings
    """Of the machine that divides; all shards use their gaps and executor."""
    runs: tuple[PlannedRun, ...]
    """All runs of the study, in the order of their cycles."""
    shards: tuple[Shard, ...]
    """Numbered from 1."""
    seconds_per_run: float | None
    """Expected duration of a run in seconds, without the gap before it; None: not known."""

    @property
    def seconds_per_shard(self) -> float | None:
        """Return how long the longest shard is expected to take; None if it is not known."""
        if self.seconds_per_run is None:
            return None
        longest = max(len(shard.runs) for shard in self.shards)
        return shard_seconds(self.study, longest, self.seconds_per_run)

    @property
    def needs(self) -> Needs:
        """Return what a shard needs of its machine."""
        return needs_of(self.study.experiments)


def plan_division(
    config: str | Path | StudyConfig,
    *,
    shards: int | None = None,
    limit_s: float | None = None,
    seconds_per_run: float | None = None,
    settings: Settings | None = None,
) -> Division:
    """Return how a study would be divided; writes nothing.

    The machine that divides a study need not be able to run it, so only its files are checked here.
    Each shard checks the machine that runs it.

    Args:
        config: a study file, or a study made in Python.
        shards: number of shards of each cycle; None: as few as `limit_s` permits.
        limit_s: time limit of a shard in seconds.
        seconds_per_run: expected duration of a run in seconds; None: not known.
        settings: of this machine; None: loaded. All shards use its gaps and executor.

    Raises:
        ConfigError: mistakes in the study file.
        PreflightError: no machine could run the study.
        StudyError: the points of such shards could not be compared.
    """
    study = config if isinstance(config, StudyConfig) else load_study(config)
    settings = settings or load_settings()
    study = fill_gaps(study, settings)
    if problems := check_files(study):
        raise PreflightError(problems)
    runs = schedule(study)
    return Division(
        study=study,
        settings=settings,
        runs=runs,
        shards=plan_shards(
            study, n=shards, limit_s=limit_s, seconds_per_run=seconds_per_run, runs=runs
        ),
        seconds_per_run=seconds_per_run,
    )


def divide_study(
    config: str | Path | StudyConfig | Division,
    *,
    output: str | Path | None = None,
    shards: int | None = None,
    limit_s: float | None = None,
    seconds_per_run: float | None = None,
    settings: Settings | None = None,
) -> ShardPlan:
    """Write a new folder with a study and its shards. Nothing runs until a shard is started.

    Args:
        config: as in `plan_division`, or what it has returned.
        output: parent folder of the study's own folder; None: the one in the settings.
        shards: as in `plan_division`.
        limit_s: as in `plan_division`.
        seconds_per_run: as in `plan_division`.
        settings: as in `plan_division`.

    Raises:
        ConfigError: mistakes in the study file.
        PreflightError: no machine could run the study.
        StudyError: the points of such shards could not be compared, or the folder cannot be written.
    """
    division = (
        config
        if isinstance(config, Division)
        else plan_division(
            config,
            shards=shards,
            limit_s=limit_s,
            seconds_per_run=seconds_per_run,
            settings=settings,
        )
    )
    results_dir = Path(output) if output is not None else division.settings.output.results_dir
    with new_divided_folder(results_dir, division.study) as layout:
        folder = DividedFolder(layout.folder)
        inputs = digest_inputs(layout)
        plan = PlanFile(
            origin=_origin(division),
            shards_per_cycle=sum(shard.cycle == 1 for shard in division.shards),
            seconds_per_shard=division.seconds_per_shard,
            n_gpus=division.needs.n_gpus,
            whole_machine=division.needs.whole_machine,
            study_file_sha256=inputs.study_file_sha256,
            resolved_sha256=inputs.resolved_sha256,
            points=points_of(division.study, division.runs),
            point_of_run=point_of_run(division.study, division.runs),
            shards=division.shards,
        )
        digests = [
            folder.write_shard(shard_file(division.study, plan, shard)) for shard in division.shards
        ]
        folder.write_plan(msgspec.structs.replace(plan, shard_sha256=tuple(digests)))
        sync_folder(layout.folder)
    return read_plan(layout.folder)


def read_plan(folder: str | Path) -> ShardPlan:
    """Return how a study was divided, as a cluster sees it.

    Raises:
        StudyError: not the folder of a divided study, or it is damaged.
    """
    divided = DividedFolder(Path(folder).absolute())
    return shard_plan(divided, divided.read_plan())


def is_divided(folder: str | Path) -> bool:
    """Return whether a folder holds a divided study."""
    return DividedFolder(Path(folder)).is_divided()


def _origin(division: Division) -> StudyOrigin:
    study, settings = division.study, division.settings
    execution = settings.execution.model_dump(mode="json")
    return StudyOrigin(
        study_name=study.name,
        study_design_hash=study.study_design_hash,
        versions=tool_versions(),
        directory=str(Path.cwd()),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        overrides=study.overrides or None,
        settings={
            "execution": {name: execution[name] for name in _EXECUTION},
            "measurement": settings.measurement.model_dump(mode="json"),
        },
    )
