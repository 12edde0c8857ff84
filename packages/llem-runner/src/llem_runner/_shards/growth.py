"""`add_cycles` and `add_points`: more shards for a study that is divided, numbered on.

Nothing that is on disk changes but the plan, which becomes longer, and the resolved study.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from llem_config import StudyConfig
from llem_energy.preflight import find_machine
from llem_runner._errors import PreflightError, StudyError
from llem_runner._plan.schedule import PlannedRun, schedule
from llem_runner._plan.shards import Shard, added_shards
from llem_runner._shards.cluster import Cluster
from llem_runner._shards.idle import check_not_running
from llem_runner._shards.planned_files import (
    needs_of,
    point_of_run,
    points_of,
    shard_file,
    shard_plan,
)
from llem_runner._shards.records import ShardPlan
from llem_runner._shards.submission import check_obstacles
from llem_runner._storage.atomic_files import write_atomically
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_manifest import merge_manifests
from llem_runner._storage.divided_records import PlanFile
from llem_runner._storage.layout import encode_study
from llem_runner._storage.lock import hold
from llem_runner._storage.manifest import Extension, StudyManifest
from llem_runner._storage.resolved_digest import digest_of_resolved
from llem_runner._storage.study_reader import read_study
from llem_runner._study.continuation import (
    check_input_files,
    check_same_study,
    comparison_warnings,
    expected_study,
    with_cycles,
)
from llem_runner._study.extend import requested_growth
from llem_runner._study.growth_notes import growth_notes
from llem_runner._study.preflight import check_files


class Addition(msgspec.Struct, frozen=True, kw_only=True):
    """Shards that a study got, or would get."""

    plan: ShardPlan
    """With them."""
    numbers: tuple[int, ...] = ()
    """Of them; () if the study had all of it before."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user."""
    notes: tuple[str, ...] = ()
    """Which points are new, which are measured again, and how many runs that makes; () for cycles."""


class _Opened(NamedTuple):
    divided: DividedFolder
    plan: PlanFile
    study: StudyConfig
    manifest: StudyManifest


def add_cycles(
    folder: str | Path,
    cycles: int | None = None,
    *,
    config: str | Path | StudyConfig | None = None,
    cluster: Cluster | None = None,
    even_if_running: bool = False,
    write: bool = True,
) -> Addition:
    """Add cycles to a divided study as further shards; they run as any others that are left.

    If the process is killed, the study has its old shards or all of the new ones, and the same call
    may be made again.

    Args:
        folder: of the study.
        cycles: number of cycles to reach; None: that of `config`, or no more than before.
        config: as in `resume_study`.
        cluster: that has run shards, and knows which of them still run; None: none is asked.
        even_if_running: add cycles also if a shard runs or may run.
        write: whether the shards are written, and not only returned.

    Raises:
        ConfigError: mistakes in the study file.
        StudyError: not the folder of a divided study, or a damaged one; it runs; it has more cycles
            already; new runs would not be comparable; or the cluster does not answer. Nothing was changed.
        SubmissionObstructed: nothing can be given to the cluster from here; likewise.
        PreflightError: no machine could run the study; likewise.
    """
    with _opened(folder, cluster, write=write) as opened:
        divided, plan, study, manifest = opened
        expected = expected_study(config, study, manifest)
        check_same_study(divided.layout, study, manifest, expected)
        warnings = check_input_files(divided.layout, study, manifest)
        grown = with_cycles(study, cycles, expected)
        if grown.execution.n_cycles == plan.n_cycles:
            return Addition(plan=shard_plan(divided, plan), warnings=tuple(warnings))
        check_not_running(divided, plan, cluster, even_if_running=even_if_running)
        return _add(opened, grown, warnings, write=write)


def add_points(
    folder: str | Path,
    config: str | Path | StudyConfig,
    *,
    anchors: int | None = None,
    cycles: int | None = None,
    cluster: Cluster | None = None,
    even_if_running: bool = False,
    write: bool = True,
) -> Addition:
    """Add points to a divided study as further shards, which run in cycles of their own.

    Some of the old points run again in these cycles, as in `extend_study`. If the process is killed,
    the study has its old points or all of the new ones.

    Args:
        folder: of the study; none of its runs is left.
        config: as in `extend_study`.
        anchors: as in `extend_study`.
        cycles: as in `extend_study`.
        cluster: as in `add_cycles`; with None, the GPUs of this machine are checked as in `extend_study`.
        even_if_running: as in `add_cycles`.
        write: as in `add_cycles`.

    Raises:
        ConfigError: mistakes in the study file.
        StudyError: as in `add_cycles`, or the study is not finished or has all points already.
        SubmissionObstructed: as in `add_cycles`.
        PreflightError: as in `add_cycles`.
    """
    with _opened(folder, cluster, write=write) as opened:
        divided, plan, study, manifest = opened
        check_not_running(divided, plan, cluster, even_if_running=even_if_running)
        machine = find_machine() if cluster is None else None  # this may be a login node
        growth, source = requested_growth(
            divided.layout, study, manifest, config, machine, anchors=anchors, cycles=cycles
        )
        check_same_study(divided.layout, study, manifest, None)
        warnings = [*growth.warnings, *check_input_files(divided.layout, study, manifest)]
        extension = msgspec.structs.replace(growth.extension, is_open=False)
        return _add(opened, growth.study, warnings, extension, source, write=write)


