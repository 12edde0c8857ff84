"""`merge_studies`: the runs of several folders as one study."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from llem_config import Settings, StudyConfig
from llem_config.foreign_files import ForeignFileError, read_bytes
from llem_config.settings import load_settings
from llem_runner._analysis.input_changes import InputHistory
from llem_runner._analysis.summary import summarise
from llem_runner._errors import StudyError
from llem_runner._storage.atomic_files import (
    MAX_JSON_BYTES,
    encode_json,
    reason_of,
    write_atomically,
)
from llem_runner._storage.input_files import changed_study_file, digest_inputs
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import ManifestEntry, StudyManifest
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner._storage.merged_files import transfer_run
from llem_runner._study.merged_study import merged_entries, merged_manifest, merged_study
from llem_runner._study.shards import (
    Shard,
    ShardRun,
    check_shards,
    completed_runs,
    identity_of,
    read_shard,
)


class MergedStudy(msgspec.Struct, frozen=True, kw_only=True):
    """What `merge_studies` has written."""

    folder: str
    shards: tuple[str, ...]
    """Names of the folders; shard n is the n-th."""
    n_points: int
    n_runs: int
    """Planned runs."""
    n_completed: int
    warnings: tuple[str, ...]


def merge_studies(
    out: str | Path,
    folders: Sequence[str | Path],
    *,
    copy: bool = False,
    settings: Settings | None = None,
) -> MergedStudy:
    """Write the runs of several study folders into a new one; the folders stay as they are.

    All folders must have the same points, or no point in common. A run keeps its result; runs,
    cycles and shards are numbered on from one folder to the next.

    Args:
        out: the folder to make.
        folders: of the studies, at least 2.
        copy: whether files are copied; otherwise they are hard links, which need no space.
        settings: of this machine, for emissions and cost; None: read.

    Raises:
        StudyError: a folder is damaged or running, the studies do not belong together, or `out`
            exists or cannot be written; then it is left as it was.
    """
    if len(folders) < 2:
        raise StudyError(f"expected at least 2 folders to merge, found {len(folders)}")
    shards = [read_shard(Path(folder)) for folder in folders]
    check_shards(shards)
    _check_place(Path(out), shards)
    settings = settings or load_settings()
    runs, problems = _read_runs(shards)
    with _new_folder(Path(out)) as layout:
        return _write(layout, shards, runs, problems, copy=copy, settings=settings)


class _Runs(msgspec.Struct):
    """What is kept of the results of all shards."""

    boards: list[frozenset[str]]
    """The metered devices of each shard."""
    input_changes: list[str]


def _read_runs(shards: Sequence[Shard]) -> tuple[_Runs, dict[tuple[int, int], str]]:
    """Read all results once; return also why results cannot be used, by shard and index.

    Raises:
        StudyError: a run is there twice.
    """
    history = InputHistory()
    owners: dict[bytes, str] = {}
    runs = _Runs([], [])
    problems: dict[tuple[int, int], str] = {}
    number = 0
    for position, shard in enumerate(shards):
        devices: set[str] = set()
        for item in completed_runs(shard):
            if not isinstance(item, ShardRun):
                problems[position, item[0].index] = item[1]
                continue
            number += 1
            devices.update(item.result.energy_per_device_j)
            runs.input_changes += history.add(number, item.result)
            name = f"run {item.entry.index} of {shard.folder}"
            owner = owners.setdefault(identity_of(item.result), name)
            if owner is not name:
                raise StudyError(
                    f"{name} is {owner}: expected each run once; leave one of the folders out"
                )
        runs.boards.append(frozenset(devices))
    return runs, problems


def _check_place(out: Path, shards: Sequence[Shard]) -> None:
    """Return if a new folder is outside of the folders of the shards.

    Raises:
        StudyError: it is in one of them, which would change.
    """
    for shard in shards:
        if shard.folder.resolve() in out.resolve().parents:
            raise StudyError(
                f"{out}: expected a place outside of the folders that are merged, found one in "
                f"{shard.folder}; use another name"
            )


@contextlib.contextmanager
def _new_folder(out: Path) -> Iterator[Layout]:
    """Make a folder, and delete it again if the context ends by an error."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.mkdir()
    except FileExistsError:
        raise StudyError(f"{out} exists; expected the name of a new folder") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{out} cannot be created: {reason_of(error)}") from error
    try:
        yield Layout(out)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def _write(
    layout: Layout,
    shards: Sequence[Shard],
    runs: _Runs,
    problems: Mapping[tuple[int, int], str],
    *,
    copy: bool,
    settings: Settings,
) -> MergedStudy:
    study = merged_study(shards)
    warnings = [*_board_warnings(shards, runs.boards), *runs.input_changes]
    entries = []
    positions = {id(shard): position for position, shard in enumerate(shards)}
    for shard, old, new in merged_entries(shards):
        entry = new
        if problem := problems.get((positions[id(shard)], old.index)):
            warnings.append(f"run {new.index} counts as failed: {problem}")
            entry = _failed(new, problem)
        elif old.status == "completed" and old.result_file is not None:
            entry = msgspec.structs.replace(new, result_file=_new_name(old.result_file, new))
            source = (shard.folder / old.result_file).parent
            warnings += transfer_run(source, _run_folder(layout, entry), copy=copy)
        entries.append(entry)
    source_text = _study_file(shards)
    if source_text is not None:
        write_atomically(layout.source, source_text)
    layout.write_study(study)
    inputs = digest_inputs(layout)
    manifest = merged_manifest(shards, study, entries, input_changes=runs.input_changes)
    manifest = msgspec.structs.replace(
        manifest,
        study_file_sha256=inputs.study_file_sha256,
        resolved_sha256=inputs.resolved_sha256,
    )
    _write_results(layout, shards, study, manifest, settings)
    return MergedStudy(
        folder=str(layout.folder),
        shards=manifest.shards,
        n_points=len(study.experiments),
        n_runs=len(entries),
        n_completed=manifest.totals.completed,
        warnings=tuple(warnings),
    )


