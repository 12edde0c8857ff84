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
    """Whether there is a warm-up.

    Energy: without it, the window also contains compilation, first allocations and a cold device,
    so joules per token are higher and not repeatable. The result says `total` instead of
    `steady_state`.
    """
    n_warmup: Count = 5
    """Minimum number of repeats of a batch.

    Energy: none; the warm-up is not part of the measured energy.
    """
    convergence_detection: bool = True
    """Whether the warm-up continues until the latency is stationary and power and temperature do
    not drift.

    Energy: without it, the window may begin while clocks and temperature still change, which shifts
    the result.
    """
    cv_threshold: Factor = 0.02
    """The latency counts as stationary if the standard deviation of the last five repeats is below
    this share of their mean, no unit.

    Energy: a lower share makes the warm-up longer and the window steadier.
    """
    max_warmup: Count = 50
    """Maximum number of repeats for the latency to become stationary. The warm-up still continues,
    up to `max_warmup_seconds`, while power or temperature of a measured device drifts.

    Energy: none, unless the limit is reached; the result is then flagged.
    """
    max_warmup_seconds: PositiveSeconds = 300.0
    """Maximum duration of the warm-up in seconds.

    Energy: none, unless the limit is reached; the result is then flagged.
    """
    thermal_floor_seconds: Seconds = 0.0
    """Minimum duration of the warm-up in seconds under load.

    Energy: a device that is warm leaks more power and may lower its clocks; a longer warm-up
    measures it in the state of long use.
    """

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
    """Whether idle power is measured: once without the model, and before and after the window with
    it.

    Energy: none on the total. Without it, `energy_adjusted_j` is missing.
    """
    duration_seconds: PositiveSeconds = 10.0
    """Duration of each measurement of idle power in seconds.

    Energy: none on the total; a longer measurement makes the idle power, and so
    `energy_adjusted_j`, more certain.
    """


class EnergyConfig(BaseModel):
    """The sources of energy readings, and the length of the measured window."""

    model_config = STRICT

    sources: Annotated[tuple[SourceName, ...], Field(strict=False, min_length=1)] = (
        "nvml",
        "rapl",
    )
    """Energy sources in order of preference: `nvml` (NVIDIA GPUs), `amd` (AMD GPUs), `rapl` (CPU
    and memory), `none` (measures no energy), or one of another package. The first that can be read
    meters the GPUs or the machine; the processor is metered beside GPUs.

    Energy: decides what is metered: GPU boards, CPU packages or the whole machine. Totals of
    different sources are not comparable.
    """
    sample_period_seconds: Annotated[float, Field(ge=0.001, le=10)] = 0.05
    """Time between two samples of power and counters in seconds.

    Energy: none on a total from an energy counter, which also counts between samples. Joules of the
    processor, and an integral of power, become more certain with a shorter time.
    """
    min_window_seconds: Seconds = 10.0
    """Minimum length of the measured window in seconds: the workload repeats until it is reached. 0
    runs it once.

    Energy: joules of the window grow with it, joules per token do not. The error at the ends of the
    window weighs less in a longer one.
    """
    random_pause_seconds: Annotated[float, Field(gt=0, le=10)] | None = None
    """Longest random pause after each batch of the window in seconds; none by default. Its length is
    drawn from 0 to this number of seconds, evenly. Use the period of the
    counter, such as 0.1, if a result says that the steps of the model beat with the meter.

    Energy: the device idles in a pause, so joules per token rise by idle power times half of this
    time for each batch, and tokens per second fall. An error from steps that keep pace with the
    meter becomes a spread between runs, which more cycles make smaller.
    """
    estimate: bool = True
    """Whether the result also has a modelled energy of the CPU, in a field of its own.

    Energy: none; the modelled joules enter no other figure.
    """
    phases: Phases | None = None
    """Phases that are also measured separately, each in a window of its own after the main one:
    `prefill` (processing the prompts) and `decode` (generating tokens). None by default.

    Energy: none on the total; adds joules per input token of prefill and per output token of
    decode.
    """
