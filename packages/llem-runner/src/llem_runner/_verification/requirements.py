"""What a measurement of the same study on this machine needs, and what of it is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from llem_config import Settings, StudyConfig
from llem_energy import ExperimentResult
from llem_energy.preflight import find_machine
from llem_runner._errors import UnknownBackendError
from llem_runner._storage.manifest import StudyManifest, tool_versions
from llem_runner._study.preflight import expect
from llem_runner._verification.records import CheckedInput, Requirement


def requirements_here(
    study: StudyConfig | UnknownBackendError,
    manifest: StudyManifest,
    results: Iterable[ExperimentResult],
    inputs: Iterable[CheckedInput],
    settings: Settings,
) -> Iterator[Requirement]:
    """Yield each requirement, and whether this machine meets it.

    Args:
        study: of the folder, or why its points cannot be read here.
        manifest: of the folder.
        results: of its completed runs.
        inputs: compared with those on this machine.
        settings: of this machine.
    """
    results = tuple(results)
    yield _llem(manifest)
    yield from _gpus(results, settings)
    if isinstance(study, UnknownBackendError):
        yield Requirement(what="the backend", is_met=False, reason=str(study))
        return
    yield _inputs(tuple(inputs))
    expectation = expect(study, None, settings)
    problems = (*expectation.refused, *expectation.will_fail)
    yield Requirement(
        what="backend, libraries and memory",
        is_met=not problems,
        reason="; ".join(problems) or f"all {len(study.experiments)} points can start",
    )


def _llem(manifest: StudyManifest) -> Requirement:
    now = tool_versions()
    different = [
        f"{name} {manifest.versions.get(name, 'none')} then, {version} now"
        for name, version in now.items()
        if manifest.versions.get(name) != version
    ]
    return Requirement(
        what="the same versions of llem",
        is_met=not different,
        reason="; ".join(different) or ", ".join(f"{name} {each}" for name, each in now.items()),
    )


def _gpus(results: Iterable[ExperimentResult], settings: Settings) -> Iterator[Requirement]:
    """Yield one requirement for each name of a GPU that the runs have used, or none."""
    results = tuple(results)
    if not results:
        yield Requirement(what="GPUs", is_met=None, reason="no run has a result that names them")
        return
    needed: Counter[str] = Counter()
    for result in results:
        used = {device.device for device in result.devices}
        names = Counter(gpu.name for gpu in result.environment_snapshot.gpus if gpu.uuid in used)
        needed |= names
    here = Counter(gpu.name or "unnamed" for gpu in find_machine(settings).gpus)
    for name, number in needed.items():
        found = ", ".join(f"{n} x {each}" for each, n in here.items()) or "no GPU"
        yield Requirement(
            what=f"{number} x {name}",
            is_met=here[name] >= number,
            reason=f"this machine has {found}",
        )


def _inputs(inputs: tuple[CheckedInput, ...]) -> Requirement:
    what = "the same models and data"
    wrong = [each for each in inputs if each.state in ("changed", "not here")]
    unknown = [each for each in inputs if each.state == "unverifiable"]
    if wrong:
        reason = "; ".join(f"{each.role} {each.name}: {each.state}" for each in wrong)
        return Requirement(what=what, is_met=False, reason=reason)
    if unknown or not inputs:
        names = ", ".join(f"{each.role} {each.name}" for each in unknown)
        return Requirement(what=what, is_met=None, reason=f"no digest of {names or 'any'}")
    return Requirement(what=what, is_met=True, reason=f"{len(inputs)} with the same SHA-256")
