"""The resolved study: its points, and how to run them."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    NonNegativeInt,
    computed_field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from llem_config._spec.cycle_parts import CyclePart, part_problem
from llem_config._spec.experiment import ExperimentConfig
from llem_config._spec.factors import Factor, LevelRow, common_row, row_problem
from llem_config._spec.hashing import design_hash_of, measurement_config_hash
from llem_config._spec.limits import MAX_RUNS, Count, Cycles, PositiveSeconds, Seconds, Seed
from llem_config._spec.strict import STRICT

EXECUTION_ALIASES = {"experiment_gap_seconds": "config_gap_seconds"}

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""The name of a study is the beginning of a folder's name, so it may not contain a path."""


class ExecutionConfig(BaseModel):
    """How often, in which order and with which gaps the points run; not part of any hash."""

    model_config = ConfigDict(**STRICT, populate_by_name=True)

    n_cycles: Cycles = 1
    """Number of runs of every point; 1 by default, and 3 on the command line.

    Energy: none on a run. More cycles make intervals narrower; points are compared from three
    cycles on.
    """
    cycle_order: Literal["sequential", "interleaved", "shuffled"] = "shuffled"
    """`shuffled`: each cycle in another random order, so that points can be compared;
    `interleaved`: A B A B; `sequential`: A A B B. In the last two, drift of the machine looks like
    a difference between points, so points are not compared.

    Energy: a run after a hot one begins with a warmer device; a random order spreads this over all
    points.
    """
    shuffle_seed: Seed = 42
    """Seed of the random order, a whole number.

    Energy: none.
    """
    config_gap_seconds: Seconds | None = Field(
        None, validation_alias=AliasChoices("config_gap_seconds", "experiment_gap_seconds")
    )
    """Gap before a run in seconds; by default the setting of the machine, 60 if nothing is set.
    `config_gap_seconds` and `experiment_gap_seconds` are two names of this field; give one.

    Energy: the device cools down in a gap, so that no run begins warmer because of the one before.
    The gap is not part of the measured energy.
    """
    cycle_gap_seconds: Seconds | None = None
    """Gap before the first run of a cycle in seconds; by default the setting of the machine, 300 if
    nothing is set.

    Energy: the device cools down in a gap. The gap is not part of the measured energy.
    """
    timeout_seconds: PositiveSeconds = 3600.0
    """A run that takes longer than this number of seconds is killed and recorded as failed.

    Energy: none.
    """
    stall_seconds: PositiveSeconds = 600.0
    """A run is also killed after this number of seconds without progress: no message, no new line
    in its log and no processor time.

    Energy: none.
    """
    max_consecutive_failures: Count = 5
    """Number of failures in a row that abort the study.

    Energy: none.
    """


def too_many_runs(n_points: int, n_cycles: int) -> str | None:
    """Return the sentence about a study with more than a million runs; None if it has fewer."""
    n_runs = n_points * n_cycles
    if n_runs <= MAX_RUNS:
        return None
    return (
        f"expected at most {MAX_RUNS} runs, found {n_points} points x {n_cycles} cycles = {n_runs}; "
        "use fewer cycles or fewer points"
    )


class SkippedPoint(BaseModel):
    """A point that its backend cannot run."""

    model_config = STRICT

    config: dict[str, Any]
    """As written, without defaults."""
    reason: str
    """Why the backend cannot run it."""


