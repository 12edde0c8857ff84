"""A load that makes the GPU draw as much power as possible."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

_PRODUCT_S = 0.003  # min. duration of a matrix product: few are queued, so the driver never waits
_MAX_ROWS = 16384  # of a matrix


class Load:
    """Products of large matrices for a given time."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        kind = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        size = 2048
        while True:
            self._factors = [torch.randn(size, size, device="cuda", dtype=kind) for _ in range(2)]
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
        self._torch.cuda.synchronize()

    def run(self, seconds: float) -> None:
        """Work for about this many seconds, and return when the GPU has finished."""
        self._multiply(max(1, round(seconds / self._product_s)))

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Work in a thread during the `with` block, starting a second before it."""
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                self.run(0.2)

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            try:
                time.sleep(1.0)
                yield
            finally:
                stop.set()
            working.result()
