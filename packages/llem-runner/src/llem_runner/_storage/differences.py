"""Differences between a study folder and a study, one line for each difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from llem_config import ExperimentConfig, StudyConfig
from llem_energy.backends import facts_of
from llem_runner._plan.labels import labels

_MAX_LINES = 5
_MAY_DIFFER = frozenset({"n_cycles"})  # cycles can be added; removing some is refused elsewhere


def study_differences(
    stored: StudyConfig, requested: StudyConfig, *, compare_paths: bool = True
) -> list[str]:
    """Return how a requested study differs from the one in a folder; [] if they are equal.

    Gaps that `requested` leaves open may differ, and so may the name, which may come from the file.

    Args:
        stored: the study in the folder.
        requested: the study to compare with it.
        compare_paths: whether a relative path must lead to the same file.
    """
    lines = [*_points(stored, requested)]
    if compare_paths:
        lines += dict.fromkeys(_paths_differ(stored, requested))
    old, new = stored.execution.model_dump(), requested.execution.model_dump()
    lines += [
        f"execution.{name}: {old[name]} in the folder, {value} requested"
        for name, value in new.items()
        if name not in _MAY_DIFFER and value is not None and value != old[name]
    ]
    return lines


def _points(stored: StudyConfig, requested: StudyConfig) -> Iterator[str]:
    old = dict(zip(stored.config_hashes, stored.experiments, strict=True))
    new = dict(zip(requested.config_hashes, requested.experiments, strict=True))
    both = old | new
    names = dict(zip(both, labels(tuple(both.values())), strict=True))
    for where, points, others in (("in the folder", old, new), ("requested", new, old)):
        missing = [names[config_hash] for config_hash in points if config_hash not in others]
        for name in missing[:_MAX_LINES]:
            yield f"point only {where}: {name}"
        if len(missing) > _MAX_LINES:
            yield f"and {len(missing) - _MAX_LINES} more points only {where}"


def _paths_differ(stored: StudyConfig, requested: StudyConfig) -> Iterator[str]:
    new = dict(zip(requested.config_hashes, requested.experiments, strict=True))
    for config_hash, config in zip(stored.config_hashes, stored.experiments, strict=True):
        if config_hash in new:
            yield from _other_files(config.paths or {}, new[config_hash].paths or {})


def _other_files(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each relative path that names another file in the requested study."""
    for key in sorted(old.keys() & new.keys()):
        before, after = Path(old[key]), Path(new[key])
        is_same = before == after or (before.exists() and after.exists() and after.samefile(before))
        if before.exists() and not is_same:
            yield f"{key}: {before} in the folder, {after} requested"


def file_differences(study: StudyConfig, directory: str | None) -> list[str]:
    """Return the relative paths that name other files here than where the study was started."""
    start, here = Path(directory or "."), Path.cwd()
    paths = dict.fromkeys(path for config in study.experiments for path in _paths(config))
    return [
        f"{path}: the folder was started with {start / path}, but here it is {here / path}"
        for path in paths
        # On another machine neither file exists; there, the user must check it.
        if (start / path).exists()
        and not ((here / path).exists() and (here / path).samefile(start / path))
    ]


def _paths(config: ExperimentConfig) -> Iterator[str]:
    """Yield the values that may be paths relative to the directory where a study was started."""
    config = config.with_full_paths()
    names = (
        *(model.name for model in facts_of(config.backend).models(config)),
        config.dataset.source,
        config.lora.adapter if config.lora else None,
    )
    yield from (name for name in names if name and not Path(name).is_absolute())


def version_differences(stored: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the packages whose version differs from the one that started a folder."""
    return [
        f"{name}: the folder was started with {stored.get(name, 'none')}, but "
        f"{now.get(name, 'none')} is installed"
        for name in sorted({*stored, *now})
        if stored.get(name) != now.get(name)
    ]