class StudyConfig(BaseModel):
    """A study ready to run. Made by `load_study`, or directly from experiments in Python."""

    model_config = STRICT

    name: Name = "study"
    experiments: Annotated[tuple[ExperimentConfig, ...], Field(strict=False, min_length=1)]
    """Each point once; a duplicate is dropped and counted."""
    execution: ExecutionConfig = ExecutionConfig()
    """How often and in which order the points run."""
    skipped: Annotated[tuple[SkippedPoint, ...], Field(strict=False)] = ()
    """The points that their backend cannot run."""
    n_duplicates: NonNegativeInt = 0
    """Number of duplicates that were dropped."""
    n_excluded: NonNegativeInt = 0
    """Number of points that `exclude` dropped."""
    # A study without factors is stored as earlier versions stored it, so its digest is the same.
    factors: Annotated[tuple[Factor, ...], Field(strict=False)] = Field(
        (), exclude_if=operator.not_
    )
    """The axes of the sweep; empty for a study without sweep."""
    levels: Annotated[tuple[LevelRow, ...], Field(strict=False)] = Field(
        (), exclude_if=operator.not_, repr=False
    )
    """For each experiment its level of each factor: a position in `Factor.levels`, or None if the
    factor does not exist at this point."""
    parts: Annotated[tuple[CyclePart, ...], Field(strict=False)] = Field(
        (), exclude_if=operator.not_, repr=False
    )
    """Which points run in which cycles, if points were added after the first cycles; empty: all
    points run in all cycles."""
    warnings: Annotated[tuple[str, ...], Field(strict=False, exclude=True, repr=False)] = ()
    """What is valid in the study file, but has no effect; not stored."""
    source: str | None = Field(None, exclude=True, repr=False)
    """The text of the study file, for the folder of the results."""
    overrides: dict[str, Any] | None = Field(None, exclude=True, repr=False)
    """What was set above the study file, such as flags, in the shape of a study file."""

    @model_validator(mode="wrap")
    @classmethod
    def _drop_duplicates(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        experiments = data.get("experiments") if isinstance(data, Mapping) else None
        if not isinstance(experiments, list | tuple):
            return handler(data)
        points: dict[str, ExperimentConfig] = {}
        hashes = []
        for item in experiments:
            is_valid = isinstance(item, ExperimentConfig)
            config = item if is_valid else ExperimentConfig.model_validate(item)
            hashes.append(measurement_config_hash(config))
            points.setdefault(hashes[-1], config)
        n_dropped = len(experiments) - len(points)
        fields = {key: value for key, value in data.items() if key != "study_design_hash"}
        if n_dropped:
            fields |= _without_duplicates(hashes, data)
        study = handler(
            {
                **fields,
                "experiments": tuple(points.values()),
                "n_duplicates": data.get("n_duplicates", 0) + n_dropped,
            }
        )
        # Kept, because hashing again takes 10 of the 40 us that a point costs (config_speed.py).
        study.__dict__["config_hashes"] = tuple(points)
        if problem := too_many_runs(len(points), study.execution.n_cycles):
            raise PydanticCustomError("llem_runs", "{problem}", {"problem": problem})
        if problem := row_problem(study.factors, study.levels, len(points)):
            raise PydanticCustomError("llem_levels", "{problem}", {"problem": problem})
        if problem := part_problem(study.parts, len(points)):
            raise PydanticCustomError("llem_parts", "{problem}", {"problem": problem})
        return study

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; its hashes are computed again if `update` has other experiments.

        Experiments of this study keep their levels; with others, the copy has no factors.
        """
        copied = super().model_copy(update=update, deep=deep)
        if update and "experiments" in update:
            if "parts" not in update:  # they have positions of points
                copied.__dict__["parts"] = ()
            if "levels" not in update:
                rows = dict(zip(self.config_hashes, self.levels, strict=False))
                hashes = [measurement_config_hash(config) for config in copied.experiments]
                is_known = all(config_hash in rows for config_hash in hashes)
                copied.__dict__["factors"] = self.factors if is_known else ()
                copied.__dict__["levels"] = tuple(map(rows.get, hashes)) if is_known else ()
            for name in ("config_hashes", "study_design_hash"):
                copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def config_hashes(self) -> tuple[str, ...]:
        """Return the `measurement_config_hash` of each experiment, in their order."""
        return tuple(measurement_config_hash(config) for config in self.experiments)

    @computed_field  # type: ignore[prop-decorator]  # the order that pydantic documents
    @cached_property
    def study_design_hash(self) -> str:
        """Return the hash of the set of experiments."""
        return design_hash_of(self.config_hashes)


def _without_duplicates(hashes: Sequence[str], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the levels of each point once; nothing if there is not one row for each hash.

    Args:
        hashes: of all points of `data`, in their order.
        data: of a study.
    """
    factors, rows = data.get("factors", ()), data.get("levels", ())
    if not isinstance(rows, list | tuple) or len(rows) != len(hashes):
        return {}  # `row_problem` reports wrong levels
    by_hash: dict[str, list[LevelRow]] = {}
    for config_hash, row in zip(hashes, rows, strict=True):
        by_hash.setdefault(config_hash, []).append(row)
    if not all(isinstance(factor, Factor) for factor in factors):
        return {"levels": [same[0] for same in by_hash.values()]}
    return {"levels": tuple(common_row(factors, same) for same in by_hash.values())}
