"""`plan.json` and `shard.json`: how a study is divided, and all that a process needs for one shard."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from llem_config import StudyConfig
from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun
from llem_runner._plan.shards import Shard
from llem_runner._storage.manifest import Extension, wrong_extensions


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point of a divided study."""

    config_hash: str
    label: str
    """The fields in which it differs from the other points of the study."""


class StudyOrigin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all shards of a study have in common."""

    study_name: str
    study_design_hash: str
    """In `plan.json` of the study as it was divided first, without points that were added later."""
    versions: dict[str, str]
    """Of the packages that divided the study; those that run it must be the same."""
    directory: str
    """The working directory in which the study was divided; relative paths in it start there."""
    created_at: str
    """In UTC, ISO 8601."""
    overrides: dict[str, Any] | None = None
    """What was set above the study file, such as flags."""
    settings: dict[str, dict[str, Any]]
    """The settings that all its runs must share, by section."""
    pack: bool = False
    """Whether the process that completes a shard packs the files of its runs."""


class PlanFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `shards/plan.json`. It is only replaced to add shards.

    Format 1 had no `looks` and `extensions`.
    """

    schema_version: Literal[1, 2] = 2
    origin: StudyOrigin
    shards_per_cycle: int
    seconds_per_shard: float | None
    """Estimated duration of the longest shard; None: not known."""
    n_gpus: int
    """1 if a point needs a GPU, else 0."""
    whole_machine: bool
    """Whether another program on the machine would spoil the energies."""
    study_file_sha256: str | None
    resolved_sha256: str | None
    points: tuple[Point, ...]
    point_of_run: tuple[int, ...]
    """For each run, in order of its index from 1, the place of its point in `points`."""
    shards: tuple[Shard, ...]
    shard_sha256: tuple[str, ...] = ()
    """Of the file `shard.json` of each shard, in their order; empty in an older file."""
    looks: tuple[int, ...] = ()
    """As in the manifest: number of cycles with results each time cycles were added."""
    extensions: tuple[Extension, ...] = ()
    """As in the manifest: each time points were added."""

    @property
    def n_cycles(self) -> int:
        """Return the number of cycles of the study."""
        return max((shard.cycle for shard in self.shards), default=0)

    def design_hash(self, cycle: int | None = None) -> str:
        """Return the `study_design_hash` of the study as it was when a cycle was added; None: as it is now."""
        design_hash = self.origin.study_design_hash
        for extension in self.extensions:
            if cycle is None or extension.first_cycle <= cycle:
                design_hash = extension.study_design_hash
        return design_hash

    def shard(self, number: int) -> Shard:
        """Return a shard by its number.

        Raises:
            StudyError: there is none with this number.
        """
        if not 1 <= number <= len(self.shards):
            raise StudyError(
                f"shard: expected 1 to {len(self.shards)}, because the study has "
                f"{len(self.shards)} shards, found {number}"
            )
        return self.shards[number - 1]


class ShardFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `shard.json`: a shard alone, which can be copied to another machine."""

    schema_version: Literal[1] = 1
    origin: StudyOrigin
    shard: Shard
    points: tuple[Point, ...]
    """Of each of its runs, in their order."""
    study: msgspec.Raw
    """The study with the points of this shard only, each as `study_resolved.json` has it."""


def planned_runs(shard: ShardFile, study: StudyConfig) -> tuple[PlannedRun, ...]:
    """Return the runs of a shard in their order."""
    configs = dict(zip(study.config_hashes, study.experiments, strict=True))
    return tuple(
        PlannedRun(
            index,
            shard.shard.cycle,
            configs[point.config_hash],
            point.config_hash,
            point.label,
            "config" if place else None,
        )
        for place, (index, point) in enumerate(zip(shard.shard.runs, shard.points, strict=True))
    )


def problem_of(plan: PlanFile) -> str | None:
    """Return what is wrong with the values of a plan."""
    if [shard.number for shard in plan.shards] != [*range(1, len(plan.shards) + 1)]:
        return "the numbers of its shards do not count from 1"
    indices = sorted(index for shard in plan.shards for index in shard.runs)
    if indices != [*range(1, len(plan.point_of_run) + 1)]:
        return "its shards do not have each run once"
    if len(plan.shard_sha256) not in (0, len(plan.shards)):
        return "it does not have one digest for each shard"
    if any(not 0 <= place < len(plan.points) for place in plan.point_of_run):
        return "a run has no point"
    return next(wrong_extensions(plan.extensions), None)
