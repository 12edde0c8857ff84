"""One attempt at a shard, from the claim of its folder to its end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from llem_config import LlemError
from llem_runner._control import Control
from llem_runner._errors import PreflightError, StudyError, StudyLocked
from llem_runner._shards.limits import ShardLimits
from llem_runner._shards.outcome import ShardEnd, ShardOutcome
from llem_runner._shards.records import Place
from llem_runner._shards.stored_shard import StoredShard
from llem_runner._storage.attempt_folders import AttemptFolder
from llem_runner._storage.attempt_record import AttemptState, AttemptWriter, new_record
from llem_runner._storage.cluster_folder import CLUSTER_NAME, is_cluster_name
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import ManifestEntry, StudyManifest
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner._study.continuation import check_inputs, history_of
from llem_runner._study.session import Caller, begin_session


class ShardAttempt:
    """One attempt, from the claim of its folder to its end."""

    def __init__(self, shard: StoredShard, place: Place | None) -> None:
        """Claim a folder, and say in it who works there.

        Raises:
            StudyError: nothing can be written, or the cluster has a name that no folder can have.
        """
        if place is not None and not is_cluster_name(place.cluster):
            raise StudyError(f"cluster: expected {CLUSTER_NAME}, found {place.cluster[:80]!r}")
        self._shard = shard
        self._folder: AttemptFolder = shard.folder.claim_attempt(shard.number)
        record = new_record(shard.number, self._folder.number)
        if place is not None:
            record = msgspec.structs.replace(
                record,
                cluster=place.cluster,
                job=place.job,
                n_restarts=place.n_restarts,
                machine=place.machine,
                gpus=place.gpus,
                whole_machine=place.whole_machine,
                ends_at=None if place.ends_at is None else _instant(place.ends_at),
            )
        try:
            self._writer = AttemptWriter(self._folder, record)
        except StudyError:
            with contextlib.suppress(
                OSError
            ):  # an attempt without a process would end earlier ones
                self._folder.path.rmdir()
            raise
        self._end: ShardEnd = "stopped"
        self._reason: str | None = None

    def is_superseded(self) -> bool:
        """Return whether there is a later attempt at the shard."""
        try:
            attempts = self._shard.folder.attempts(self._shard.number)
        except StudyError:  # a file server that does not answer says nothing of other processes
            return False
        return bool(attempts) and attempts[-1].number > self._folder.number

    def run(self, caller: Caller, limits: ShardLimits) -> None:
        """Check this machine, and run what is left of the shard."""
        shard = self._shard
        session = begin_session(shard.study, self._folder.path, caller)
        self._writer.update(
            executor=session.chosen.name, limits_enforced=session.chosen.executor.enforces_limits
        )
        layout = Layout(self._folder.path)
        history, changes = history_of(shard.kept)
        check_inputs(
            Layout(shard.folder.folder),
            history,
            session.study.config_hashes,
            session.inputs,
            shard.open_runs,
        )
        with session.gpus_held():
            manifest = ManifestWriter.create(
                layout,
                shard.file.origin.study_name,
                shard.file.origin.study_design_hash,
                shard.open_runs,
                executor=session.chosen.name,
                overrides=shard.file.origin.overrides,
            )
            manifest.add_input_changes(changes)
            runner = session.runner(
                layout, manifest, lambda: manifest.manifest, history, self._earlier_entries()
            )
            result = runner.run(shard.open_runs)
        self._conclude(result, limits, runner.abort_reason)

    def _earlier_entries(self) -> tuple[ManifestEntry, ...]:
        manifests = (attempt.manifest for attempt in self._shard.attempts)
        return tuple(entry for each in manifests if each is not None for entry in each.entries)

    def _conclude(
        self, manifest: StudyManifest, limits: ShardLimits, abort_reason: str | None
    ) -> None:
        end: ShardEnd
        if manifest.status == "interrupted":
            end, reason = limits.ending, limits.reason
        elif manifest.status == "aborted":
            end, reason = "failed", abort_reason
        else:
            done = {e.index for e in manifest.entries if e.status == "completed"}
            failed = manifest.totals.failed or self._shard.failed - done
            end, reason = ("failed" if failed else "complete"), None
        self._close(end, reason)

    @contextlib.contextmanager
    def closed_on_error(self, limits: ShardLimits, control: Control) -> Iterator[None]:
        """Save how the attempt has ended if it ends by an error.

        Args:
            limits: of the attempt.
            control: by which a stop is requested.

        Raises:
            KeyboardInterrupt: it came without a request to stop.
            LlemError: the error says nothing of this machine, and another attempt would end so too.
        """
        try:
            yield
        except PreflightError as error:
            self._close("unfit", "; ".join(error.failures))
        except StudyLocked as error:
            self._close("again", str(error))
        except KeyboardInterrupt:
            self._close(limits.ending, limits.reason)
            if not control.stop_requested:  # Ctrl-C in a program without a handler for it
                raise
        except LlemError as error:
            is_of_system = isinstance(error.__cause__, OSError)  # such as a full disk
            self._close("stopped", str(error), state="error")
            if not is_of_system:
                raise

    def _close(self, end: ShardEnd, reason: str | None, state: AttemptState | None = None) -> None:
        self._end, self._reason = end, reason
        with contextlib.suppress(LlemError):  # on a full disk the exit code must say it
            self._writer.end(state or end, reason)

    def outcome(self) -> ShardOutcome:
        """Return how the attempt has ended."""
        shard = self._shard
        with contextlib.suppress(StudyError):  # the end counts also if no file can be read now
            shard = StoredShard.read(shard.folder, shard.number, retry_failed=False)
        return shard.outcome(self._folder.number, self._end, self._reason)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
