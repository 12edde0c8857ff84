"""The commit of llem that runs, and whether its files were changed since."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import msgspec

_PACKAGES = ("llem_config", "llem_energy", "llem_runner")
_TIMEOUT_S = 10.0


class CodeVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which code of llem ran."""

    commit: str | None
    """Of the git checkout that llem runs from, or that it was installed from; None if unknown."""
    is_changed: bool | None
    """Whether files of llem differ from this commit, new files included; None if unknown."""
    reason: str | None = None
    """Why one of them is unknown."""


def code_version(folders: Sequence[Path] | None = None) -> CodeVersion:
    """Return which code of llem runs in this process.

    Args:
        folders: of the packages; None: those that are installed.
    """
    folders = _package_folders() if folders is None else folders
    commits = [_commit(folder) for folder in folders]
    if not commits or None in commits:
        return _installed_from()
    if len(set(commits)) > 1:
        return CodeVersion(
            commit=None,
            is_changed=None,
            reason="the packages of llem run from several commits: "
            + ", ".join(
                f"{folder.name} {each}" for folder, each in zip(folders, commits, strict=True)
            ),
        )
    states = [_git(folder, "status", "--porcelain", "--", ".") for folder in folders]
    if None in states:
        return CodeVersion(
            commit=commits[0], is_changed=None, reason="git cannot list changed files"
        )
    return CodeVersion(commit=commits[0], is_changed=any(states))


def _package_folders() -> list[Path]:
    specs = [find_spec(name) for name in _PACKAGES]
    return [Path(spec.origin).parent for spec in specs if spec is not None and spec.origin]


def _commit(folder: Path) -> str | None:
    """Return the commit of the checkout that a package belongs to; None if it belongs to none.

    A package that is installed below the checkout of another project is not one of its files.
    """
    if not _git(folder, "ls-files", "--", "__init__.py"):
        return None
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints about a folder; None if it fails or is not installed."""
    # A file system monitor is a program that the checkout names; listing files needs none.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def _installed_from() -> CodeVersion:
    """Return the commit that an installer has recorded.

    Source: PEP 610, direct_url.json.
    """
    try:
        text = distribution("llem-runner").read_text("direct_url.json")
        commit = json.loads(text or "{}")["vcs_info"]["commit_id"]
    except (PackageNotFoundError, OSError, ValueError, LookupError, TypeError):
        return CodeVersion(
            commit=None, is_changed=None, reason="llem does not run from a git checkout"
        )
    return CodeVersion(
        commit=str(commit),
        is_changed=None,
        reason="llem was installed from this commit, and nothing lists later changes of its files",
    )
