"""The GPUs of one measurement as an energy source, whole boards read through NVML."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

from llem_energy._errors import MeasurementError
from llem_energy._sources.nvml_gpu import Gpu, driver
from llem_energy._sources.protocol import Sample, SourceUnavailable

_FIRST_READS = 3  # a driver that has just woken up may fail its first
_RETRY_S = 0.1


_MIG = "GPU {} is split by MIG, and NVML has no energy of a single instance"


class NvmlSource:
    """Meters whole GPUs by their energy counter, with instant power beside it."""

    name = "nvml"

    def __init__(
        self,
        gpus: Sequence[int | str],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Open the GPUs.

        Args:
            gpus: NVML indices or UUIDs.
            clock: monotonic seconds, for the time of each sample.

        Raises:
            SourceUnavailable: none named, no driver, or a GPU gives neither energy nor power.
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
            found = [Gpu(key) for key in gpus]
            # One GPU under two names, or twice under one, is still one meter.
            self._gpus = list({gpu.uuid: gpu for gpu in found}.values())
            for gpu in self._gpus:
                _check(gpu)
        except MeasurementError:
            self._driver.close()
            raise
        self.devices = tuple(gpu.uuid for gpu in self._gpus)
        self._limits_w = {gpu.uuid: gpu.power_limit_w() for gpu in self._gpus}

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        """Return one sample per GPU; see `EnergySource.read`."""
        # One reader at a time: were two calls to overlap, an older value could carry the later
        # time, which looks as if the counter fell.
        with self._lock:
            return tuple(gpu.sample(self._clock, details=details) for gpu in self._gpus)

    def power_limit_w(self, device: str) -> float | None:
        """Return the power limit of one metered GPU; if it was changed meanwhile, the larger."""
        now_w = next(gpu.power_limit_w() for gpu in self._gpus if gpu.uuid == device)
        known = [limit_w for limit_w in (self._limits_w[device], now_w) if limit_w is not None]
        return max(known, default=None)

    def close(self) -> None:
        """Let go of the driver."""
        self._driver.close()


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
