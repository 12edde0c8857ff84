"""The resolved study: its points, and how to run them."""

from __future__ import annotations

from collections.abc import Mapping
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

from llem_config._spec.experiment import ExperimentConfig
from llem_config._spec.hashing import design_hash_of, measurement_config_hash
from llem_config._spec.limits import Count, PositiveSeconds, Seconds, Seed
from llem_config._spec.strict import STRICT

EXECUTION_ALIASES = {"experiment_gap_seconds": "config_gap_seconds"}

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""The name of a study is the beginning of a folder's name, so it may not contain a path."""


class ExecutionConfig(BaseModel):
    """How often, in which order and with which gaps the points run; not part of any hash."""

    model_config = ConfigDict(**STRICT, populate_by_name=True)

    n_cycles: Count = 1
    """Number of runs of every experiment; 3 by default on the command line."""
    cycle_order: Literal["sequential", "interleaved", "shuffled"] = "sequential"
    """`sequential`: A A B B; `interleaved`: A B A B, so that slow drift affects all points
    equally; `shuffled`: each cycle in another random order."""
    shuffle_seed: Seed = 42
    """Seed of the random order."""
    config_gap_seconds: Seconds | None = Field(
        None, validation_alias=AliasChoices("config_gap_seconds", "experiment_gap_seconds")
    )
    """Gap before a run, in seconds; None means the setting of the machine."""
    cycle_gap_seconds: Seconds | None = None
    """Gap before the first run of a cycle, in seconds; None means the setting of the machine."""
    timeout_seconds: PositiveSeconds = 3600.0
    """A run that takes longer is killed and recorded as failed."""
    stall_seconds: PositiveSeconds = 600.0
    """A run is also killed after this time without progress: no message, no new line in its log
    and no processor time."""
    max_consecutive_failures: Count = 5
    """This number of failures in a row aborts the study."""


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
    warnings: Annotated[tuple[str, ...], Field(strict=False, exclude=True, repr=False)] = ()
    """What is valid in the study file, but has no effect; not stored."""
    source: str | None = Field(None, exclude=True, repr=False)
    """The text of the study file, for the folder of the results."""

    @model_validator(mode="wrap")
    @classmethod
    def _drop_duplicates(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        experiments = data.get("experiments") if isinstance(data, Mapping) else None
        if not isinstance(experiments, list | tuple):
            return handler(data)
        points: dict[str, ExperimentConfig] = {}
        for item in experiments:
            is_valid = isinstance(item, ExperimentConfig)
            config = item if is_valid else ExperimentConfig.model_validate(item)
            points.setdefault(measurement_config_hash(config), config)
        n_dropped = len(experiments) - len(points)
        study = handler(
            {
                **{key: value for key, value in data.items() if key != "study_design_hash"},
                "experiments": tuple(points.values()),
                "n_duplicates": data.get("n_duplicates", 0) + n_dropped,
            }
        )
        # Kept, because hashing again takes 10 of the 40 us that a point costs (config_speed.py).
        study.__dict__["config_hashes"] = tuple(points)
        return study

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; its hashes are computed again if `update` has other experiments."""
        copied = super().model_copy(update=update, deep=deep)
        if update and "experiments" in update:
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
