"""Compares the models and data that the runs have read with those on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from llem_config import ExperimentConfig, LlemError, StudyConfig
from llem_energy import ExperimentResult
from llem_energy.models import InputDigest, digest_inputs
from llem_runner._verification.records import CheckedInput

_Key = tuple[str, str, str | None]


def check_inputs_here(
    study: StudyConfig, results: Mapping[int, ExperimentResult]
) -> Iterator[CheckedInput]:
    """Yield each input that the runs have read, in the order of the runs.

    Files of hundreds of gigabytes are read once; llem's cache has their digests then.

    Args:
        study: of the folder, with the full paths of files.
        results: of its completed runs, by index.
    """
    experiments = dict(zip(study.config_hashes, study.experiments, strict=True))
    seen: set[tuple[_Key, str | None]] = set()
    now: dict[str, dict[_Key, InputDigest] | str] = {}
    for result in results.values():
        point = result.measurement_config_hash
        config = experiments.get(point)
        for then in result.inputs:
            key = _key(then)
            if (key, then.sha256) in seen:
                continue
            seen.add((key, then.sha256))
            if point not in now:
                no_point = "the study has no such point"
                now[point] = no_point if config is None else _digests(config)
            yield _compared(then, now[point])
    yield from _of_the_hub(experiments, results.values())


def _key(each: InputDigest) -> _Key:
    return each.role, each.name, each.revision


def _digests(config: ExperimentConfig) -> dict[_Key, InputDigest] | str:
    """Return the digests of what a point reads here, or why there are none."""
    try:
        (found,) = digest_inputs((config,))
    except (LlemError, OSError) as error:
        return str(error)
    return {_key(each): each for each in found}


def _compared(then: InputDigest, here: Mapping[_Key, InputDigest] | str) -> CheckedInput:
    found = here.get(_key(then)) if not isinstance(here, str) else None
    sha256 = None if found is None else found.sha256
    reason = None
    if then.sha256 is None:
        state, reason = "unverifiable", "the runs have recorded no digest of it"
    elif sha256 is None:
        state = "not here"
        reason = here if isinstance(here, str) else "its files are not on this machine"
    else:
        state = "same" if sha256 == then.sha256 else "changed"
        if state == "changed":
            reason = _what_changed(then, found)
    return CheckedInput(
        role=then.role,
        name=then.name,
        revision=then.revision,
        state=state,  # type: ignore[arg-type]  # one of the literals above
        reason=reason,
        then_sha256=then.sha256,
        now_sha256=sha256,
    )


def _what_changed(then: InputDigest, now: InputDigest | None) -> str:
    before = {file.name: file.sha256 for file in then.files}
    after = {file.name: file.sha256 for file in (now.files if now else ())}
    names = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    return f"other content: {', '.join(names[:5])}" if names else "another architecture"


def _of_the_hub(
    experiments: Mapping[str, ExperimentConfig], results: Iterable[ExperimentResult]
) -> Iterator[CheckedInput]:
    """Yield the data sets whose files the runs have no digest of: those of the hub."""
    sources: dict[str, str] = {}
    for result in results:
        config = experiments.get(result.measurement_config_hash)
        has_digest = any(each.role == "data set" for each in result.inputs)
        if config is not None and not has_digest and config.dataset.source != "synthetic":
            sources.setdefault(config.dataset.source, result.prompts_sha256)
    for source, sha256 in sources.items():
        yield CheckedInput(
            role="data set",
            name=source,
            revision=None,
            state="unverifiable",
            reason="a data set of the hub; the results have the digest of its prompts",
            then_sha256=sha256 or None,
            now_sha256=None,
        )
