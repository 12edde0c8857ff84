"""The planned runs of a study, one after the other, each with its stored result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from llem_config import StudyConfig
from llem_config.foreign_files import ForeignFileError, read_json
from llem_energy import ExperimentResult
from llem_report._analysis.subject import subject
from llem_report._study_data.planned_runs import read_planned_run
from llem_report._study_data.site import Site, read_site
from llem_runner import read_manifest
from llem_runner.records import MachineKind, ManifestEntry, StudyManifest, machine_kind, other_kinds
from llem_runner.run_files import has_run_file

MAX_STUDY_BYTES = 2**29


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One planned run, or one point that the backend cannot run."""

    manifest: StudyManifest
    entry: ManifestEntry | None
    """None for a point that the backend cannot run."""
    result: ExperimentResult | None
    problem: str | None
    """Why the stored result is not used, or why the backend cannot run the point."""
    config: Mapping[str, Any]
    """The experiment as requested, as plain data."""
    levels: Mapping[str, str | None]
    """Factor to level; None where the factor does not exist."""
    site: Site
    """Where the study was measured."""


class StudyRecords:
    """The runs of a study folder; results are read one at a time, so that memory stays small."""

    def __init__(self, folder: Path, manifest: StudyManifest | None = None) -> None:
        """Read the manifest and the resolved study.

        Raises:
            StudyError: not a study folder, or its manifest is missing or damaged.
        """
        self.folder = folder
        self.manifest = manifest or read_manifest(folder)
        self.resolved: dict[str, Any] = {}
        """`study_resolved.json` as plain data; empty if it cannot be read."""
        self.notes: list[str] = []
        """What could not be read, one sentence each; complete after all runs were read."""
        self.subject: str | None = None
        """What was measured, `energy` or `speed`; None: nothing so far."""
        self._kinds: dict[int, tuple[str, MachineKind]] = {}
        self._configs: dict[str, dict[str, Any]] = {}
        self._levels: dict[str, dict[str, str | None]] = {}
        self._site = read_site(folder)
        self._read_study(folder / "study_resolved.json")

    @property
    def entries(self) -> list[ManifestEntry]:
        """All planned runs in order of their index."""
        return sorted(self.manifest.entries, key=lambda entry: entry.index)

    def runs(self) -> Iterator[RunRecord]:
        """Yield every planned run in order of its index, then the points that cannot run."""
        for entry in self.entries:
            result, problem = self._result(entry)
            config = self._configs.get(entry.config_hash, {}) if result is None else result.config
            yield self._record(entry, result, problem, config)
        skipped = self.resolved.get("skipped")
        for point in skipped if isinstance(skipped, list) else ():
            if isinstance(point, dict) and isinstance(point.get("config"), dict):
                yield self._record(None, None, point.get("reason"), point["config"])

    def other_machines(self) -> dict[int, str]:
        """Return in what the machines of runs that are not compared differ, by index of the run.

        Complete after all runs were read.
        """
        return other_kinds(self._kinds).reasons

    def run_file(self, entry: ManifestEntry, name: str) -> Path | None:
        """Return the path of a file of a completed run; None if there is none."""
        if entry.status != "completed" or entry.result_file is None:
            return None
        path = (self.folder / entry.result_file).with_name(name)
        return path if has_run_file(path) and _is_in_run_folder(path) else None

    def _record(
        self,
        entry: ManifestEntry | None,
        result: ExperimentResult | None,
        problem: str | None,
        config: Mapping[str, Any],
    ) -> RunRecord:
        return RunRecord(
            manifest=self.manifest,
            entry=entry,
            result=result,
            problem=problem,
            config=config,
            levels=self._levels.get(entry.config_hash, {}) if entry else {},
            site=self._site,
        )

    def _result(self, entry: ManifestEntry) -> tuple[ExperimentResult | None, str | None]:
        """Return the result of a run, or why it cannot be used; a link is not followed."""
        result, problem, is_changed = read_planned_run(self.folder, entry)
        if result is not None:
            self._kinds[entry.index] = (entry.config_hash, machine_kind(result))
            energy = self.subject == "energy" or result.energy_per_output_token_j is not None
            self.subject = subject(energy=energy, speed=True)
        if problem is not None:
            self.notes.append(f"run {entry.index} has no result: {problem}")
        elif is_changed:
            problem = "its result is not the file that the run wrote"
            path = self.folder / str(entry.result_file)
            self.notes.append(f"run {entry.index}: {problem}: {path}")
        return result, problem

    def _read_study(self, path: Path) -> None:
        try:
            self.resolved = read_json(path, max_bytes=MAX_STUDY_BYTES, follow_links=False)
            # As JSON, in which a list is valid for a tuple.
            study = StudyConfig.model_validate_json(msgspec.json.encode(self.resolved))
        except (ForeignFileError, ValueError, RecursionError, UnicodeEncodeError) as error:
            reason = str(error) if isinstance(error, ForeignFileError) else f"{path} is damaged"
            self.notes.append(f"{reason}; runs without a result have no configuration")
            return
        for key, experiment in zip(study.config_hashes, study.experiments, strict=True):
            self._configs[key] = experiment.model_dump(mode="json", exclude_none=True)
        for key, row in zip(study.config_hashes, study.levels, strict=False):
            self._levels[key] = {
                factor.key: None if level is None else factor.levels[level]
                for factor, level in zip(study.factors, row, strict=True)
            }


def _is_in_run_folder(path: Path) -> bool:
    return not path.parent.is_symlink()
