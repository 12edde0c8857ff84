"""What keeps a folder and a study from being the same one, in lines that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from llem_config import ExperimentConfig, StudyConfig
from llem_energy import facts_of
from llem_runner._plan.labels import labels

_MOST_LINES = 5
_MAY_DIFFER = frozenset({"n_cycles"})  # cycles can be added; fewer are refused elsewhere


def study_differences(kept: StudyConfig, asked: StudyConfig) -> list[str]:
    """Return how a study that is asked for differs from the one of a folder; [] if not at all.

    Gaps that `asked` leaves to the machine are no difference, nor is a name, which may be that of
    the file.
    """
    lines = [*_points(kept, asked)]
    old, new = kept.execution.model_dump(), asked.execution.model_dump()
    lines += [
        f"execution.{name}: {old[name]} in the folder, {value} asked for"
        for name, value in new.items()
        if name not in _MAY_DIFFER and value is not None and value != old[name]
    ]
    return lines


def _points(kept: StudyConfig, asked: StudyConfig) -> Iterator[str]:
    old = dict(zip(kept.config_hashes, kept.experiments, strict=True))
    new = dict(zip(asked.config_hashes, asked.experiments, strict=True))
    both = old | new
    names = dict(zip(both, labels(tuple(both.values())), strict=True))
    for where, own, other in (("in the folder", old, new), ("asked for", new, old)):
        only = [names[config_hash] for config_hash in own if config_hash not in other]
        for name in only[:_MOST_LINES]:
            yield f"point only {where}: {name}"
        if len(only) > _MOST_LINES:
            yield f"and {len(only) - _MOST_LINES} other points only {where}"


def file_differences(study: StudyConfig, directory: str | None) -> list[str]:
    """Return which relative paths mean other files here than where the study was begun."""
    begun, here = Path(directory or "."), Path.cwd()
    paths = dict.fromkeys(path for config in study.experiments for path in _paths(config))
    return [
        f"{path}: {begun / path} began the folder, {here / path} is meant from here"
        for path in paths
        # On another machine it is in neither place; there, the person has to see to it.
        if (begun / path).exists()
        and not ((here / path).exists() and (here / path).samefile(begun / path))
    ]


def _paths(config: ExperimentConfig) -> Iterator[str]:
    """Yield the values that may be paths relative to the directory where a study was started."""
    named = (
        *(model.name for model in facts_of(config.backend).models(config)),
        config.dataset.source,
        config.lora.adapter if config.lora else None,
    )
    yield from (name for name in named if name and not Path(name).is_absolute())


def version_differences(kept: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return which packages are not those that began a folder; [] if all are."""
    return [
        f"{name}: {kept.get(name, 'none')} began the folder, {now.get(name, 'none')} is installed"
        for name in sorted({*kept, *now})
        if kept.get(name) != now.get(name)
    ]
