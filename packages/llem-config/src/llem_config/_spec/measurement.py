"""How one experiment is measured: its warm-up, idle baseline, energy readings and phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from pydantic_core import PydanticCustomError

from llem_config._spec.capabilities import INCOMPATIBLE, PHASES, PhaseName
from llem_config._spec.plugins import SOURCES
from llem_config._spec.pytorch import STRICT

if TYPE_CHECKING:
    SourceName = str
else:
    SourceName = Literal[SOURCES]  # the sources of other packages are only known at run time


def _each_once(phases: tuple[PhaseName, ...]) -> tuple[PhaseName, ...]:
    """Return the phases in the order of an answer: another spelling is no other measurement."""
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
    """What runs before the measured window, with the same batches as inside it."""

    model_config = STRICT

    enabled: bool = True
    n_warmup: PositiveInt = 5
    """Least number of repeats."""
    convergence_detection: bool = True
    """Go on until the latency is stationary."""
    cv_threshold: PositiveFloat = 0.02
    """Coefficient of variation of the last repeats under which they are stationary."""
    max_warmup: PositiveInt = 50
    """Most repeats for the latency to become stationary; a metered device that still drifts in
    power or temperature is warmed on, up to `max_warmup_seconds`."""
    max_warmup_seconds: PositiveFloat = 300.0
    thermal_floor_seconds: NonNegativeFloat = 0.0
    """Least duration of the warm-up under load."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_warmup < self.n_warmup:
            raise PydanticCustomError(
                INCOMPATIBLE,
                "max_warmup {most} is below n_warmup {least}",
                {"most": self.max_warmup, "least": self.n_warmup},
            )
        return self


class BaselineConfig(BaseModel):
    """The idle power that is taken off to get the adjusted energy."""

    model_config = STRICT

    enabled: bool = True
    duration_seconds: PositiveFloat = 10.0


class EnergyConfig(BaseModel):
    """Where the energy readings come from and how long the measured window is."""

    model_config = STRICT

    sources: Annotated[tuple[SourceName, ...], Field(strict=False, min_length=1)] = (
        "nvml",
        "rapl",
    )
    """Tried in order; `none` measures no energy. Other packages may offer more sources."""
    sample_period_seconds: Annotated[float, Field(ge=0.001, le=10)] = 0.05
    min_window_seconds: NonNegativeFloat = 10.0
    """The workload repeats until this is reached; 0 runs it once."""
    estimate: bool = True
    """Adds a modelled CPU figure, in a field of its own."""
    phases: Phases | None = None
    """Also measured apart, each in a window of its own: reading the prompts, and generating."""
