"""The names and the files of a study that is divided among several processes.

{study_name}_{UTC timestamp}_{4 hex digits}/
study.yaml  study_resolved.json        written once
shards/plan.json                       which runs belong to which shard
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
from llem_runner._storage.stale_handles import read_file
from llem_runner._storage.stored_values import SHARDS


class DividedFolder:
    """The files of a divided study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(folder)
        self.plan = folder / SHARDS / "plan.json"
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
            StudyError: it was not, or the file is damaged.
        """
        if not self.is_divided():
            raise StudyError(
                f"{self.folder}: expected a study that was divided by `study submit`, found no "
                f"{self.plan.relative_to(self.folder)}"
            )
        plan = read_json(self.plan, PlanFile)
        if problem := problem_of(plan):
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
            StudyError: there is no such shard, or its file is missing, damaged or changed.
        """
        path = self.shard_file(number)
        if not os.path.lexists(path):
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
            self._digests = self.read_plan().shard_sha256  # once for many shards
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

    def write_shard(self, shard: ShardFile) -> str:
        """Make the folder of a shard, describe the shard in it, and return the SHA-256 of that file.

        Raises:
            StudyError: it cannot be written.
        """
        path = self.shard_file(shard.shard.number)
        try:
            path.parent.mkdir(parents=True)
        except OSError as error:
            raise StudyError(f"{path.parent} cannot be created: {reason_of(error)}") from error
        content = encode_json(shard)
        write_atomically(path, content)
        return hashlib.sha256(content).hexdigest()

    def write_plan(self, plan: PlanFile) -> None:
        """Write how the study is divided; after every shard, because it makes the study complete."""
        write_atomically(self.plan, encode_json(plan))
