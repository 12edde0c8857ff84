"""The grid equals a slow and simple expansion of the same axes.

Covers CFG-12, CFG-13 and CFG-14 for axes at random.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llem_config import ExperimentConfig, StudyConfig, load_study

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(1, 9),
    "random_seed": st.integers(0, 9),
    "max_output_tokens": st.integers(1, 9),
    "decoder.repetition_penalty": st.sampled_from([1.0, 1.1, 1.2]),
    "decoder.ignore_eos": st.booleans(),
    "pytorch.batch_size": st.integers(1, 9),
    "pytorch.batching": st.sampled_from(["static", "sorted"]),
    "vllm.block_size": st.integers(1, 9),
    "vllm.max_num_seqs": st.integers(1, 9),
}


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[list[str], dict[str, list[Any]]]:
    backends = draw(st.permutations(["pytorch", "vllm"]))[: draw(st.integers(1, 2))]
    keys = [key for key in VALUES if key.split(".")[0] not in {"pytorch", "vllm"} - {*backends}]
    chosen = draw(st.lists(st.sampled_from(keys), unique=True, min_size=1, max_size=4))
    axes = {key: draw(st.lists(VALUES[key], unique=True, min_size=1, max_size=3)) for key in chosen}
    return backends, axes


def reference(backends: list[str], axes: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return the points by counting in a mixed base: each digit is a position in an axis."""
    points = []
    for backend in backends:
        foreign = {"pytorch", "vllm"} - {backend}
        backend_axes = {
            key: values for key, values in axes.items() if key.split(".")[0] not in foreign
        }
        total = 1
        for values in backend_axes.values():
            total *= len(values)
        for number in range(total):
            point: dict[str, Any] = {"model": "m", "backend": backend}
            rest = number
            for key in reversed(backend_axes):
                rest, digit = divmod(rest, len(backend_axes[key]))
                section, _, field = key.rpartition(".")
                (point.setdefault(section, {}) if section else point)[field] = backend_axes[key][
                    digit
                ]
            points.append(point)
    return points


def load(data: dict[str, Any]) -> StudyConfig:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(json.dumps(data))  # JSON is YAML
        return load_study(path)


@settings(deadline=None)
@given(sweeps())
def test_the_grid_equals_the_reference_expansion_in_the_same_order(
    sweep: tuple[list[str], dict[str, list[Any]]],
) -> None:
    backends, axes = sweep
    study = load({"model": "m", "backend": backends, "sweep": axes})
    expected = [ExperimentConfig.model_validate(point) for point in reference(backends, axes)]
    assert list(study.experiments) == expected
    assert (study.n_duplicates, study.n_excluded) == (0, 0)
    for point, row in zip(reference(backends, axes), study.levels, strict=True):
        assert levels(study, row) == {
            key: value_at(point, key) for key in (*axes, *listed(backends))
        }


def listed(backends: list[str]) -> list[str]:
    """Return the key of the factor that several backends are."""
    return ["backend"] if len(backends) > 1 else []


def levels(study: StudyConfig, row: tuple[int | None, ...]) -> dict[str, str | None]:
    """Return the label of each factor at one point."""
    return {
        factor.key: None if level is None else factor.levels[level]
        for factor, level in zip(study.factors, row, strict=True)
    }


def value_at(point: dict[str, Any], key: str) -> str | None:
    """Return a value of a point as a label; None if the point does not have the field."""
    value: Any = point
    for part in key.split("."):
        value = value.get(part) if value is not None else None
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


@settings(deadline=None)
@given(sweeps(), st.integers(1, 9))
def test_exclude_drops_exactly_the_points_of_the_reference_expansion(
    sweep: tuple[list[str], dict[str, list[Any]]], seed: int
) -> None:
    backends, axes = sweep
    axes = {**axes, "random_seed": sorted({*axes.get("random_seed", []), seed, 0})}
    study = load(
        {"model": "m", "backend": backends, "sweep": axes, "exclude": [{"random_seed": seed}]}
    )
    points = reference(backends, axes)
    expected = [point for point in points if point["random_seed"] != seed]
    assert list(study.experiments) == [ExperimentConfig.model_validate(item) for item in expected]
    assert study.n_excluded == len(points) - len(expected)