def _write_results(
    layout: Layout,
    shards: Sequence[Shard],
    study: StudyConfig,
    manifest: StudyManifest,
    settings: Settings,
) -> None:
    """Write the statistics, then the manifest, which makes the folder a study."""
    protocol = next((shard.protocol for shard in shards if shard.protocol is not None), None)
    writer = ManifestWriter(layout, manifest)
    if protocol is None:  # how the runs were measured is not known
        writer.write()
        return
    result = summarise(study, layout, manifest, settings, limits_enforced=True)
    found = result.measurement_protocol
    result = msgspec.structs.replace(
        result,
        # A difference between two shards would look like a drift.
        summary=msgspec.structs.replace(result.summary, drift=None),
        measurement_protocol=msgspec.structs.replace(
            protocol,
            n_cycles=found.n_cycles,
            energy_sources=found.energy_sources,
            executors=found.executors,
        ),
    )
    content = encode_json(result)
    write_atomically(layout.study_result, content)
    writer.record_study_result(content)


def _failed(entry: ManifestEntry, problem: str) -> ManifestEntry:
    return msgspec.structs.replace(
        entry,
        status="failed",
        result_file=None,
        result_sha256=None,
        error_type="StudyError",
        error_message=problem,
    )


def _new_name(result_file: str, entry: ManifestEntry) -> str:
    """Return the path of a result with the new index and cycle, for `0007_c2_...` of the shard."""
    return re.sub(r"\A[0-9]+_c[0-9]+", f"{entry.index:04d}_c{entry.cycle}", result_file)


def _run_folder(layout: Layout, entry: ManifestEntry) -> Path:
    return (layout.folder / str(entry.result_file)).parent


def _study_file(shards: Sequence[Shard]) -> bytes | None:
    """Return the study file if all shards were started from the same one."""
    digests = {shard.manifest.study_file_sha256 for shard in shards}
    layout = Layout(shards[0].folder)
    if len(digests) > 1 or None in digests or changed_study_file(layout, shards[0].manifest):
        return None
    with contextlib.suppress(ForeignFileError):
        return read_bytes(layout.source, max_bytes=MAX_JSON_BYTES, follow_links=False)
    return None


def _board_warnings(shards: Sequence[Shard], boards: Sequence[frozenset[str]]) -> Iterator[str]:
    if len(set(boards)) < 2:
        return
    parts = "; ".join(
        f"{shard.folder.name}: {', '.join(sorted(devices)) or 'nothing was metered'}"
        for shard, devices in zip(shards, boards, strict=True)
    )
    yield (
        f"the folders were metered on different boards ({parts}), whose gains differ by up to about "
        "5 %; the gain cancels only in ratios of points that ran on the same board"
    )
