"""A load that makes the GPU draw as much power as possible."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from llem_energy._backends.pytorch.full_load import CudaLoad


class Load(CudaLoad):
    """Products of large matrices for a given time, also in a thread."""

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
