"""Waits for the devices of the libraries that a program uses, without importing any of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any


def synchronise_imported() -> None:
    """Return when torch, jax and cupy have finished all work that was submitted so far.

    Only libraries that are imported, and devices on which they have something, are waited for: to
    wait for another device would create a context on it, which takes memory.
    """
    modules = sys.modules
    # Each end of a window of any program comes here, so the usual answer is in one line.
    if "torch" in modules or "jax" in modules or "cupy" in modules:
        for name, wait in _WAITS:
            module = modules.get(name)
            if module is not None:
                wait(module)


def _wait_torch(torch: Any) -> None:
    # A module that is only half imported, by another thread, has submitted nothing.
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        for device in _used_by_torch(cuda):
            cuda.synchronize(device)
    xpu = getattr(torch, "xpu", None)
    if xpu is not None and xpu.is_initialized():
        for device in _used_by_torch(xpu):
            xpu.synchronize(device)
    mps = getattr(torch, "mps", None)
    if mps is not None and torch.backends.mps.is_available():
        mps.synchronize()


def _used_by_torch(library: Any) -> Iterator[int]:
    current: int = library.current_device()
    for device in range(library.device_count()):
        if device == current or library.memory_reserved(device) > 0:
            yield device


def _wait_jax(jax: Any) -> None:
    for array in jax.live_arrays():
        array.block_until_ready()


def _wait_cupy(cupy: Any) -> None:
    cupy.cuda.Device().synchronize()


_WAITS: tuple[tuple[str, Callable[[Any], None]], ...] = (
    ("torch", _wait_torch),
    ("jax", _wait_jax),
    ("cupy", _wait_cupy),
)
