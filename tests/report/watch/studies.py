"""Study folders to watch: a manifest with runs in every state, and a run in progress."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from report.tables.folders import study_of, write_folder

from llem_energy.records import LiveDevice, LiveReading
from llem_runner import read_manifest
from llem_runner.records import StudyManifest, encode_json

STATES = ("completed", "failed", "running", "pending")


def watched_folder(folder: Path, states: Sequence[str] = STATES) -> Path:
    """Return the folder of a study of two points and two cycles, with the status `running`."""
    write_folder(folder, study_of([1, 2]), states)
    manifest = read_manifest(folder)
    entries = tuple(
        msgspec.structs.replace(entry, started_at=now(), attempts=1)
        if entry.status == "running"
        else entry
        for entry in manifest.entries
    )
    write_manifest(folder, msgspec.structs.replace(manifest, status="running", entries=entries))
    return folder


def write_manifest(folder: Path, manifest: StudyManifest) -> None:
    """Replace the manifest of a folder, as a study does."""
    (folder / ".new").write_bytes(encode_json(manifest))
    (folder / ".new").replace(folder / "manifest.json")


def write_live(folder: Path, power_w: float | None = 143.0, *, age_s: float = 0.0) -> None:
    """Write what the run in progress of a folder does now."""
    entry = next(each for each in read_manifest(folder).entries if each.status == "running")
    run = folder / f"{entry.index:04d}_c{entry.cycle}_model_{entry.config_hash[:8]}"
    run.mkdir(exist_ok=True)
    n_written = time.monotonic_ns()
    reading = LiveReading(
        n_written=n_written,
        written_at_s=time.time() - age_s,
        stage="window",
        devices=(LiveDevice(device="GPU-1", power_w=power_w, temperature_c=45.0),),
        n_written_again=n_written,
    )
    (run / "live.json").write_bytes(msgspec.json.encode(reading))


def now() -> str:
    return datetime.now(UTC).isoformat()
