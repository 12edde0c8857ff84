"""Pre-flight checks of a study: every reason why it cannot start, found before anything is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from llem_config import Settings, StudyConfig
from llem_config.folders import NO_SUCH_FOLDER, found_instead
from llem_config.settings import variable_warnings
from llem_energy import preflight
from llem_energy.preflight import (
    DatasetCheck,
    DatasetFinding,
    Finding,
    Machine,
    PreflightReport,
    find_machine,
)
from llem_runner._errors import PreflightError
from llem_runner._plan.comparability import why_not_comparable
from llem_runner._plan.labels import labels


class Expectation(msgspec.Struct, frozen=True):
    """What would happen if a study were started on this machine."""

    refused: tuple[str, ...]
    """Every reason why the study would not start."""
    refused_everywhere: tuple[str, ...]
    """Those of `refused` that come from the study and its files: no other machine could run it."""
    will_fail: tuple[str, ...]
    """Why some points would fail."""
    warnings: tuple[str, ...]
    """What may spoil the results."""


class PreflightResult(msgspec.Struct, frozen=True):
    """What to expect from a study that can start."""

    warnings: tuple[str, ...]
    expected_failures: frozenset[str]
    """Hashes of the points that are expected to fail; their failures do not count towards
    `max_consecutive_failures`."""


def check(study: StudyConfig, results_dir: Path | None, machine: Machine) -> PreflightResult:
    """Return what to expect from a study, if it can start.

    Args:
        study: to be run.
        results_dir: where its folder will be created; None if nothing is written.
        machine: where it will run.

    Raises:
        PreflightError: the study cannot start; the error lists every reason.
    """
    report = preflight.check(study.experiments, machine)
    expectation = _expectation(study, results_dir, report)
    if expectation.refused:
        raise PreflightError(expectation.refused, _places(study, report.problems))
    will_fail = [f"will fail: {line}" for line in expectation.will_fail]
    points = {point for finding in report.expected_failures for point in finding.points}
    if len(points) == len(study.experiments):
        points = set()  # if every point fails indeed, the study should end early
    return PreflightResult(
        warnings=(*study.warnings, *will_fail, *expectation.warnings),
        expected_failures=frozenset(study.config_hashes[i] for i in points),
    )


def expect(study: StudyConfig, results_dir: Path | None, settings: Settings) -> Expectation:
    """Return what `run_study` would report before the first run; refuses nothing.

    Args:
        study: to be run.
        results_dir: where its folder would be created; None: do not check that.
        settings: of this machine.
    """
    report = preflight.check(study.experiments, find_machine(settings))
    expectation = _expectation(study, results_dir, report)
    if reason := why_not_comparable(study):
        return msgspec.structs.replace(expectation, warnings=(*expectation.warnings, reason))
    return expectation


def check_files(study: StudyConfig) -> tuple[str, ...]:
    """Return why a study cannot run on any machine; needs no device, library or network."""
    findings = preflight.check_files(study.experiments)
    return tuple(dict.fromkeys([*_several_backends(study), *_sentences(study, findings)]))


def _expectation(
    study: StudyConfig, results_dir: Path | None, report: PreflightReport
) -> Expectation:
    backends = _several_backends(study)
    refused = [*backends, *_sentences(study, report.problems)]
    if results_dir is not None:
        refused += _folder_problems(results_dir)
    return Expectation(
        refused=tuple(dict.fromkeys(refused)),
        refused_everywhere=(*backends, *_sentences(study, report.file_problems)),
        will_fail=tuple(_sentences(study, report.expected_failures)),
        warnings=(*variable_warnings(), *_sentences(study, report.warnings)),
    )


def check_data(study: StudyConfig) -> tuple[DatasetCheck, ...]:
    """Check every row of the data sets that a study uses, and nothing else.

    Raises:
        PreflightError: a data set cannot be used; the error lists every reason.
    """
    data = preflight.check_datasets(study.experiments)
    findings = [problem for each in data for problem in each.problems]
    if findings:
        raise PreflightError(_sentences(study, findings), _places(study, findings))
    return data


def _several_backends(study: StudyConfig) -> list[str]:
    backends = sorted({config.backend for config in study.experiments})
    if len(backends) == 1:
        return []
    # Their libraries cannot share an installation, and then the results would compare
    # installations, not options.
    return [
        f"a study runs on one backend, but this study has {' and '.join(backends)}; "
        "split it into one file for each backend"
    ]


def _sentences(study: StudyConfig, findings: Iterable[Finding]) -> list[str]:
    """Return the messages; those that concern some of the points say which."""
    findings = tuple(findings)
    n_points = len(study.experiments)
    if all(len(finding.points) == n_points for finding in findings):
        return [finding.message for finding in findings]
    names = labels(study.experiments)
    return [
        finding.message
        if len(finding.points) == n_points
        else f"{finding.message} (in {len(finding.points)} of {n_points} points, "
        f"the first is {names[finding.points[0]]})"
        for finding in findings
    ]


def _places(study: StudyConfig, findings: Sequence[Finding]) -> dict[str, DatasetFinding]:
    """Return the places in data sets, by the sentences about them."""
    return {
        sentence: finding
        for sentence, finding in zip(_sentences(study, findings), findings, strict=True)
        if isinstance(finding, DatasetFinding)
    }


def _folder_problems(results_dir: Path) -> list[str]:
    # The files of a study name both folders, in UTF-8.
    for folder in (results_dir, Path.cwd()):
        shown = str(folder).encode(errors="backslashreplace").decode().replace("\0", "\\0")
        if shown != str(folder):
            return [
                f"results cannot be written to {results_dir!a}: expected names of folders in UTF-8, "
                f"found {shown}; rename the folder or choose another"
            ]
    existing = results_dir.absolute()
    while (found := found_instead(existing)) == NO_SUCH_FOLDER and existing != existing.parent:
        existing = existing.parent
    if found == "a file":
        return [f"results cannot be written to {results_dir}: {existing} is not a folder"]
    if found:
        return [f"results cannot be written to {results_dir}: expected a folder, found {found}"]
    if not os.access(existing, os.W_OK | os.X_OK):
        is_read_only = os.statvfs(existing).f_flag & os.ST_RDONLY
        reason = "the file system is read-only" if is_read_only else "no permission"
        return [
            f"results cannot be written to {results_dir}: {reason} in {existing}; choose another folder"
        ]
    return []
