"""`verify_study`: whether a study is what was measured, and what could be measured again here."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from llem_config import Settings
from llem_config.foreign_files import read_bytes
from llem_config.settings import load_settings
from llem_runner._archives.bag import DECLARATION
from llem_runner._archives.checked_file import CheckedFile
from llem_runner._archives.opening import OpenedStudy, open_files
from llem_runner._errors import StudyError
from llem_runner._provenance.start import Start, installed_packages, packages_at
from llem_runner._storage.atomic_files import MAX_JSON_BYTES
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest
from llem_runner._storage.running import is_running
from llem_runner._verification.all_files import check_all
from llem_runner._verification.inputs_here import check_inputs_here
from llem_runner._verification.records import (
    CheckedInput,
    CheckedVersion,
    Requirement,
    Verdict,
    Verification,
)
from llem_runner._verification.requirements import requirements_here

_N_TRIES = 3
"""Checks at most, if shards are added to the study during each."""


def verify_study(
    path: str | Path, *, files_only: bool = False, settings: Settings | None = None
) -> Verification:
    """Check the files of a study against their digests, and this machine against the study.

    Nothing in the folder is written. A changed file is a part of what is returned, no error.

    Args:
        path: folder of the study, or its archive.
        files_only: check the files only, not the models, data, versions and devices of this machine.
        settings: of this machine; None loads them.

    Raises:
        StudyError: no study is there, its manifest cannot be read, or the archive is damaged.
    """
    with open_files(path) as opened:
        check = functools.partial(
            _verify, opened, str(path), files_only=files_only, settings=settings
        )
        # If shards are added meanwhile, some files are those of the smaller study, and others are not.
        for _ in range(_N_TRIES - 1):
            before = _plan_signatures(opened.folder)
            try:
                found = opened.named(check())
            except StudyError:
                if _plan_signatures(opened.folder) == before:
                    raise
                continue
            if _plan_signatures(opened.folder) == before:
                return found
        return opened.named(check())


def _plan_signatures(folder: Path) -> list[tuple[int, ...] | None]:
    """Return what changes when shards are added to a study."""
    divided = DividedFolder(folder)
    files = (divided.plan, divided.next_plan, divided.layout.resolved)
    return [_signature(file) for file in files]


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.lstat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _verify(
    opened: OpenedStudy, path: str, *, files_only: bool, settings: Settings | None
) -> Verification:
    layout = Layout(opened.folder)
    checked = check_all(opened)
    manifest, results, files = checked.manifest, checked.results, checked.files
    verdict, reason = _verdict(files)
    versions, n_same = ((), 0) if files_only else _versions(manifest)
    inputs: tuple[CheckedInput, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    known = checked.study or checked.unknown_backend
    if not files_only and known is not None:
        settings = settings or load_settings()
        if checked.study is not None:
            inputs = tuple(check_inputs_here(checked.study, results.by_index))
        requirements = tuple(
            requirements_here(known, manifest, results.by_index.values(), inputs, settings)
        )
    return Verification(
        path=path,
        study_name=manifest.study_name,
        study_design_hash=manifest.study_design_hash,
        study_status=manifest.status,
        is_running=opened.archive is None and _is_running(layout),
        verdict=verdict,
        reason=reason,
        manifest_sha256=_sha256(layout.manifest),
        archive_sha256=opened.archive_sha256,
        files=files,
        starts=manifest.starts,
        versions=versions,
        n_same_versions=n_same,
        inputs=inputs,
        requirements=requirements,
    )


def _is_running(layout: Layout) -> bool | None:
    with contextlib.suppress(StudyError):  # the lock file of another user
        return is_running(layout.folder)
    return False


def _sha256(path: Path) -> str:
    content = read_bytes(path, max_bytes=MAX_JSON_BYTES, follow_links=False)
    return hashlib.sha256(content).hexdigest()


def _verdict(files: Sequence[CheckedFile]) -> tuple[Verdict, str]:
    """Return the verdict, and a sentence for it. A foreign file in a folder changes no study."""
    is_in_archive = any(file.name == DECLARATION for file in files)
    wrong = [
        file
        for file in files
        if file.state in ("changed", "missing") or (file.state == "foreign" and is_in_archive)
    ]
    n_intact = sum(file.state == "intact" for file in files)
    open_files = [file.name for file in files if file.state == "unverifiable"]
    if wrong:
        names = ", ".join(f"{file.name} ({file.state})" for file in wrong[:3])
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return "not intact", f"not as the study wrote it: {names}{more}"
    for file in files:
        if file.cause == "newer format":
            reason = (
                f"nothing contradicts the manifest, but {file.name} cannot be read: {file.reason}"
            )
            return "unverifiable", reason
    if any(name.endswith("result.json") for name in open_files) or not n_intact:
        return "unverifiable", (
            f"nothing contradicts the manifest, but it has no digest of {len(open_files)} files, "
            "because an early version of llem wrote it"
        )
    more = f"; no digest of {len(open_files)} more was recorded" if open_files else ""
    return "intact", f"{n_intact} files are as they were written{more}"


def _versions(manifest: StudyManifest) -> tuple[tuple[CheckedVersion, ...], int]:
    """Return the packages that differ from those of a start, and how many agree with all starts."""
    now = installed_packages()
    different: list[CheckedVersion] = []
    compared: set[str] = set()
    for start, packages in _frozen(manifest):
        compared |= packages.keys()
        different += [
            CheckedVersion(
                package=name, then=packages.get(name), now=now.get(name), session=start.session
            )
            for name in sorted(packages)
            if packages[name] != now.get(name)
        ]
    return tuple(different), len(compared - {each.package for each in different})


def _frozen(manifest: StudyManifest) -> Iterator[tuple[Start, dict[str, str]]]:
    for start in manifest.starts:
        if start.packages_of == start.session:
            yield start, packages_at(manifest.starts, start)
