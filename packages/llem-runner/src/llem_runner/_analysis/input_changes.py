"""Whether all runs of a study have read the same files: models, adapters and data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from llem_energy.models import InputDigest
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.run_facts import MeasuredRun


class Change(NamedTuple):
    """Something that a run reads and that an earlier run read with another content."""

    what: str
    run: int
    """The latest run with the other content."""


class InputHistory:
    """What the runs of a study have read so far."""

    def __init__(self) -> None:
        self._files: dict[tuple[object, ...], tuple[str | None, int]] = {}
        """SHA-256 and run by role, name, revision and file."""
        self._names: dict[tuple[object, ...], tuple[frozenset[str], int]] = {}
        """Names of all files, and the run, by point, role, name and revision."""
        self._prompts: dict[str, tuple[str, int]] = {}
        """SHA-256 of the prompts, and the run, by point."""

    def changes(self, config_hash: str, inputs: Iterable[InputDigest]) -> list[Change]:
        """Return what differs from earlier runs, if a run of this point reads `inputs` now."""
        found: list[Change] = []
        for each in inputs:
            if each.sha256 is None:
                continue
            thing = f"the {each.role} {each.name}"
            for key, digest, label in _contents(each):
                before = self._files.get(key)
                if before is not None and before[0] != digest:
                    found.append(Change(f"{label} of {thing}" if label else thing, before[1]))
            names = self._names.get(_point(config_hash, each))
            if names is not None:
                differing = sorted(names[0] ^ {file.name for file in each.files})
                found += [Change(f"{name} of {thing}", names[1]) for name in differing]
        return found

    def add(self, index: int, result: MeasuredRun) -> list[str]:
        """Add the result of a run; return a sentence for each input that has changed."""
        config_hash = result.measurement_config_hash
        found = self.changes(config_hash, result.inputs)
        prompts = self._prompts.get(config_hash)
        if prompts is not None and prompts[0] != result.prompts_sha256:
            found.append(Change("set of prompts", prompts[1]))
        self._prompts[config_hash] = result.prompts_sha256, index
        for each in result.inputs:
            if each.sha256 is None:
                continue
            self._files.update((key, (digest, index)) for key, digest, _ in _contents(each))
            names = frozenset(file.name for file in each.files)
            self._names[_point(config_hash, each)] = names, index
        return [f"run {index} read another {what} than run {earlier}" for what, earlier in found]


def input_changes(
    entries: Sequence[ManifestEntry], results: Mapping[int, MeasuredRun]
) -> tuple[str, ...]:
    """Return a sentence for each input that changed between the runs of a study.

    Args:
        entries: every planned run.
        results: of the completed runs, by index.
    """
    history = InputHistory()
    # By time, not by place in the schedule: a resume repeats a run later than planned.
    indices = sorted(
        (e.index for e in entries if e.index in results), key=lambda i: results[i].started_at
    )
    return tuple(line for index in indices for line in history.add(index, results[index]))


def _contents(each: InputDigest) -> list[tuple[tuple[object, ...], str | None, str]]:
    """Return key, SHA-256 and name of every file; a builtin model has no files."""
    thing = (each.role, each.name, each.revision)
    if not each.files:
        return [((*thing, ""), each.sha256, "")]
    return [((*thing, file.name), file.sha256, file.name) for file in each.files]


def _point(config_hash: str, each: InputDigest) -> tuple[object, ...]:
    return (config_hash, each.role, each.name, each.revision)
