"""The structs of a study as one table. They are not stored, so they have no format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from llem_config import ExecutionConfig
from llem_energy.records import AnswerQuality
from llem_runner.records import MachineKind, MeasurementProtocol, StudyManifest

RunStatus = Literal["completed", "failed", "pending", "running", "interrupted"]
QualityStatus = Literal["ok", "flagged", "missing"]


class FigureInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that points can be compared by."""

    name: str
    """Such as `energy_per_output_token_j`."""
    title: str
    """In words, for axes and sentences: `energy per output token`."""
    unit: str
    """Such as `J/token`."""
    lower_is_better: bool
    is_energy: bool
    """Whether it depends on an energy source, so that only runs of the same meter compare."""


class StudyFactor(msgspec.Struct, frozen=True, kw_only=True):
    """A choice whose levels are compared."""

    key: str
    """As in the study file; of factors that always change together, all keys: `precision+attention`."""
    levels: tuple[str, ...]
    """Labels of the levels that some point has: numbers in ascending order, others in that of the
    study. At least two."""
    numeric: bool
    nested_in: tuple[str, ...] = ()
    """Keys of the factors at whose levels this factor exists only partly: it exists at some of
    them, and at others at no point."""


class DroppedFactor(msgspec.Struct, frozen=True, kw_only=True):
    """A factor of the study that cannot be compared."""

    key: str
    reason: str
    """A sentence, such as `precision has only one level left, bf16`."""


class StudyPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the study."""

    config_hash: str
    label: str
    levels: tuple[int | None, ...]
    """Position in `StudyFactor.levels` for each factor; None: the factor does not exist here."""
    config: Mapping[str, Any]
    """The experiment as plain data, without unset fields; empty if no file of the folder has it."""


class PhaseUse(NamedTuple):
    """How much of its device a phase of a run used; None if that is not known."""

    phase: str
    """`prefill` or `decode`."""
    mfu: float | None
    mbu: float | None
    bound_by: str | None


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of the result of a completed run; the rest of the file is not held in memory."""

    values: Mapping[str, float]
    """Every figure that the run has, by `FigureInfo.name`, of any sign."""
    shares: Mapping[str, float]
    """Shares of the time of the window, 0 to 1, such as `power_limited_share`."""
    energy_source: str | None
    """What metered it, in words: two that differ are not compared."""
    energy_method: str | None
    devices: tuple[str, ...]
    """The metered devices."""
    boards: tuple[str, ...]
    """Names of the GPUs, such as `NVIDIA H200`."""
    energy_bound_share: float | None
    """Maximum error of the total energy over this energy."""
    warnings: tuple[str, ...]
    kind: MachineKind
    """Of the machine."""
    quality: AnswerQuality | None = None
    """Of the answers."""
    phases: tuple[PhaseUse, ...] = ()


class StudyRun(msgspec.Struct, frozen=True, kw_only=True):
    """One planned run."""

    index: int
    cycle: int
    session: int | None = None
    """Which start of the study made the run; None if unknown."""
    shard: int | None = None
    """Number of the shard of a divided study, or of the part of a merged one; None in any other study."""
    point: int
    """Position in `StudyData.points`."""
    status: RunStatus
    """`interrupted` also for a run that was in progress when its process was killed."""
    value: float | None
    """Figure of merit; None if the run has none. It can be 0 or negative: see `used`."""
    quality: QualityStatus
    """Of `value`."""
    used: bool
    """Whether the run takes part in comparisons: its value is a positive number, and its machine is of
    the same kind as that of most runs."""
    other_machine: str | None = None
    """In what its machine differs from the kind that most runs have; None if it does not."""
    reasons: tuple[str, ...]
    """Why the figure is flagged or missing, or why the run failed."""
    started_at: str | None
    """UTC, of the last attempt. Sort by it for the order in which the runs took place."""
    gpu_temperature_c: float | None = None
    """Of the hottest metered GPU just before the run, or of the hottest one if it is not known
    which were metered; None if no GPU reported its temperature."""
    is_outlier: bool
    facts: RunFacts | None
    """None without a readable result."""

    @property
    def block(self) -> tuple[int, int, int]:
        """Return what the run has in common with others: its cycle, its shard and the start that ran it."""
        return self.cycle, self.shard or 0, self.session or 0


class StudyData(msgspec.Struct, frozen=True, kw_only=True):
    """A study folder as one table."""

    folder: Path
    name: str
    study_design_hash: str
    status: str
    """Of the manifest."""
    is_running: bool | None
    """Whether a process is running the study now; None if this is not known."""
    figure: FigureInfo
    """The figure of merit."""
    by: Literal["axis", "field"]
    """Where the factors come from. `field` also for a study without recorded axes."""
    factors: tuple[StudyFactor, ...]
    dropped: tuple[DroppedFactor, ...]
    points: tuple[StudyPoint, ...]
    """In the order of the study."""
    runs: tuple[StudyRun, ...]
    """All planned runs, in order of their index."""
    n_cycles: int
    execution: ExecutionConfig | None
    """Order of the cycles and so on; None if `study_resolved.json` cannot be read."""
    protocol: MeasurementProtocol | None
    """None while there is no `study_result.json`."""
    manifest: StudyManifest
    problems: tuple[str, ...]
    """A sentence with the path for each file that cannot be read; its run has no figure."""
    caveats: tuple[str, ...]
    """Possible errors that no interval covers."""
    reason: str | None
    """Why no runs of this study may be compared, such as different meters; None if they may."""
    input_changes: tuple[str, ...] = ()
    """How the files that the runs read changed during the study; then no runs may be compared."""
    other_machines: tuple[str, ...] = ()
    """A sentence for the runs on each machine of another kind than most, which are not compared."""

    @property
    def cycle_order(self) -> str | None:
        """Return `shuffled`, `interleaved` or `sequential`; None if this is not known."""
        if self.execution is not None:
            return self.execution.cycle_order
        return None if self.protocol is None else self.protocol.cycle_order

    @property
    def used_runs(self) -> tuple[StudyRun, ...]:
        """Return the runs that take part in comparisons, in order of their index."""
        return tuple(run for run in self.runs if run.used)