@contextlib.contextmanager
def _opened(folder: str | Path, cluster: Cluster | None, *, write: bool) -> Iterator[_Opened]:
    """Yield a study to which no other process adds anything at the same time, if it is to be changed."""
    divided = DividedFolder(Path(folder).absolute())
    plan = divided.read_plan()  # no lock file in a folder of another kind
    if cluster is not None:
        before = shard_plan(divided, plan)
        check_obstacles(cluster, before)
        if write:
            cluster.found(before)  # one that does not answer is refused before the shards are there
    with contextlib.ExitStack() as stack:
        if write:
            lock = hold(
                divided.layout.lock,
                str(divided.folder),
                in_use=f"another command is adding to {divided.folder}",
                without_locks="copy it to a file system with locks and add to the copy, because two "
                "commands that add something at once would damage it",
            )
            stack.enter_context(lock)
            divided.finish_growth()
        plan, manifest = divided.read_plan(), merge_manifests(divided)
        yield _Opened(divided, plan, read_study(divided.folder), manifest)


def _add(
    opened: _Opened,
    grown: StudyConfig,
    warnings: Sequence[str],
    extension: Extension | None = None,
    source: bytes | None = None,
    *,
    write: bool,
) -> Addition:
    divided, plan, _, manifest = opened
    runs = schedule(grown)
    _check_runs(divided, plan, runs)
    if problems := check_files(grown):
        raise PreflightError(problems)
    shards = added_shards(grown, runs, plan.shards, plan.shards_per_cycle)
    larger = _larger(plan, grown, runs, shards, manifest, extension)
    if write:
        digests = [
            divided.write_shard(shard_file(grown, larger, shard), may_exist=True)
            for shard in shards
        ]
        if extension is not None and extension.study_file is not None and source is not None:
            write_atomically(divided.folder / extension.study_file, source)
        known = plan.shard_sha256  # of an older study there are none, also not of some shards
        larger = msgspec.structs.replace(larger, shard_sha256=(*known, *digests) if known else ())
        divided.grow(larger, grown)
    return Addition(
        plan=shard_plan(divided, larger),
        numbers=tuple(shard.number for shard in shards),
        warnings=(
            *warnings,
            *comparison_warnings(grown, manifest, adds_points=extension is not None),
        ),
        notes=() if extension is None else tuple(growth_notes(grown, extension)),
    )


def _larger(
    plan: PlanFile,
    grown: StudyConfig,
    runs: Sequence[PlannedRun],
    shards: Sequence[Shard],
    manifest: StudyManifest,
    extension: Extension | None,
) -> PlanFile:
    """Return the plan with more shards, without their digests."""
    needs = needs_of(grown.experiments)
    longest = max(len(shard.runs) for shard in plan.shards)
    longer = max(1.0, max(len(shard.runs) for shard in shards) / longest)
    seen = {entry.cycle for entry in manifest.entries if entry.status == "completed"}
    return msgspec.structs.replace(
        plan,
        schema_version=2,
        points=points_of(grown, runs),
        point_of_run=point_of_run(grown, runs),
        shards=(*plan.shards, *shards),
        seconds_per_shard=plan.seconds_per_shard and plan.seconds_per_shard * longer,
        n_gpus=needs.n_gpus,
        whole_machine=needs.whole_machine,
        resolved_sha256=digest_of_resolved(encode_study(grown)),
        looks=(*plan.looks, len(seen)) if seen else plan.looks,
        extensions=plan.extensions if extension is None else (*plan.extensions, extension),
    )


def _check_runs(divided: DividedFolder, plan: PlanFile, runs: Sequence[PlannedRun]) -> None:
    """Return if the runs of the plan are the first ones of the larger study."""
    cycles = {index: shard.cycle for shard in plan.shards for index in shard.runs}
    planned = [
        (plan.points[place].config_hash, cycles[index])
        for index, place in enumerate(plan.point_of_run, 1)
    ]
    if planned != [(run.config_hash, run.cycle) for run in runs[: len(planned)]]:
        raise StudyError(
            f"{divided.plan} does not list the runs of {divided.layout.resolved.name}; restore both from a copy"
        )
