"""Which points of a study have worse answers than others of the same model.

A point is cheap for a bad reason if its precision or kernel makes its answers worse. Such a point is
marked, never dropped: how much worse is acceptable depends on the use.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from llem_energy.records import AnswerQuality, agreement, number_types
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.point_quality import MAX_RATIO, PointQuality
from llem_runner._storage.run_facts import MeasuredRun

_MAX_ANSWERS_RATIO, _MAX_ANSWERS_NATS = 1.5, 0.5
"""Of the points' own answers, which differ in any case: both are exceeded only if they make no sense."""
_SAME_WORK = ("dataset", "n", "decoder", "max_input_tokens", "max_output_tokens", "random_seed")
_N_BITS = {"fp32": 32, "bf16": 16, "fp16": 16}  # of any other precision: fewer


class ScoredPoint(NamedTuple):
    """A point, and what its runs found of its answers."""

    label: str
    config: Mapping[str, Any]
    """Its experiment as plain data; empty if it is not known."""
    qualities: tuple[AnswerQuality, ...]
    """Of its runs."""


def point_qualities(points: Sequence[ScoredPoint]) -> list[PointQuality | None]:
    """Return the quality of the answers of each point; None where no run states any."""
    means = [_mean(quality.nll for quality in point.qualities) for point in points]
    groups: dict[object, list[int]] = defaultdict(list)
    for i, point in enumerate(points):
        if means[i] is not None:
            groups[_model(point)].append(i)
    found = [_alone(point, nll) for point, nll in zip(points, means, strict=True)]
    for group in groups.values():
        for i, quality in _compared(points, means, group):
            found[i] = quality
    return _with_answers(points, found)


def qualities_of_points(
    by_point: Mapping[str, Sequence[ManifestEntry]], results: Mapping[int, MeasuredRun]
) -> dict[str, PointQuality | None]:
    """Return the quality of the answers of each point by its hash.

    Args:
        by_point: the planned runs of each point.
        results: of the completed runs, by index.
    """
    scored = []
    for entries in by_point.values():
        found = [results[entry.index] for entry in entries if entry.index in results]
        qualities = tuple(result.quality for result in found if result.quality is not None)
        scored.append(ScoredPoint(entries[0].label, found[0].config if found else {}, qualities))
    return dict(zip(by_point, point_qualities(scored), strict=True))


def worse_answers(named: Iterable[tuple[str, PointQuality | None]]) -> Iterator[str]:
    """Yield a sentence for each point whose answers are worse, by its label."""
    for label, quality in named:
        if quality is None or not quality.is_worse:
            continue
        if quality.is_broken or quality.nll_ratio_to_best is None:
            yield (
                f"the answers of {label} cannot be trusted: the likelihood of a fixed text is no "
                "number in some of its runs, so its figures are not those of an equal service"
            )
        elif quality.nll_ratio_to_best > MAX_RATIO or quality.nll_answers is None:
            yield (
                f"the answers of {label} are worse: {quality.mark} over {quality.best_label} on a "
                "fixed text, so its figures are not those of an equal service"
            )
        else:
            ratio = quality.nll_answers_ratio_to_median or math.nan
            yield (
                f"the answers of {label} are far from those of other points with the same prompts: the "
                f"model itself finds them {'less' if ratio > 1 else 'more'} probable (mean NLL of a "
                f"token {quality.nll_answers:.2g}, {ratio:.2g} x the median), so its figures may not "
                "be those of an equal service"
            )


def _alone(point: ScoredPoint, nll: float | None) -> PointQuality | None:
    """Return what the runs of a point say without other points."""
    if not point.qualities:
        return None
    reasons = dict.fromkeys(reason for quality in point.qualities for reason in quality.reasons)
    is_broken = any(quality.is_broken for quality in point.qualities)
    return PointQuality(
        nll=nll,
        nll_answers=_mean(quality.nll_answers for quality in point.qualities),
        is_worse=is_broken,
        is_broken=is_broken,
        reason="; ".join(reasons) or None,
    )


def _compared(
    points: Sequence[ScoredPoint], means: Sequence[float | None], group: Sequence[int]
) -> Iterator[tuple[int, PointQuality]]:
    """Yield the quality of each point of one model that has read the same text."""
    known = {i: nll for i in group if (nll := means[i]) is not None}
    best = min(known, key=lambda i: known[i])
    reference = min(known, key=lambda i: (-_bits(points[i]), known[i]))
    for i, nll in known.items():
        alone = _alone(points[i], nll)
        if alone is None:
            continue
        shared = agreement(_first(points[i]), _first(points[reference]))
        ratio = nll / known[best] if known[best] > 0 else None
        reasons = [alone.reason] if alone.reason else []
        if shared is None:
            reasons.append("no agreement: the runs have no most probable tokens")
        yield (
            i,
            PointQuality(
                nll=nll,
                nll_answers=alone.nll_answers,
                nll_ratio_to_best=ratio,
                best_label=points[best].label,
                agreement=shared,
                reference_label=points[reference].label,
                is_worse=alone.is_worse or (ratio is not None and ratio > MAX_RATIO),
                is_broken=alone.is_broken,
                reason="; ".join(reasons) or None,
            ),
        )


def _with_answers(
    points: Sequence[ScoredPoint], found: Sequence[PointQuality | None]
) -> list[PointQuality | None]:
    """Return the qualities, with the points' own answers compared where the work is the same."""
    # Not the lowest: a faulty cache may make a model repeat itself, which it finds most probable.
    of_work: dict[str, list[float]] = defaultdict(list)
    for point, quality in zip(points, found, strict=True):
        if quality is not None and quality.nll_answers is not None and quality.nll is not None:
            of_work[_work(point)].append(quality.nll_answers)
    compared: list[PointQuality | None] = []
    for point, quality in zip(points, found, strict=True):
        if quality is None or quality.nll_answers is None or quality.nll is None:
            compared.append(quality)
            continue
        usual = statistics.median(of_work[_work(point)])
        if usual <= 0 or quality.nll_answers <= 0:
            compared.append(quality)
            continue
        ratio, apart = quality.nll_answers / usual, abs(quality.nll_answers - usual)
        is_far = max(ratio, 1 / ratio) > _MAX_ANSWERS_RATIO and apart > _MAX_ANSWERS_NATS
        compared.append(
            msgspec.structs.replace(
                quality,
                nll_answers_ratio_to_median=ratio,
                is_worse=quality.is_worse or is_far,
            )
        )
    return compared


def _work(point: ScoredPoint) -> str:
    """Return what must be equal for the answers of two points to be compared, as text."""
    parts = (point.config.get(name) for name in _SAME_WORK)
    return repr((*_model(point), *parts))


def _model(point: ScoredPoint) -> tuple[object, ...]:
    """Return what must be equal for two points to be compared: model, adapter, and text read."""
    config = point.config
    return (
        config.get("model"),
        (config.get("lora") or {}).get("adapter"),
        _first(point).tokens_sha256,
    )


def _first(point: ScoredPoint) -> AnswerQuality:
    """Return the quality of the first run that has one."""
    return next(quality for quality in point.qualities if quality.nll is not None)


def _bits(point: ScoredPoint) -> int:
    precision, *packed = number_types(point.config)
    return 0 if packed else _N_BITS.get(str(precision or "bf16"), 0)


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.fmean(found) if found else None
