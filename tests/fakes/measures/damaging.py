"""Stand-ins for `measure` that damage the pipe to the parent, the log or the study folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from fakes.measures.succeeding import quick
from fakes.results import make_result

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult


def removes_the_study(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Remove the folder of the study during the run."""
    timeseries: Path = rest["timeseries"]
    shutil.rmtree(timeseries.parent.parent)
    return make_result(config)


def closes_its_pipe(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Close the pipe to the parent and continue."""
    for descriptor in _sockets():
        os.close(descriptor)
    time.sleep(600)
    return make_result(config)


def sends_garbage(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Send bytes that are not a message."""
    for descriptor in _sockets():
        os.write(descriptor, b"\0\0\0\5xxxxx")
    time.sleep(600)
    return make_result(config)


def claims_two_gigabytes(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Announce a message of two gigabytes."""
    for descriptor in _sockets():
        os.write(descriptor, b"\x7f\xff\xff\xff")
    time.sleep(600)
    return make_result(config)


def stops_inside_a_message(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Send half of a message."""
    for descriptor in _sockets():
        os.write(descriptor, b"\0\0\1\0half")
    time.sleep(600)
    return make_result(config)


def _sockets() -> list[int]:
    links = {int(link.name): link for link in Path("/proc/self/fd").iterdir()}
    descriptors = []
    for descriptor, link in links.items():
        try:
            if str(link.readlink()).startswith("socket:"):
                descriptors.append(descriptor)
        except OSError:  # the descriptor of the listing itself
            continue
    return descriptors


def floods_its_log(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    """Write a sparse log of one gigabyte, and die."""
    os.write(1, b"first words\n")
    os.truncate(f"/proc/{os.getpid()}/fd/1", 2**30)
    os.write(1, b"\nlast words\n")
    os.kill(os.getpid(), signal.SIGKILL)
    return make_result(config)


def fills_the_disk(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Fill the disk of the results, from the second experiment on."""
    timeseries: Path = rest["timeseries"]
    if config.n > 1:
        with contextlib.suppress(OSError), (timeseries.parent / "filler").open("wb", 0) as file:
            while True:
                file.write(bytes(4096))
    return quick(config, **rest)


def makes_its_study_read_only(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Make the folder of the study immutable; the folder of the run stays writable."""
    timeseries: Path = rest["timeseries"]
    subprocess.run(["chattr", "+i", timeseries.parents[1]], check=True)
    return quick(config, **rest)
