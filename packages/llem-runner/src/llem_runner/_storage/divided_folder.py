"""The names and the files of a study that is divided among several processes.

{study_name}_{UTC timestamp}_{4 hex digits}/
study.yaml  study_resolved.json        written once
shards/plan.json                       which runs belong to which shard
shards/0007/shard.json                 everything that a process needs to run shard 7
shards/0007/a01/attempt.json           which process worked on it first, and how that ended
shards/0007/a01/manifest.json          the runs of this attempt, as in a study of one process
shards/0007/a01/0123_c2_{model}_{hash8}/
manifest.json  study_result.json       merged from the attempts

Every folder of an attempt has one writer, so no process waits for a lock of another machine.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from llem_config import StudyConfig
from llem_config.text import one_line
from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun
from llem_runner._plan.shards import Shard
from llem_runner._storage.atomic_files import (
    MAX_REASON,
    encode_json,
    read_json,
    reason_of,
    write_atomically,
)
from llem_runner._storage.folders import folder_problem
from llem_runner._storage.layout import Layout
from llem_runner._storage.stale_handles import list_folder
from llem_runner._storage.stored_values import SHARDS

_ATTEMPT = re.compile(r"a([0-9]{2,6})")
MAX_ATTEMPTS = 999_999


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point of a divided study."""

    config_hash: str
    label: str
    """The fields in which it differs from the other points of the study."""


class StudyOrigin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all shards of a study have in common."""

    study_name: str
    study_design_hash: str
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


class PlanFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `shards/plan.json`."""

    schema_version: Literal[1] = 1
    origin: StudyOrigin
    shards_per_cycle: int
    seconds_per_shard: float | None
    """Estimated duration of the longest shard; None: not known."""
    n_gpus: int
    """Number of GPUs that its largest point uses."""
    whole_machine: bool
    """Whether another program on the machine would spoil the energies."""
    study_file_sha256: str | None
    resolved_sha256: str | None
    points: tuple[Point, ...]
    point_of_run: tuple[int, ...]
    """For each run, in order of its index from 1, the place of its point in `points`."""
    shards: tuple[Shard, ...]

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


class AttemptFolder(NamedTuple):
    """The folder of one attempt at a shard."""

    number: int
    path: Path


class DividedFolder:
    """The files of a divided study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(folder)
        self.plan = folder / SHARDS / "plan.json"

    def shard(self, number: int) -> Path:
        """Return the folder of a shard."""
        return shard_folder(self.folder, number)

    def shard_file(self, number: int) -> Path:
        """Return the file that describes a shard."""
        return self.shard(number) / "shard.json"

    def attempts(self, number: int) -> list[AttemptFolder]:
        """Return the folders of the attempts at a shard, first to last; holes are possible.

        Raises:
            StudyError: the folder of the shard cannot be read.
        """
        folder = self.shard(number)
        if problem := folder_problem(folder.parent) or folder_problem(folder):
            raise StudyError(problem)
        try:
            paths = list_folder(folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StudyError(f"{folder} cannot be read: {reason_of(error)}") from error
        found = [
            AttemptFolder(int(match[1]), path)
            for path in paths
            if (match := _ATTEMPT.fullmatch(path.name))
        ]
        if problem := next(filter(None, (folder_problem(each.path) for each in found)), None):
            raise StudyError(problem)
        return sorted(found)

    def claim_attempt(self, number: int) -> AttemptFolder:
        """Make the folder of a new attempt, which belongs to this process alone.

        `mkdir` is exclusive on every file system that machines share. On NFS the reply may be lost
        and the request repeated; then the folder exists although it is ours, and stays empty.

        Raises:
            StudyError: it cannot be made.
        """
        taken = self.attempts(number)
        attempt = taken[-1].number if taken else 0
        while attempt < MAX_ATTEMPTS:
            attempt += 1
            path = attempt_folder(self.folder, number, attempt)
            try:
                path.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise StudyError(f"{path} cannot be created: {reason_of(error)}") from error
            return AttemptFolder(attempt, path)
        raise StudyError(
            f"{self.shard(number)}: expected at most {MAX_ATTEMPTS} attempts, found {len(taken)}; find out "
            "why they end without a result, and divide the study anew with `llem-cli study submit`"
        )

    def read_plan(self) -> PlanFile:
        """Read how the study was divided.

        Raises:
            StudyError: it was not, or the file is damaged.
        """
        if not self.is_divided():
            raise StudyError(
                f"{self.folder}: expected a study that was divided by `study submit`, found no "
                f"{self.plan.relative_to(self.folder)}"
            )
        plan = read_json(self.plan, PlanFile)
        if problem := _problem(plan):
            raise StudyError(f"{self.plan} is damaged: {problem}; restore it from a copy")
        return plan

    def is_divided(self) -> bool:
        """Return whether the folder holds a divided study."""
        with contextlib.suppress(OSError, ValueError):  # no permission, or a NUL in the name
            return os.path.lexists(self.plan)
        return False

    def read_shard(self, number: int) -> tuple[ShardFile, StudyConfig]:
        """Read one shard, and the study of its points; no other file of the study is needed.

        Raises:
            StudyError: there is no such shard, or its file is damaged.
        """
        path = self.shard_file(number)
        if not os.path.lexists(path):
            self.read_plan().shard(number)  # says which numbers there are
        shard = read_json(path, ShardFile)
        try:
            study = StudyConfig.model_validate_json(bytes(shard.study))
        except (ValueError, RecursionError) as error:
            problem = one_line(" ".join(str(error).partition(" [type=")[0].split()), MAX_REASON)
            raise StudyError(f"{path} is damaged ({problem}); restore it from a copy") from error
        points = {point.config_hash for point in shard.points}
        if shard.shard.number != number or len(shard.points) != len(shard.shard.runs):
            raise StudyError(f"{path} is damaged: it is not shard {number}; restore it from a copy")
        if points != set(study.config_hashes):
            raise StudyError(
                f"{path} is damaged: its points are not those of its runs; restore it from a copy"
            )
        return shard, study

    def write_shard(self, shard: ShardFile) -> None:
        """Make the folder of a shard, and describe the shard in it.

        Raises:
            StudyError: it cannot be written.
        """
        path = self.shard_file(shard.shard.number)
        try:
            path.parent.mkdir(parents=True)
        except OSError as error:
            raise StudyError(f"{path.parent} cannot be created: {reason_of(error)}") from error
        write_atomically(path, encode_json(shard))

    def write_plan(self, plan: PlanFile) -> None:
        """Write how the study is divided; after every shard, because it makes the study complete."""
        write_atomically(self.plan, encode_json(plan))


def shard_folder(study: Path, number: int) -> Path:
    """Return the folder of a shard."""
    return study / SHARDS / f"{number:04d}"


def attempt_folder(study: Path, shard: int, attempt: int) -> Path:
    """Return the folder of an attempt at a shard."""
    return shard_folder(study, shard) / f"a{attempt:02d}"


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


def _problem(plan: PlanFile) -> str | None:
    """Return what is wrong with the values of a plan."""
    if [shard.number for shard in plan.shards] != [*range(1, len(plan.shards) + 1)]:
        return "the numbers of its shards do not count from 1"
    indices = sorted(index for shard in plan.shards for index in shard.runs)
    if indices != [*range(1, len(plan.point_of_run) + 1)]:
        return "its shards do not have each run once"
    if any(not 0 <= place < len(plan.points) for place in plan.point_of_run):
        return "a run has no point"
    return None
