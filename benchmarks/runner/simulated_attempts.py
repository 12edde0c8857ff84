"""The files of a divided study as its attempts would leave them, written without running anything."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from llem_energy.records import encode_result
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.atomic_files import encode_json
from llem_runner._storage.attempt_folders import attempt_folder
from llem_runner._storage.attempt_record import AttemptRecord, new_record, record_file
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_records import planned_runs
from llem_runner._storage.layout import REQUESTS, RESULT, TIMESERIES, Layout
from llem_runner._storage.manifest import ManifestEntry, StudyManifest
from llem_runner._storage.manifest_writer import ManifestWriter, encode_manifest

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Simulation:
    """Writes attempts at the shards of a study on nodes that differ by 3 %."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        killed: float = 0.05,
        doubled: float = 0.01,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write into a folder; nothing is written yet.

        Args:
            folder: of the divided study, without attempts.
            seed: of all that is random.
            killed: share of shards whose first attempt is killed at a random run.
            doubled: share of shards that run twice.
            files: content of further files of each run by name, such as `timeseries.parquet`.
        """
        self._files = files or {}
        self._digests = {
            name: hashlib.sha256(body).hexdigest()
            for name, body in self._files.items()
            if name in (TIMESERIES, REQUESTS)
        }
        self._killed, self._doubled = killed, doubled
        self._divided = DividedFolder(folder)
        self._chance = random.Random(seed)
        self._head: StudyManifest | None = None
        self._record: AttemptRecord | None = None
        self._bodies: dict[str, bytes] = {}
        self.n_attempts = 0
        self.manifest_bytes: list[int] = []
        """Of each attempt, the bytes that its manifest writes: it is replaced twice for each run."""

    def write(self) -> None:
        """Write all attempts."""
        for shard in self._divided.read_plan().shards:
            runs = planned_runs(*self._divided.read_shard(shard.number))
            chance = self._chance.random()
            if chance < self._killed:
                end = self._chance.randrange(len(runs))
                self._attempt(shard.number, 1, runs, end, is_killed=True)
                self._attempt(shard.number, 2, runs[end:], len(runs) - end)
            elif chance < self._killed + self._doubled:
                self._attempt(shard.number, 1, runs, len(runs))
                self._attempt(shard.number, 2, runs, len(runs))
            else:
                self._attempt(shard.number, 1, runs, len(runs))

    def _attempt(
        self,
        shard: int,
        number: int,
        runs: Sequence[PlannedRun],
        n_done: int,
        *,
        is_killed: bool = False,
    ) -> None:
        folder = attempt_folder(self._divided.folder, shard, number)
        folder.mkdir()
        layout = Layout(folder)
        if self._head is None or self._record is None:
            origin = self._divided.read_plan().origin
            writer = ManifestWriter.create(
                layout, origin.study_name, origin.study_design_hash, (), executor="local"
            )
            self._head, self._record = writer.manifest, new_record(1, 1)
        effect = 1 + self._chance.gauss(0, 0.03)
        entries = [
            self._run(layout, run, effect, n) if n < n_done else entry_of(run)
            for n, run in enumerate(runs)
        ]
        if is_killed and n_done < len(entries):
            entries[n_done] = msgspec.structs.replace(entries[n_done], status="running", attempts=1)
        manifest = msgspec.structs.replace(self._head, status="completed", entries=tuple(entries))
        content = encode_manifest(manifest)
        layout.manifest.write_bytes(content)
        self.manifest_bytes.append(2 * n_done * len(content))
        record = msgspec.structs.replace(
            self._record,
            shard=shard,
            attempt=number,
            state="running" if is_killed else "complete",
            # Another process than this one, which is still alive.
            process=msgspec.structs.replace(
                self._record.process, host=f"node{shard % 100}", started_ticks=1
            ),
        )
        record_file(folder).write_bytes(encode_json(record))
        self.n_attempts += 1

    def _run(self, layout: Layout, run: PlannedRun, effect: float, place: int) -> ManifestEntry:
        folder = layout.run_folder(run)
        folder.mkdir()
        energy_j = effect * (1 + self._chance.gauss(0, 0.01))
        start = _BEGIN + timedelta(seconds=180 * (run.cycle * 1000 + place))
        content = self._content(run, energy_j, start.isoformat())
        (folder / RESULT).write_bytes(content)
        for name, body in self._files.items():
            (folder / name).write_bytes(body)
        return msgspec.structs.replace(
            entry_of(run),
            status="completed",
            result_file=layout.relative(folder / RESULT),
            result_sha256=hashlib.sha256(content).hexdigest(),
            files_sha256=self._digests,
            started_at=start.isoformat(),
            ended_at=(start + timedelta(seconds=120)).isoformat(),
            run_s=120.0,
            gap_s=60.0,
            session=1,
            attempts=1,
            executor="local",
        )

    def _content(self, run: PlannedRun, energy_j: float, start: str) -> bytes:
        """Return a result; encoding one takes longer than replacing its figures."""
        from fakes.results import make_result

        if run.config_hash not in self._bodies:
            self._bodies[run.config_hash] = encode_result(
                make_result(
                    run.config,
                    energy_per_output_token_j=0.123456789,
                    started_at="2001-02-03T04:05:06+00:00",
                    timeseries_file=TIMESERIES if TIMESERIES in self._files else None,
                    requests_file=REQUESTS if REQUESTS in self._files else None,
                )
            )
        body = self._bodies[run.config_hash].replace(b"0.123456789", repr(energy_j).encode())
        return body.replace(b"2001-02-03T04:05:06+00:00", start.encode())


def entry_of(run: PlannedRun) -> ManifestEntry:
    """Return the entry of a run that has not begun."""
    return ManifestEntry(
        index=run.index, cycle=run.cycle, config_hash=run.config_hash, label=run.label
    )
