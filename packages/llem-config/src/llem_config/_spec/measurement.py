"""How one experiment is measured: warm-up, idle baseline, energy readings and phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from llem_config._spec.capabilities import INCOMPATIBLE, PHASES, PhaseName
from llem_config._spec.limits import Count, Factor, PositiveSeconds, Seconds
from llem_config._spec.plugins import SOURCES
from llem_config._spec.strict import STRICT

if TYPE_CHECKING:
    SourceName = str
else:
    SourceName = Literal[SOURCES]  # the sources of other packages are only known at run time


def _each_once(phases: tuple[PhaseName, ...]) -> tuple[PhaseName, ...]:
    """Return the phases in the order in which they run, so that their order in a file has no effect."""
    for name in PHASES:
        if phases.count(name) > 1:
            raise PydanticCustomError(
                "llem_phases", "expected each phase once, found {name} twice", {"name": name}
            )
    return tuple(name for name in PHASES if name in phases)


Phases = Annotated[
    tuple[PhaseName, ...],
    Field(strict=False, min_length=1, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_each_once),
]


class WarmupConfig(BaseModel):
    """The warm-up before the measured window; it repeats the batches of the window."""

    model_config = STRICT

    enabled: bool = True
    """Whether there is a warm-up."""
    n_warmup: Count = 5
    """Min number of repeats."""
    convergence_detection: bool = True
    """Continue until the latency is stationary."""
    cv_threshold: Factor = 0.02
    """The latency is stationary if the coefficient of variation of the last repeats is below
    this."""
    max_warmup: Count = 50
    """Max number of repeats for the latency to become stationary. The warm-up still continues, up
    to `max_warmup_seconds`, while the power or temperature of a measured device drifts."""
    max_warmup_seconds: PositiveSeconds = 300.0
    """Max duration of the warm-up in seconds."""
    thermal_floor_seconds: Seconds = 0.0
    """Min duration of the warm-up in seconds under load."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_warmup < self.n_warmup:
            raise PydanticCustomError(
                INCOMPATIBLE,
                "max_warmup {max} is below n_warmup {min}",
                {"max": self.max_warmup, "min": self.n_warmup},
            )
        return self


class BaselineConfig(BaseModel):
    """The measurement of the idle power, which is subtracted for the adjusted energy."""

    model_config = STRICT

    enabled: bool = True
    """Whether the idle power is measured."""
    duration_seconds: PositiveSeconds = 10.0
    """Duration of the measurement in seconds."""


class EnergyConfig(BaseModel):
    """The sources of energy readings, and the length of the measured window."""

    model_config = STRICT

    sources: Annotated[tuple[SourceName, ...], Field(strict=False, min_length=1)] = (
        "nvml",
        "rapl",
    )
    """In order of preference; `none` measures no energy. Other packages may add more sources."""
    sample_period_seconds: Annotated[float, Field(ge=0.001, le=10)] = 0.05
    """Time between two samples, in seconds."""
    min_window_seconds: Seconds = 10.0
    """The workload repeats until the window has this length in seconds; 0 runs it once."""
    estimate: bool = True
    """Adds a modelled energy of the CPU, in a separate field of the result."""
    phases: Phases | None = None
    """Phases that are also measured separately, each in its own window: prefill (processing the
    prompts) and decode (generating tokens)."""
