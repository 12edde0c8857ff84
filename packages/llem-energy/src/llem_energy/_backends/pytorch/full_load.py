"""A load that makes an NVIDIA GPU draw as much power as possible. Imports torch when it is made."""

from __future__ import annotations

import time

from llem_energy._errors import GpuError

_PRODUCT_S = 0.003  # min. duration of a matrix product: few are queued, so the driver never waits
_MAX_ROWS = 16384  # of a matrix


class CudaLoad:
    """Products of large matrices for a given time."""

    def __init__(self, uuid: str) -> None:
        """Prepare the load.

        Args:
            uuid: of the GPU, as NVML gives it.

        Raises:
            GpuError: torch is missing, does not see this GPU, or cannot use it.
        """
        try:
            import torch
        except ImportError as error:
            raise GpuError(
                f"the check loads the GPU with torch, which cannot be imported ({error}); install "
                "llem-energy[pytorch]"
            ) from error
        if not torch.cuda.is_available():
            raise GpuError(
                "the check loads the GPU with torch, which sees no CUDA device; install a torch with "
                "CUDA that fits the driver"
            )
        self._torch = torch
        self._device = _device_of(torch, uuid)
        try:
            self._prepare()
        except RuntimeError as error:  # raised by torch, e.g. if another process uses the memory
            raise GpuError(f"the GPU {uuid} cannot be loaded: {error}") from error

    def _prepare(self) -> None:
        torch = self._torch
        kind = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        size = 2048
        while True:
            self._factors = [
                torch.randn(size, size, device=self._device, dtype=kind) for _ in range(2)
            ]
            self._product = torch.empty_like(self._factors[0])
            self.what = f"{str(kind).removeprefix('torch.')} products of {size} x {size} matrices"
            self._multiply(3)
            start_s = time.perf_counter()
            self._multiply(20)
            self._product_s = (time.perf_counter() - start_s) / 20
            if self._product_s >= _PRODUCT_S or size >= _MAX_ROWS:
                return
            size *= 2

    def _multiply(self, n: int) -> None:
        for _ in range(n):
            self._torch.mm(*self._factors, out=self._product)
        self.synchronise()

    def synchronise(self) -> None:
        """Return when the GPU has finished."""
        self._torch.cuda.synchronize(self._device)

    def run(self, seconds: float) -> None:
        """Work for about this many seconds, and return when the GPU has finished."""
        self._multiply(max(1, round(seconds / self._product_s)))


def _device_of(torch: object, uuid: str) -> str:
    """Return torch's name of a GPU: its order may differ from that of the driver."""
    cuda = torch.cuda  # type: ignore[attr-defined]  # torch is imported only on request
    for index in range(cuda.device_count()):
        if uuid.endswith(str(cuda.get_device_properties(index).uuid)):
            return f"cuda:{index}"
    raise GpuError(
        f"torch does not see the GPU {uuid}; include it in CUDA_VISIBLE_DEVICES, or unset that variable"
    )
