"""The time of one update of a large manifest."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.runner.equal_points import study
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner.plan import schedule


def show_manifest(n_entries: int) -> None:
    """Print the time of one update of a large manifest, and of writing as many bytes."""
    config = study(100, n_cycles=n_entries // 100)
    runs = schedule(config)
    # In the working directory, because the temporary folder may be in memory.
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        layout = Layout(Path(folder))
        writer = ManifestWriter.create(layout, "big", config.study_design_hash, runs)
        updates, floor = [], []
        for run in runs[:100]:
            start = time.perf_counter()
            writer.mark_running(run)
            updates.append(time.perf_counter() - start)
            content = layout.manifest.read_bytes()
            start = time.perf_counter()
            with (layout.folder / "floor").open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            floor.append(time.perf_counter() - start)
        size = layout.manifest.stat().st_size / 2**20
    update_ms, floor_ms = statistics.median(updates) * 1e3, statistics.median(floor) * 1e3
    print(f"\nmanifest of {len(runs)} runs ({size:.1f} MiB): {update_ms:.2f} ms for one update,")
    print(f"{floor_ms:.2f} ms to write and flush as many bytes, ratio {update_ms / floor_ms:.2f}")
