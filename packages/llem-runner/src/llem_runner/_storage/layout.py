"""The names of a study's files; no other module knows them.

{study_name}_{UTC timestamp}/
study.yaml  study_resolved.json  manifest.json  study_result.json
0001_c1_{model}_{hash8}/result.json  timeseries.parquet  requests.parquet  log.txt

`divided_folder.py` has those of a study that is divided among several processes.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from llem_config import StudyConfig
from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.atomic_files import reason_of, sync_folder, write_atomically

RESULT, TIMESERIES, LOG = "result.json", "timeseries.parquet", "log.txt"
REQUESTS = "requests.parquet"  # the measurement writes it beside its time series
LIVE = "live.json"  # likewise; it is there only while the run is in progress
PACK = "runs.zip"
"""In the folder of an attempt at a shard: the files of its runs, once they are packed."""
RUN_FOLDER = re.compile(r"([0-9]{4,12})_c([0-9]{1,12})_[A-Za-z0-9._-]{1,100}")
_OLD = ".old"


def extension_file(number: int) -> str:
    """Return the name of the study file of the n-th extension, from 1."""
    return f"extension_{number}.yaml"


def is_run_file(name: str) -> bool:
    """Return whether a run has a file of this name, also one that a resume has moved aside."""
    return name.removesuffix(_OLD) in (RESULT, TIMESERIES, REQUESTS, LOG, LIVE)


def encode_study(study: StudyConfig) -> bytes:
    """Return the content of the resolved study."""
    return (study.model_dump_json(indent=2) + "\n").encode()


class Layout:
    """The files of one study folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "study.yaml"
        self.resolved = folder / "study_resolved.json"
        self.manifest = folder / "manifest.json"
        self.study_result = folder / "study_result.json"
        self.lock = folder / ".lock"

    def write_study(self, study: StudyConfig) -> None:
        """Write the resolved study.

        Raises:
            StudyError: the file cannot be written.
        """
        write_atomically(self.resolved, encode_study(study))

    def extension_source(self, number: int) -> Path:
        """Return the file of the n-th extension, from 1, as it was written."""
        return self.folder / extension_file(number)

    def run_folder(self, run: PlannedRun) -> Path:
        """Return the folder of one run, e.g. `0001_c1_tiny-llama_0123abcd`."""
        model = re.sub(r"[^A-Za-z0-9._-]+", "-", run.config.model.rstrip("/").split("/")[-1])
        model = model.removeprefix("builtin-").lstrip(".-")[:40] or "model"
        return self.folder / f"{run.index:04d}_c{run.cycle}_{model}_{run.config_hash[:8]}"

    def relative(self, path: Path) -> str:
        """Return a path relative to the study folder, so that the folder can be moved."""
        return path.relative_to(self.folder).as_posix()


@contextlib.contextmanager
def new_folder(results_dir: Path, study: StudyConfig) -> Iterator[Layout]:
    """Create a new folder for a study, and write the study into it.

    If the context ends by an error before there is a manifest, the folder is deleted again.

    Raises:
        StudyError: the folder cannot be created.
    """
    layout = Layout(_create(results_dir, study))
    try:
        if study.source is not None:
            write_atomically(layout.source, study.source.encode())
        layout.write_study(study)
        yield layout
    except BaseException:
        if not layout.manifest.exists():
            with contextlib.suppress(OSError):
                for file in (layout.source, layout.resolved, layout.lock):
                    file.unlink(missing_ok=True)
                layout.folder.rmdir()
        raise


@contextlib.contextmanager
def new_divided_folder(results_dir: Path, study: StudyConfig) -> Iterator[Layout]:
    """Create a new folder for a study that is divided; if the context ends by an error, delete it.

    Its name ends with random digits: jobs of a cluster are found again by it, and two studies that
    start in one second must not have the same.

    Raises:
        StudyError: the folder cannot be created.
    """
    layout = Layout(_create(results_dir, study, is_random=True))
    try:
        if study.source is not None:
            write_atomically(layout.source, study.source.encode())
        layout.write_study(study)
        yield layout
    except BaseException:
        shutil.rmtree(layout.folder, ignore_errors=True)
        raise


def _create(results_dir: Path, study: StudyConfig, *, is_random: bool = False) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 0
    while True:
        suffix = f"_{number}" if number else ""
        suffix = f"_{secrets.token_hex(2)}" if is_random else suffix
        folder = results_dir / f"{study.name}_{stamp}{suffix}"
        try:
            results_dir.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            sync_folder(results_dir)
        except FileExistsError:
            if not results_dir.is_dir():
                raise StudyError(f"{results_dir} is not a folder") from None
            number += 1
            continue
        except (OSError, ValueError) as error:
            raise StudyError(f"{folder} cannot be created: {reason_of(error)}") from error
        return folder
