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
    # Every question to jax about devices starts its back end, which takes most of a GPU's memory. A
    # program that has not started it has submitted nothing.
    bridge = sys.modules.get("jax._src.xla_bridge")
    if bridge is None or not getattr(bridge, "backends_are_initialized", _yes)():
        return
    # A device works in order, so that this is the last of its work, also if its other results were
    # dropped and cannot be waited for.
    last = [jax.device_put(0.0, device) + 0.0 for device in jax.local_devices()]
    jax.block_until_ready(last)
    if jax.default_backend() == "cpu":  # a processor may work on several things at once
        jax.block_until_ready(jax.live_arrays())


def _yes() -> bool:
    return True


def _wait_cupy(cupy: Any) -> None:
    cuda = getattr(cupy, "cuda", None)
    if cuda is not None and cuda.is_available():
        cuda.Device().synchronize()


_WAITS: tuple[tuple[str, Callable[[Any], None]], ...] = (
    ("torch", _wait_torch),
    ("jax", _wait_jax),
    ("cupy", _wait_cupy),
)
