"""`run_shard`: one attempt at a shard, by this process on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from llem_config import LlemError, Settings
from llem_energy import measure as default_measure
from llem_energy.preflight import Grant, find_machine
from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._events import Event, Note, OnEvent, PreflightWarning, StudyEnded, ignore
from llem_runner._executors.protocol import Executor
from llem_runner._executors.task import Measure
from llem_runner._shards.cluster import Cluster
from llem_runner._shards.limits import ShardLimits, seconds_left, seconds_to_end
from llem_runner._shards.merge import merge_if_done
from llem_runner._shards.outcome import ShardEnd, ShardOutcome
from llem_runner._shards.pack import pack_shard
from llem_runner._shards.records import Place
from llem_runner._shards.shard_attempt import ShardAttempt
from llem_runner._shards.stored_shard import StoredShard
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._study.preparation import check_caller
from llem_runner._study.session import Caller

MAX_RESTARTS = 20
"""How often a cluster is asked to start one task again."""
_WAIT_FOR_GPU_S = 90.0
"""The process of an earlier attempt on the same machine may take so long to be ended."""


def run_shard(
    folder: str | Path,
    number: int,
    *,
    cluster: Cluster | None = None,
    control: Control | None = None,
    on_event: OnEvent | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
    executor: Executor | None = None,
    retry: int = 0,
    retry_failed: bool = False,
    time_limit_s: float | None = None,
    wait: bool = True,
) -> ShardOutcome:
    """Run what is left of a shard, in a new attempt that only this process writes.

    Any number of processes may do this at the same time, on any machines, for one shard or several:
    no result is lost or overwritten. Of two results of a run, that of the first attempt counts.

    Args:
        folder: of the study, as `divide_study` has made it, or with the folder of this shard alone.
        number: of the shard, from 1.
        cluster: what has started this process, if it is one; it tells when its time ends.
        control: stops the attempt, or announces that its time is nearly over.
        on_event: called for everything that happens; see `Event`.
        measure: as in `run_study`.
        settings: of this machine; None loads them. Those that all shards share are of the study.
        executor: as in `run_study`.
        retry: as in `run_study`.
        retry_failed: whether runs that have failed in an earlier attempt run again.
        time_limit_s: for this attempt, in seconds; the cluster's limit holds too.
        wait: wait a short time for a GPU that another study uses.

    Raises:
        StudyError: the shard cannot be read or must not be run here, or the last attempts have
            finished no run; nothing was written then. A full disk is no error: the outcome says it.
    """
    check_caller(measure)
    shard = StoredShard.read(DividedFolder(Path(folder)), number, retry_failed=retry_failed)
    if not shard.open_runs:
        _pack_if_wanted(shard, on_event)  # a packing may have been stopped
        return shard.outcome(None, "failed" if shard.failed else "complete", None)
    shard.check()
    for sentence in (line for earlier in shard.attempts for line in earlier.damage):
        (on_event or ignore)(PreflightWarning(sentence))
    place = None if cluster is None else cluster.here(os.environ)
    try:
        attempt = ShardAttempt(shard, place)
    except StudyError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        # Such as a full disk: another start may succeed.
        return shard.outcome(None, "stopped", str(error))
    with Control.owned(control) as stop:
        limits = ShardLimits(
            stop,
            retry=retry,
            time_limit_s=_shorter(time_limit_s, seconds_left(place)),
            is_superseded=attempt.is_superseded,
            killed_in_s=seconds_to_end(place),
        )
        with limits, attempt.closed_on_error(limits, stop):
            caller = Caller(
                machine=find_machine(shard.settings(settings), grant=_grant(place)),
                control=stop,
                limits=limits,
                on_event=limits.following(_with_folder(on_event, shard.folder)),
                measure=measure,
                executor=executor,
                wait=wait,
                wait_at_most_s=_WAIT_FOR_GPU_S,
            )
            attempt.run(caller, limits)
    outcome = attempt.outcome()
    if outcome.end in ("complete", "failed"):
        _pack_if_wanted(shard, on_event)
    if outcome.end in ("complete", "failed", "fenced"):  # its last result may count, and come last
        try:
            merge_if_done(shard.folder, cluster)
        except LlemError as error:  # the shard is complete all the same
            (on_event or ignore)(Note(f"the study was not merged: {error}; use `study merge`"))
    if cluster is None or place is None or limits.is_stopped_by_others:
        return outcome
    return msgspec.structs.replace(outcome, is_restarted=_start_again(cluster, place, outcome.end))


def _pack_if_wanted(shard: StoredShard, on_event: OnEvent | None) -> None:
    """Pack the runs of a shard that is complete, if the study was divided so; no failure stops the shard."""
    if not shard.file.origin.pack:
        return
    try:
        left = pack_shard(shard.folder, shard.number).left
    except LlemError as error:
        left = (f"{error}; use `study pack`",)
    for sentence in left:
        (on_event or ignore)(Note(sentence))


def _grant(place: Place | None) -> Grant | None:
    """Return what the cluster says about the GPUs of this task."""
    if place is None:
        return None
    return Grant(gpus=place.gpus, whole_machine=place.whole_machine)


def _start_again(cluster: Cluster, place: Place, end: ShardEnd) -> bool:
    """Ask a cluster to start the shard again, if it does not do so by itself and it makes sense.

    A task that is stopped on request was preempted, and is started again by the cluster, or was
    cancelled. On a full disk it would end again at once.
    """
    if end not in ("again", "unfit") or place.n_restarts >= MAX_RESTARTS:
        return False
    return cluster.again(place, elsewhere=end == "unfit")


def _with_folder(on_event: OnEvent | None, folder: DividedFolder) -> OnEvent:
    """Return a callback to which the folder that ends is the study's, which can be continued."""

    def send(event: Event) -> None:
        if on_event is not None:
            if isinstance(event, StudyEnded):
                event = msgspec.structs.replace(event, folder=folder.folder)
            on_event(event)

    return send


def _shorter(first_s: float | None, other_s: float | None) -> float | None:
    limits_s = [limit_s for limit_s in (first_s, other_s) if limit_s is not None]
    return min(limits_s, default=None)
