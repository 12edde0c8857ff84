"""What a user of `llem-cli meter` requests, checked before anything is opened or started."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from llem_cli._commands.meter.program import check_startable
from llem_cli._commands.options import parse_duration_s
from llem_cli._commands.study.folder import usage_error

_SUFFIXES = (".parquet", ".csv")
_COMPARED_RUNS = 5
_MAX_RUNS = 10_000


class Flags(NamedTuple):
    """The flags as the user wrote them; None where one was not given."""

    pid: int | None
    duration: str | None
    runs: int | None
    warmup: int
    gap: str
    compare: str | None
    tokens: int | None
    gpus: str | None
    output: Path | None
    timeseries: Path | None


class Request(NamedTuple):
    """A valid request."""

    commands: tuple[tuple[str, ...], ...]
    """Programs with their arguments; () to measure a process or some seconds."""
    n_runs: int
    n_warmup: int
    gap_s: float
    pid: int | None
    seconds: float | None
    gpus: tuple[int | str, ...] | None
    """Indices or UUIDs; None for all."""

    @property
    def is_series(self) -> bool:
        """Whether there are several runs."""
        return len(self.commands) * self.n_runs > 1


def checked(command: Sequence[str], flags: Flags) -> Request:
    """Return the request.

    Raises:
        ConfigError: flags that contradict each other, or a value that is none.
        StartError: a command does not exist.
    """
    watches = flags.pid is not None or flags.duration is not None
    if not command and not watches:
        raise usage_error(
            "", "expected a command after --, or --pid N, or --for 30s: meter -- COMMAND ARGS"
        )
    if command and watches:
        flag = "--pid" if flags.pid is not None else "--for"
        raise usage_error(flag, "expected no command beside it; measure one of them")
    if watches and (flags.runs is not None or flags.compare is not None or flags.warmup):
        raise usage_error("", "--runs, --warmup and --compare repeat a command; give one after --")
    if flags.pid is not None and flags.pid <= 0:
        raise usage_error("--pid", f"expected a whole number above 0, found {flags.pid}")
    _check_count("--runs", flags.runs, 1)
    _check_count("--warmup", flags.warmup, 0)
    if flags.tokens is not None and flags.tokens <= 0:
        raise usage_error("--tokens", f"expected a whole number above 0, found {flags.tokens}")
    _check_file("--output", flags.output)
    _check_file("--timeseries", flags.timeseries)
    if flags.timeseries is not None and flags.timeseries.suffix not in _SUFFIXES:
        raise usage_error(
            "--timeseries", f"expected a file that ends with .parquet or .csv: {flags.timeseries}"
        )
    commands = [tuple(command)] if command else []
    if flags.compare is not None:
        commands.append(_words(flags.compare))
    for each in commands:
        check_startable(each)
    default_runs = 1 if flags.compare is None else _COMPARED_RUNS
    return Request(
        commands=tuple(commands),
        n_runs=flags.runs or default_runs,
        n_warmup=flags.warmup,
        gap_s=_gap_s(flags.gap),
        pid=flags.pid,
        seconds=parse_duration_s(flags.duration, "--for"),
        gpus=_gpus(flags.gpus),
    )


def check_gpus(requested: Sequence[int | str] | None, source: str | None) -> None:
    """Check that the GPUs that a user named exist.

    Args:
        requested: by index or UUID; None for all.
        source: what is metered; None for nothing, perhaps because one of them does not exist.

    Raises:
        ConfigError: the driver has GPUs, but not one of these.
    """
    if requested is None or source is not None:
        return
    from llem_energy.sources import gpu_uuids

    uuids = gpu_uuids()
    absent = [key for key in requested if key not in uuids and key not in range(len(uuids))]
    if uuids and absent:
        raise usage_error(
            "--gpus",
            f"expected GPUs of this machine, found {absent[0]}; it has {', '.join(_named(uuids))}",
        )


def _named(uuids: Sequence[str]) -> list[str]:
    return [f"{index} ({uuid})" for index, uuid in enumerate(uuids)]


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a command; there is no shell, so `$X`, `|` and `*` are only characters."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise usage_error("--compare", f"expected a command, found {text!r}: {error}") from None
    if not words:
        raise usage_error("--compare", "expected a command, found none")
    return words


def _gap_s(text: str) -> float:
    if re.fullmatch(r"0+(\.0+)?s?", text):
        return 0.0
    return parse_duration_s(text, "--gap") or 0.0


def _gpus(text: str | None) -> tuple[int | str, ...] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise usage_error("--gpus", f"expected indices or UUIDs such as 0,1, found {text!r}")
    return tuple(int(name) if name.isascii() and name.isdigit() else name for name in names)


def _check_count(key: str, value: int | None, least: int) -> None:
    if value is not None and not least <= value <= _MAX_RUNS:
        raise usage_error(
            key, f"expected a whole number from {least} to {_MAX_RUNS}, found {value}"
        )


def _check_file(key: str, path: Path | None) -> None:
    """Check now that a file can be written, not after hours of measuring."""
    if path is None:
        return
    if path.is_dir():
        raise usage_error(key, f"expected a file, found a folder: {path}")
    if not path.absolute().parent.is_dir():
        raise usage_error(key, f"the folder of the file does not exist: {path}; create it")
