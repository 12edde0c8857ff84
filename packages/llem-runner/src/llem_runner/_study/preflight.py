"""Everything that would stop a study, looked for before anything is written; all at once."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from llem_config import ExperimentConfig, Settings, StudyConfig
from llem_energy import (
    blocking_problems,
    context_length_warnings,
    facts_of,
    gpu_uuids,
    memory_obstacles,
    missing_meters,
    unmet_requirements,
)
from llem_runner._errors import PreflightError
from llem_runner._gpus.locks import gpus_of
from llem_runner._plan.labels import labels


class Outlook(msgspec.Struct, frozen=True):
    """What a study that can start has to reckon with."""

    warnings: tuple[str, ...]
    foretold: frozenset[str]
    """Hashes of the points that will fail here; their failures are no sign of a broken machine."""


def check(study: StudyConfig, results_dir: Path | None, settings: Settings) -> Outlook:
    """Return if the study can start, with what may go wrong nevertheless.

    Args:
        study: what is to run.
        results_dir: where its folder would be made; None if nothing is to be written.
        settings: of this machine; they may name GPUs to meter.

    Raises:
        PreflightError: every reason why it cannot.
    """
    failures: list[str] = []
    backends = sorted({config.backend for config in study.experiments})
    if len(backends) > 1:
        # Their libraries cannot share a process environment, and a difference between them would
        # be one between installations, not between choices.
        failures.append(
            f"a study runs on one backend, this one has {' and '.join(backends)}; "
            "split it into one file for each"
        )
    found: dict[str, list[int]] = {}
    for alike in _alike(study.experiments):
        for failure in dict.fromkeys(blocking_problems(study.experiments[alike[0]])):
            found.setdefault(failure, []).extend(alike)
    on_gpu = [i for i, c in enumerate(study.experiments) if facts_of(c.backend).device(c) == "gpu"]
    if on_gpu and not gpu_uuids():
        found["a GPU is required, but this machine shows no NVIDIA GPU"] = on_gpu
    failures += _told(study, found)
    has_gpu = bool(gpu_uuids())
    lacking = unmet_requirements(study.experiments, has_gpu=has_gpu)
    # A GPU may be there that only the inference library sees: for want of one nothing is refused.
    hopeless = lacking if has_gpu else unmet_requirements(study.experiments, has_gpu=True)
    if len(set(itertools.chain(*hopeless.values()))) == len(study.experiments):
        failures += _told(study, lacking)
    impossible, doubtful = memory_obstacles(study.experiments, gpus_of(study.experiments))
    failures += impossible
    if results_dir is not None:
        failures += _folder(results_dir)
    if failures:
        raise PreflightError(list(dict.fromkeys(failures)))
    too_long = context_length_warnings(study.experiments)
    will_fail = [f"will fail: {sentence}" for sentence in _told(study, lacking)]
    warnings = (*will_fail, *doubtful, *too_long, *_without_energy(study, settings))
    points = set(itertools.chain(*lacking.values()))
    if len(points) == len(study.experiments):
        points = set()  # should that be true, the study had better end soon
    return Outlook(warnings, frozenset(study.config_hashes[i] for i in points))


def _without_energy(study: StudyConfig, settings: Settings) -> list[str]:
    """Tell that nothing will measure energy: better known before a night of runs than after it."""
    gpus = gpus_of(study.experiments) or settings.devices.gpus
    wishes = dict.fromkeys(config.energy.sources for config in study.experiments)
    found = [missing_meters(sources, gpus) for sources in wishes]
    return [f"no energy will be measured: {'; '.join(reasons)}" for reasons in found if reasons]


def _alike(experiments: Sequence[ExperimentConfig]) -> list[list[int]]:
    """Return the places of experiments with the same models and prompts, which is what is read."""
    found: dict[tuple[object, ...], list[int]] = {}
    for i, config in enumerate(experiments):
        models = facts_of(config.backend).models(config)
        key = (config.backend, models, config.dataset.model_dump_json(), config.n)
        found.setdefault(key, []).append(i)
    return list(found.values())


def _told(study: StudyConfig, found: Mapping[str, Sequence[int]]) -> list[str]:
    """Return the sentences, each with the points that it concerns where that is not all of them."""
    n_points = len(study.experiments)
    names = labels(study.experiments) if any(len(p) < n_points for p in found.values()) else []
    lines = []
    for sentence, points in found.items():
        of = f" (in {len(points)} of {n_points} points, the first is "
        lines.append(
            sentence if len(points) == n_points else f"{sentence}{of}{names[min(points)]})"
        )
    return lines


def _folder(results_dir: Path) -> list[str]:
    existing = results_dir.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return [f"results cannot be written to {results_dir}: {existing} is not a folder"]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [f"results cannot be written to {results_dir}: no permission in {existing}"]
    return []
