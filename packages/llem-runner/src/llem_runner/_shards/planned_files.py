"""The content of `plan.json` and `shard.json`, from the study and its runs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llem_config import ExperimentConfig, StudyConfig
from llem_energy.backends import facts_of
from llem_energy.sources import RaplSource
from llem_runner._plan.schedule import PlannedRun
from llem_runner._plan.shards import Shard
from llem_runner._shards.records import Needs, ShardPlan
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_records import PlanFile, Point, ShardFile


def points_of(study: StudyConfig, runs: Sequence[PlannedRun]) -> tuple[Point, ...]:
    """Return the points of a study in their order."""
    labels = {run.config_hash: run.label for run in runs}
    return tuple(
        Point(config_hash=config_hash, label=labels[config_hash])
        for config_hash in study.config_hashes
    )


def point_of_run(study: StudyConfig, runs: Sequence[PlannedRun]) -> tuple[int, ...]:
    """Return the place of the point of each run among the points of a study, from 0."""
    places = {config_hash: n for n, config_hash in enumerate(study.config_hashes)}
    return tuple(places[run.config_hash] for run in runs)


def shard_file(study: StudyConfig, plan: PlanFile, shard: Shard) -> ShardFile:
    """Return the description of a shard, which needs no other file.

    Args:
        study: with all points.
        plan: of the study, with the shard.
        shard: to describe.
    """
    places = [plan.point_of_run[index - 1] for index in shard.runs]
    # A copy would keep the hashes of all points, which the study has computed already.
    part = StudyConfig(
        name=study.name,
        experiments=tuple(study.experiments[place] for place in places),
        execution=study.execution,
    )
    origin = msgspec.structs.replace(plan.origin, study_design_hash=plan.design_hash(shard.cycle))
    return ShardFile(
        origin=origin,
        shard=shard,
        points=tuple(plan.points[place] for place in places),
        study=msgspec.Raw(part.model_dump_json().encode()),
    )


def shard_plan(divided: DividedFolder, plan: PlanFile) -> ShardPlan:
    """Return a divided study as a cluster sees it."""
    return ShardPlan(
        folder=divided.folder,
        shards=plan.shards,
        seconds_per_shard=plan.seconds_per_shard,
        needs=Needs(n_gpus=plan.n_gpus, whole_machine=plan.whole_machine),
    )


def needs_of(experiments: Sequence[ExperimentConfig]) -> Needs:
    """Return what a shard with any of some points needs of its machine."""
    return Needs(
        n_gpus=int(not all(map(_is_on_cpu, experiments))),
        whole_machine=any(
            config.energy.sources[0] == RaplSource.name or _is_on_cpu(config)
            for config in experiments
        ),
        spreads_over_gpus=any(
            facts_of(config.backend).spreads_over_gpus(config) for config in experiments
        ),
    )


def _is_on_cpu(config: ExperimentConfig) -> bool:
    return facts_of(config.backend).device(config) == "cpu"
