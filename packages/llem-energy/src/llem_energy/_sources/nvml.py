"""NVIDIA GPUs as an energy source: whole boards, read through NVML."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from llem_energy._errors import MeasurementError
from llem_energy._host.family import Family
from llem_energy._sources.nvml_counters import CounterReader
from llem_energy._sources.nvml_gpu import Gpu, driver, driver_versions, find_gpus
from llem_energy._sources.protocol import (
    GpuDiagnosis,
    Sample,
    SourceDiagnosis,
    SourceUnavailable,
    SourceVersions,
)

SENSOR_GAIN_SHARE = 0.05
"""Error of a board's own power sensor against an external meter, from the literature: -6 to -4 %
on six of nine boards, +11 % on one (arXiv 2312.02741). It is the same for every run on one board,
so it cancels in ratios between its points, but not between boards."""

_FIRST_READS = 3  # the first read can fail right after the driver is loaded
_RETRY_S = 0.1
_MIG = "GPU {} is split by MIG, and NVML does not report the energy of a single instance"


class NvmlSource:
    """Meters whole GPUs by their energy counter, and reads instant power as a cross-check."""

    name: Final = "nvml"
    kind: Final = "gpu"
    gain_share: Final = SENSOR_GAIN_SHARE

    def __init__(
        self,
        gpus: Sequence[int | str],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Open the GPUs.

        Args:
            gpus: NVML indices or UUIDs.
            clock: gives the time of each sample in monotonic seconds.

        Raises:
            SourceUnavailable: no GPU is named, a GPU reports neither energy nor power, or is
                split by MIG.
            GpuError: no driver, or no such GPU.
        """
        if not gpus:
            raise SourceUnavailable("the experiment uses no GPU")
        instances = [key for key in gpus if isinstance(key, str) and key.startswith("MIG-")]
        if instances:
            raise SourceUnavailable(_MIG.format(instances[0]))
        self._clock = clock
        self._lock = threading.Lock()
        self._driver = contextlib.ExitStack()
        try:
            self._driver.enter_context(driver())
            # A GPU that is named twice, perhaps by index and UUID, is still one meter.
            self._gpus = list({gpu.uuid: gpu for gpu in map(Gpu, gpus)}.values())
            for gpu in self._gpus:
                _check(gpu)
        except MeasurementError:
            self._driver.close()
            raise
        self.devices = tuple(gpu.uuid for gpu in self._gpus)
        self._counters = CounterReader(self._gpus, clock, self._lock)
        self._limits_w = {gpu.uuid: gpu.power_limit_w() for gpu in self._gpus}

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        """Return one sample per GPU; see `EnergySource.read`."""
        # One reader at a time: if two calls overlap, an older value can get the later time, and
        # the counter seems to fall.
        with self._lock:
            return tuple(gpu.sample(self._clock, details=details) for gpu in self._gpus)

    @property
    def read_counters(self) -> Callable[[], tuple[Sample, ...]] | None:
        """Reads the counters only; see `EnergySource`. None if a GPU has none."""
        return self._counters.read if self._counters.works else None

    def power_limit_w(self, device: str) -> float | None:
        """Return the power limit of one metered GPU: the larger one if it has changed since."""
        now_w = next(gpu.power_limit_w() for gpu in self._gpus if gpu.uuid == device)
        limits_w = [limit_w for limit_w in (self._limits_w[device], now_w) if limit_w is not None]
        return max(limits_w, default=None)

    def versions(self) -> SourceVersions:
        """Return the versions of the NVIDIA driver and of nvidia-ml-py."""
        driver_version, _, _ = driver_versions()
        try:
            return SourceVersions(driver_version, version("nvidia-ml-py"))
        except PackageNotFoundError:
            return SourceVersions(driver_version)

    def close(self) -> None:
        """Close the driver."""
        self._driver.close()

    @classmethod
    def diagnose(cls) -> SourceDiagnosis:
        """Return every GPU of this machine, and which of them can be metered."""
        versions = dict(zip(("driver", "nvml", "cuda driver"), driver_versions(), strict=True))
        try:
            with driver():
                responding, silent = find_gpus()
                gpus = tuple(_diagnosed(gpu) for gpu in responding)
        except MeasurementError as error:
            return _no_gpu(str(error), versions)
        if not gpus and not silent:
            return _no_gpu("the driver shows no GPU", versions)
        metered = tuple(gpu.snapshot.uuid for gpu in gpus if gpu.refusal is None)
        reasons = [*silent, *(gpu.refusal for gpu in gpus if gpu.refusal is not None)]
        return SourceDiagnosis(
            reason=None if metered else "; ".join(reasons),
            open_with=metered,
            description=f"GPUs: {len(metered)} of {len(gpus)}",
            gpus=gpus,
            silent_gpus=tuple(silent),
            versions=versions,
            problems=tuple(f"{error}; reset it or reboot the machine" for error in silent),
        )


def _no_gpu(reason: str, versions: dict[str, str | None]) -> SourceDiagnosis:
    problem = (
        f"no GPU can be measured: {reason}; "
        "if this machine has an NVIDIA GPU, make `nvidia-smi` work first"
    )
    return SourceDiagnosis(reason=reason, versions=versions, problems=(problem,))


def _diagnosed(gpu: Gpu) -> GpuDiagnosis:
    refusal, own_pids = None, Family().pids()
    try:
        NvmlSource([gpu.uuid]).close()
    except MeasurementError as error:
        refusal = str(error)
    return GpuDiagnosis(
        snapshot=gpu.snapshot(own_pids),
        refusal=refusal,
        counter_problem=gpu.counter_problem(),
        supported_fields=gpu.supported_fields(),
        module_power=gpu.has_module_power(),
        other_pids=gpu.other_pids(own_pids),
    )


def _check(gpu: Gpu) -> None:
    if gpu.mig:
        raise SourceUnavailable(_MIG.format(gpu.uuid))
    for attempt in range(_FIRST_READS):
        sample = gpu.sample(time.perf_counter, details=False)
        if sample.energy_j is not None or sample.power_w is not None:
            return
        if attempt + 1 < _FIRST_READS:
            time.sleep(_RETRY_S)
    if sample.power_average_w is None:
        raise SourceUnavailable(f"GPU {gpu.uuid} reports neither energy nor power")
