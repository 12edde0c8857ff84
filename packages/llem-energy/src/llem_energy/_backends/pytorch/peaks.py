"""The highest rates of matrix products and of memory that a device reaches with torch.

Values are random, because the power that a product needs, and under a power limit its speed,
depends on them. The fastest of several runs counts: whatever disturbs one makes it slower.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from llem_energy._backends.pytorch.introspection import computed_type, gpu_uuid
from llem_energy._backends.roofline import PeakConditions, Peaks
from llem_energy._errors import BackendError

_GIB = 2**30
_MIN_BYTES = 2**26
_CPU_CACHES = Path("/sys/devices/system/cpu")


def conditions_of(model: Any, device: torch.device, n_gpus: int) -> PeakConditions:
    """Return what the peaks of a device depend on.

    Args:
        model: loaded, for the type of its products.
        device: of the model.
        n_gpus: that hold a part of the model; ignored on a CPU.

    Raises:
        BackendError: there are several GPUs.
    """
    on_gpu = device.type == "cuda"
    if on_gpu and n_gpus > 1:
        raise BackendError("the model is spread over several GPUs, which have no common peak")
    return PeakConditions(
        device=gpu_uuid(0) if on_gpu else f"cpu with {torch.get_num_threads()} threads",
        precision=computed_type(model),
        library=f"torch {torch.__version__}",
    )


def measure_peaks(device: torch.device, precision: str) -> Peaks:
    """Return the peaks of a device for matrix products of one type.

    Args:
        device: a CPU, or one GPU.
        precision: type of both matrices and of their product, such as `bfloat16`; products of
            integers are not measured.

    Raises:
        BackendError: a GPU has too little free memory.
    """
    dtype: torch.dtype = getattr(torch, precision)
    n_bytes = cpu_buffer_bytes() if device.type == "cpu" else _gpu_bytes(device)
    with torch.inference_mode():
        copied_s, read_s = _memory_times_s(device, n_bytes)
        return Peaks(
            tflops=_tflops(device, dtype) if dtype.is_floating_point else None,
            copy_gb_s=2 * n_bytes / copied_s / 1e9,
            read_gb_s=n_bytes / read_s / 1e9,
        )


def cpu_buffer_bytes(cpus: Path = _CPU_CACHES) -> int:
    """Return the size of a buffer that does not stay in the third-level caches of a machine.

    A CPU gets less than a GPU, because its memory is slower and other processes need it too.

    Args:
        cpus: the kernel's folder of processors.
    """
    caches: dict[str, int] = {}
    for cache in cpus.glob("cpu*/cache/index3"):
        with contextlib.suppress(OSError, ValueError):
            shared, size = ((cache / n).read_text().strip() for n in ("shared_cpu_list", "size"))
            caches[shared] = int(size.removesuffix("K")) * 1024
    return min(max(4 * sum(caches.values()), _GIB // 8), _GIB // 2)


def _gpu_bytes(device: torch.device) -> int:
    torch.cuda.empty_cache()
    free_bytes, _ = torch.cuda.mem_get_info(device)
    n_bytes = min(_GIB, int(free_bytes) // 4)
    if n_bytes < _MIN_BYTES:
        raise BackendError(
            f"the GPU has {free_bytes / 1e6:.0f} MB free, but measuring its peaks needs "
            f"{4 * _MIN_BYTES / 1e6:.0f} MB"
        )
    return n_bytes


def _memory_times_s(device: torch.device, n_bytes: int) -> tuple[float, float]:
    """Return the fastest copy of a buffer, and the fastest sum over it."""
    source = torch.ones(n_bytes // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    copied_s = _fastest_s(lambda: target.copy_(source), device)
    return copied_s, _fastest_s(source.sum, device)


def _tflops(device: torch.device, dtype: torch.dtype) -> float:
    """Return the rate of the largest product that takes a moment; a small one is limited by calls."""
    sizes = (256, 1024) if device.type == "cpu" else (2048, 4096, 8192)
    enough_s = 0.02 if device.type == "cpu" else 0.1
    best = 0.0
    for size in sizes:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        product = torch.empty(size, size, device=device, dtype=dtype)
        fastest_s = _fastest_s(partial(torch.mm, a, b, out=product), device)
        best = max(best, 2 * size**3 / fastest_s / 1e12)
        if fastest_s >= enough_s:
            break
    return best


def _fastest_s(run: Callable[[], object], device: torch.device) -> float:
    """Return the duration of the fastest run, of three or more."""
    on_gpu = device.type == "cuda"
    # The host needs some microseconds to wait for a GPU, and a GPU some time to raise its clock.
    n_calls, enough_s = (8, 0.2) if on_gpu else (1, 0.03)
    run()  # allocates, and chooses a kernel
    fastest_s, start_s, n_runs = float("inf"), time.perf_counter(), 0
    while n_runs < 3 or time.perf_counter() - start_s < enough_s:
        if on_gpu:
            torch.cuda.synchronize(device)
        begin_s = time.perf_counter()
        for _ in range(n_calls):
            run()
        if on_gpu:
            torch.cuda.synchronize(device)
        fastest_s = min(fastest_s, (time.perf_counter() - begin_s) / n_calls)
        n_runs += 1
    return fastest_s
