"""Which point of one study belongs to which point of another."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from llem_report._comparison.measured_study import MeasuredStudy
from llem_report._errors import ReportError
from llem_report.comparison_records import FieldDifference, UnpairedPoint

_MAX_NEAREST = 20
"""Unpaired points of each study for which the nearest point is searched for."""
_MISSING = object()


class Pair(NamedTuple):
    """A point that both studies have."""

    base: str
    """Its hash in the base."""
    new: str


class Pairing(NamedTuple):
    """The points of two studies."""

    pairs: tuple[Pair, ...]
    """In the order of the new study."""
    unpaired: tuple[UnpairedPoint, ...]


def pair_points(base: MeasuredStudy, new: MeasuredStudy, ignored: Sequence[str] = ()) -> Pairing:
    """Pair the points of two studies.

    Args:
        base: the earlier study.
        new: the later study.
        ignored: fields, such as `pytorch.batch_size`, or sections, in which two points of a pair
            may differ.

    Raises:
        ReportError: no point has an ignored field, or points of one study differ in ignored fields
            only.
    """
    check_fields((base, new), ignored)
    old_keys, new_keys = (_by_key(study, ignored) for study in (base, new))
    pairs = tuple(Pair(old_keys[key], point) for key, point in new_keys.items() if key in old_keys)
    in_base, in_new = {pair.base for pair in pairs}, {pair.new for pair in pairs}
    unpaired = (*_unpaired(base, new, in_base, "base"), *_unpaired(new, base, in_new, "new"))
    return Pairing(pairs, unpaired)


def check_fields(studies: Iterable[MeasuredStudy], ignored: Sequence[str]) -> None:
    """Return if points have the ignored fields.

    Raises:
        ReportError: none has one of them.
    """
    if not ignored:
        return
    fields: dict[str, None] = {}
    for study in studies:
        for config in study.configs.values():
            for field in leaves(config):
                parts = field.split(".")
                fields.update(dict.fromkeys(".".join(parts[:n]) for n in range(1, len(parts) + 1)))
    for name in ignored:
        if name not in fields:
            close = get_close_matches(name, fields, 1)
            hint = f"did you mean {close[0]}?" if close else "use the names of the study file"
            raise ReportError(f"--ignore: no point has the field {name}; {hint}")


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the name of every field of a configuration, such as `pytorch.batch_size`."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _by_key(study: MeasuredStudy, ignored: Sequence[str]) -> dict[str, str]:
    """Return the hash of each point by what pairs it with a point of another study."""
    if not ignored:
        return {point: point for point in study.labels}
    points: dict[str, str] = {}
    for point, config in study.configs.items():
        key = json.dumps(_without(config, ignored, ""), sort_keys=True)
        if key in points:
            raise ReportError(
                f"{study.folder}: the points {study.labels[points[key]]} and {study.labels[point]} "
                f"differ in ignored fields only ({', '.join(ignored)}), so each has two partners; "
                "ignore fewer fields"
            )
        points[key] = point
    return points


def _without(config: Mapping[str, Any], ignored: Collection[str], prefix: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in config.items():
        name = prefix + key
        # The place of a model follows from its name, and is in no hash either.
        if name in ignored or name == "paths":
            continue
        inner = _without(value, ignored, f"{name}.") if isinstance(value, Mapping) else value
        if inner != {}:
            kept[key] = inner
    return kept


def _unpaired(
    study: MeasuredStudy, other: MeasuredStudy, paired: Collection[str], side: str
) -> Iterator[UnpairedPoint]:
    points = [point for point in study.labels if point not in paired]
    candidates = {point: _flat(config) for point, config in other.configs.items()}
    for number, point in enumerate(points):
        nearest: str | None = None
        fields: Sequence[FieldDifference] = ()
        if number < _MAX_NEAREST and point in study.configs and candidates:
            nearest, fields = _nearest(_flat(study.configs[point]), candidates, side)
        yield UnpairedPoint(
            study="base" if side == "base" else "new",
            config_hash=point,
            label=study.labels[point],
            reason=(
                "the other study does not have this point"
                if point in study.configs
                else "the point has no result"
            ),
            nearest=None if nearest is None else other.labels[nearest],
            differences=tuple(fields),
        )


def _nearest(
    config: Mapping[str, Any], candidates: Mapping[str, Mapping[str, Any]], side: str
) -> tuple[str, Sequence[FieldDifference]]:
    """Return the candidate that differs in the fewest fields, and these fields."""

    def fields(candidate: Mapping[str, Any]) -> list[str]:
        return [
            key
            for key in dict.fromkeys((*config, *candidate))
            if config.get(key, _MISSING) != candidate.get(key, _MISSING)
        ]

    nearest = min(candidates, key=lambda point: len(fields(candidates[point])))
    found = candidates[nearest]
    base, new = (config, found) if side == "base" else (found, config)
    return nearest, [
        FieldDifference(field=key, base=_shown(base, key), new=_shown(new, key))
        for key in fields(found)
    ]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = prefix + key
        if name == "paths":
            continue
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _shown(config: Mapping[str, Any], key: str) -> str | None:
    return json.dumps(config[key]) if key in config else None
