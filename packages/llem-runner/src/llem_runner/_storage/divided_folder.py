"""The names and the files of a study that is divided among several processes.

{study_name}_{UTC timestamp}_{4 hex digits}/
study.yaml  study_resolved.json        written once; the second one again when the study becomes larger
shards/plan.json                       which runs belong to which shard; only replaced to add shards
shards/0007/shard.json                 everything that a process needs to run shard 7
shards/0007/a01/attempt.json           which process worked on it first, and how that ended
shards/0007/a01/manifest.json          the runs of this attempt, as in a study of one process
shards/0007/a01/0123_c2_{model}_{hash8}/
manifest.json  study_result.json       merged from the attempts
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from llem_config import StudyConfig
from llem_config.foreign_files import ForeignFileError
from llem_config.text import one_line
from llem_runner._errors import StudyError
from llem_runner._storage.atomic_files import (
    MAX_JSON_BYTES,
    MAX_REASON,
    encode_json,
    read_json,
    reason_of,
    remove_file,
    write_atomically,
)
from llem_runner._storage.attempt_folders import (
    AttemptFolder,
    attempt_folders,
    claim_attempt,
    shard_folder,
)
from llem_runner._storage.divided_records import PlanFile, ShardFile, problem_of
from llem_runner._storage.layout import Layout
from llem_runner._storage.resolved_digest import is_resolved_of
from llem_runner._storage.stale_handles import may_exist, read_file
from llem_runner._storage.stored_values import SHARDS


class DividedFolder:
    """The files of a divided study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(folder)
        self.plan = folder / SHARDS / "plan.json"
        self.next_plan = folder / SHARDS / "next_plan.json"
        self._digests: tuple[str, ...] = ()

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
        return attempt_folders(self.shard(number))

    def claim_attempt(self, number: int) -> AttemptFolder:
        """Make the folder of a new attempt at a shard, which belongs to this process alone.

        Raises:
            StudyError: it cannot be made.
        """
        return claim_attempt(self.shard(number))

    def read_plan(self) -> PlanFile:
        """Read how the study was divided.

        Raises:
            StudyError: it was not, or the file is damaged or cannot be read.
        """
        if not may_exist(self.plan):
            raise StudyError(
                f"{self.folder}: expected a study that was divided by `study submit`, found no "
                f"{self.plan.relative_to(self.folder)}"
            )
        return self._larger_plan() or _read_plan(self.plan)

    def is_divided(self) -> bool:
        """Return whether the folder holds a divided study.

        If the system cannot tell whether it has a plan, it counts as divided, and reading the plan says
        why; unless the whole folder is closed or has no possible name.
        """
        return may_exist(self.plan) and os.path.lexists(f"{self.folder}/.")

    def read_shard(self, number: int) -> tuple[ShardFile, StudyConfig]:
        """Read one shard, and the study of its points; no other file of the study is needed.

        Raises:
            StudyError: there is no such shard, or its file is missing, damaged or changed.
        """
        path = self.shard_file(number)
        if not may_exist(path):
            self.read_plan().shard(number)  # says which numbers there are
            raise StudyError(
                f"{path} is missing: expected the description of shard {number} of {self.plan}; restore "
                "it from a copy, because the shard cannot run without it"
            )
        self._check_unchanged(path, number)
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

    def _check_unchanged(self, path: Path, number: int) -> None:
        """Return if the file of a shard is as it was written, or its folder was copied alone."""
        if number > len(self._digests) and self.is_divided():
            plan = self.read_plan()
            plan.shard(number)  # the folder of one that is not in the plan was never completed
            self._digests = plan.shard_sha256  # once for many shards
        if not 1 <= number <= len(self._digests):
            return
        with contextlib.suppress(ForeignFileError):  # the reader of its content says why
            content = read_file(path, max_bytes=MAX_JSON_BYTES)
            if hashlib.sha256(content).hexdigest() != self._digests[number - 1]:
                raise StudyError(
                    f"{path} was changed after the study was divided: its SHA-256 is not the one in "
                    f"{self.plan}, so new runs would not be comparable with the earlier ones; restore "
                    "it from a copy"
                )

    def write_shard(self, shard: ShardFile, *, may_exist: bool = False) -> str:
        """Make the folder of a shard, describe the shard in it, and return the SHA-256 of that file.

        Args:
            shard: that is not in the plan yet.
            may_exist: whether a process that was killed may have left the folder.

        Raises:
            StudyError: it cannot be written.
        """
        number = shard.shard.number
        path = self.shard_file(number)
        try:
            path.parent.mkdir(parents=True)
        except OSError as error:
            if not (may_exist and isinstance(error, FileExistsError)):
                raise StudyError(f"{path.parent} cannot be created: {reason_of(error)}") from error
            if self.attempts(number):
                raise StudyError(
                    f"{path.parent}: expected no runs, because {self.plan} has no shard {number}, found "
                    "attempts; move the folder to the study that it is of"
                ) from None
        content = encode_json(shard)
        write_atomically(path, content, follow_links=False)
        return hashlib.sha256(content).hexdigest()

    def write_plan(self, plan: PlanFile) -> None:
        """Write how the study is divided; after every shard, because it makes the study complete."""
        write_atomically(self.plan, encode_json(plan))

    def grow(self, plan: PlanFile, study: StudyConfig) -> None:
        """Replace the plan and the study by larger ones, after every new shard was written.

        Two files cannot change at once, so `study_resolved.json` decides which plan holds: a process
        that is killed leaves the smaller study or the larger one. Call it with the lock of the folder.
        Some file systems lock files only among the processes of one machine: there the last of two
        processes wins, and its plan fits its study.

        Raises:
            StudyError: they cannot be written.
        """
        write_atomically(self.next_plan, encode_json(plan), follow_links=False)
        self.layout.write_study(study)
        self.write_plan(plan)
        self._remove_next_plan(plan)

    def finish_growth(self) -> None:
        """Do what a process that was killed has left to do in `grow`; call it with the lock.

        A `next_plan.json` that does not hold is left, because another machine may just have written it.

        Raises:
            StudyError: a file is damaged, or cannot be written.
        """
        if (plan := self._larger_plan()) is not None:
            self.write_plan(plan)
            self._remove_next_plan(plan)

    def _remove_next_plan(self, plan: PlanFile) -> None:
        """Delete the next plan, unless it is another one."""
        with contextlib.suppress(StudyError):
            if _read_plan(self.next_plan) == plan:
                remove_file(self.next_plan)

    def _larger_plan(self) -> PlanFile | None:
        """Return the plan of a study that became larger, if the process was killed just then.

        Raises:
            StudyError: it is damaged, and `study_resolved.json` does not fit the smaller plan.
        """
        if not may_exist(self.next_plan):
            return None
        try:
            plan = _read_plan(self.next_plan)
        except StudyError as error:
            if not may_exist(self.next_plan):
                return None  # it has just become the plan
            plan = _read_plan(self.plan)
            if is_resolved_of(self.layout, plan.resolved_sha256, plan.n_cycles):
                return None  # the study did not become larger
            raise StudyError(
                f"{error} (the study cannot be read without it, because {self.layout.resolved.name} is not "
                f"that of {self.plan.name})"
            ) from error
        is_done = is_resolved_of(self.layout, plan.resolved_sha256, plan.n_cycles)
        return plan if is_done else None


def _read_plan(path: Path) -> PlanFile:
    plan = read_json(path, PlanFile)
    if problem := problem_of(plan):
        raise StudyError(f"{path} is damaged: {problem}; restore it from a copy")
    return plan
