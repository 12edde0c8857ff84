"""Everything that one measurement collects, before any figure is computed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from llem_config import ExperimentConfig, PhaseName
from llem_energy._backends.protocol import Batch, Memory, Phase, Workload
from llem_energy._host.host_load import HostLoad
from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._measurement.device_peaks import FoundPeaks
from llem_energy._measurement.gpu_sharing import GpuSharing
from llem_energy._measurement.idle import Idles
from llem_energy._measurement.tenancy_flags import Tenancy
from llem_energy._measurement.warm_up import WarmUp
from llem_energy._metering.board_check import BoardCheck
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.gain_store import GainCalibration
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.window import MeasuredSpan
from llem_energy._model_info.input_digest import InputDigest
from llem_energy._prompts.prompt import ChatTemplate
from llem_energy._result.answer_quality import AnswerQuality
from llem_energy._result.neighbours import NeighbourGpu
from llem_energy._sources.protocol import EnergySource


class HostMeter(msgspec.Struct, frozen=True):
    """What meters the processor beside the GPUs."""

    source: EnergySource | None
    samples: Recorder
    reasons: tuple[str, ...]
    """Why requested sources could not be read."""
    failure: str | None = None
    """Why its sampler stopped early."""


class PhaseSpan(msgspec.Struct, frozen=True):
    """A phase that was measured alone, or why it could not be."""

    name: PhaseName
    phase: Phase | None
    span: MeasuredSpan | None
    problem: str | None = None


class GenerationRecord(msgspec.Struct, frozen=True):
    """The generation of one batch in the window, read from the device after the window."""

    batch: Batch
    n_tokens: tuple[int, ...]
    """Output tokens of each prompt."""
    times_s: tuple[float, ...] | None
    """Time of each step's token since the batch began; see `Generation.token_times_s`."""
    reported_cached_tokens: tuple[int, ...] | None = None
    """As the backend reports them, which may be impossible."""
    reported_padding_tokens: tuple[int, ...] | None = None
    """Computed with each prompt; likewise."""
    reported_tokens_after_end: tuple[int, ...] | None = None
    """Steps of each row after its own end; likewise."""

    @property
    def cached_tokens(self) -> tuple[int, ...] | None:
        """Tokens of each prompt that came from a cache; None if that is not known."""
        counts, lengths = self.reported_cached_tokens, self.batch.lengths
        if counts is None or len(counts) != len(lengths):
            return None
        is_possible = all(0 <= count <= n for count, n in zip(counts, lengths, strict=True))
        return counts if is_possible else None


class RawMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a measurement collected."""

    config: ExperimentConfig
    config_hash: str
    started_at: datetime
    gpus: tuple[str, ...]
    source: EnergySource | None
    reasons: tuple[str, ...]
    """Why requested sources could not be read."""
    host: HostMeter
    environment: EnvironmentSnapshot
    gpu_sharing: dict[str, GpuSharing]
    """By the UUID of each GPU whose driver lists processes."""
    neighbours: tuple[NeighbourGpu, ...]
    """The GPUs that the run did not use."""
    calibration: tuple[Calibration, ...]
    gains: tuple[GainCalibration, ...]
    """Of any device, from calibrations with an external meter."""
    board_checks: tuple[BoardCheck, ...]
    """Of the metered devices, with the present driver; a device that was not checked has none."""
    samples: Recorder
    sampler_failure: str | None
    idles: Idles
    load_before: HostLoad
    """From the beginning of the run to its window."""
    window: MeasuredSpan
    n_compilations: int
    """Inside the window."""
    generations: Sequence[GenerationRecord]
    requests_file: str | None
    requests_problem: str | None
    """Why a requested file of requests was not written."""
    phases: Sequence[PhaseSpan]
    warm_up: WarmUp
    workload: Workload
    memory: Memory
    peaks: FoundPeaks
    quality: AnswerQuality
    prompts_sha256: str
    chat_template: ChatTemplate | None
    """None if the prompts were not made by a template."""
    n_answers_removed: int
    """Messages of the assistant at the ends of the conversations of one pass."""
    inputs: tuple[InputDigest, ...]
    chosen_column: str | None
    """The column that was read because of its name; None if the experiment names it."""

    @property
    def tenancy(self) -> Tenancy:
        """What shows whether others used the metered GPUs."""
        return Tenancy(
            source=self.source,
            between=self.samples.between,
            idles=self.idles,
            sharing=self.gpu_sharing,
            indices={gpu.uuid: gpu.index for gpu in self.environment.gpus},
            own_growth_bytes=self._own_growth_bytes(),
        )

    def _own_growth_bytes(self) -> int | None:
        if not self.gpus:
            return 0  # the model does not run on a GPU
        peak_bytes, weights_bytes = self.memory.peak_bytes, self.memory.weights_bytes
        if peak_bytes is None or weights_bytes is None:
            return None
        return peak_bytes - weights_bytes
