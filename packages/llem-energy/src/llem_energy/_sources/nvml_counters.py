"""Read the energy counters of GPUs as fast as Python can, for ends of windows that must not wait.

After a call of the driver that took a while, everything that Python touches comes from slow memory. So
this is one function, and the parts of its call are looked up beforehand. The field is the one of a whole
reading: a GPU may update another counter of the same energy at other times.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence

import pynvml

from llem_energy._sources.nvml_fields import FieldReader, field_value
from llem_energy._sources.nvml_gpu import ENERGY_FIELD, Gpu
from llem_energy._sources.protocol import Sample

_STAMP_KIND_FAILED_RAW = struct.Struct("=8xq8xIIQ")
_MICRO, _MILLI = 1e-6, 1e-3
_PLAIN = pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG


class CounterReader:
    """Reads the energy counters of open GPUs, and nothing else."""

    def __init__(
        self, gpus: Sequence[Gpu], clock: Callable[[], float], lock: threading.Lock
    ) -> None:
        """Prepare the calls.

        Args:
            gpus: of a driver that stays open.
            clock: as in `NvmlSource`.
            lock: held while the driver is called.
        """
        self._clock, self._lock = clock, lock
        readers = [FieldReader(gpu.handle, {ENERGY_FIELD: _MILLI}) for gpu in gpus]
        self._calls = [
            (gpu.uuid, reader.arguments, reader.memory)
            for gpu, reader in zip(gpus, readers, strict=True)
        ]
        self.works = all(reader.read()[1] is not None for reader in readers)
        """Whether every GPU has a counter that can be read in this way."""
        self._function = FieldReader.function()

    def read(self) -> tuple[Sample, ...]:
        """Return one sample per GPU."""
        clock, function, samples = self._clock, self._function, []
        assert function is not None
        with self._lock:
            for uuid, arguments, memory in self._calls:
                before = clock()
                failed = function(*arguments)
                after = clock()
                stamp_us, kind, field_failed, raw = _STAMP_KIND_FAILED_RAW.unpack_from(memory)
                t_s, took_s = (before + after) / 2, after - before
                if failed or field_failed:
                    samples.append(Sample(uuid, t_s, took_s))
                    continue
                energy_mj = raw if kind == _PLAIN else field_value(kind, raw)
                samples.append(Sample(uuid, t_s, took_s, stamp_us * _MICRO, energy_mj * _MILLI))
        return tuple(samples)
