"""A study or an experiment from flags, without a file: `--model M --sweep KEY=VALUE,VALUE`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from llem_cli._commands.study.folder import usage_error
from llem_cli._display.console import resume_command
from llem_config.overrides import parse_value
from llem_runner.archives import is_archive

Model = Annotated[
    str | None,
    Parameter(help="Model, instead of a file: a local folder, `builtin:NAME`, or a hub id."),
]
Sweep = Annotated[
    tuple[str, ...],
    Parameter(
        negative=(),
        help="With --model: a field and its values, e.g. --sweep precision=fp32,bf16; repeatable.",
    ),
]


_SUFFIXES = (".yaml", ".yml")


def check_source(path: Path | None, model: str | None, sweep: Sequence[str], what: str) -> None:
    """Return if a command has either a file or a model.

    Args:
        path: of the file.
        model: that replaces the file.
        sweep: flags that need `model`.
        what: the kind of file with its article, for the message.

    Raises:
        ConfigError: it has both or neither, a sweep beside a file, or a folder in place of a file.
    """
    if path is None and model is None:
        raise usage_error("", f"expected {what} file or --model MODEL, found neither")
    if path is not None and model is not None and (flag := _divided_sweep(path, sweep)):
        raise usage_error("--sweep", f"expected one word, found a space in it; write {flag}")
    if path is not None and model is not None:
        raise usage_error(
            "--model", f"expected {what} file or --model, found both; write --set model={model}"
        )
    if path is not None and (found := _found_instead(path)):
        raise usage_error("", f"{path}: expected {what} file, found {found}")
    if path is not None and sweep:
        raise usage_error(
            "--sweep", f"expected --model with --sweep, found the file {path}; write `sweep` in it"
        )


def _divided_sweep(path: Path, sweep: Sequence[str]) -> str | None:
    """Return the whole flag if the last word of a sweep was taken for the file."""
    for text in sweep:
        if "=" not in text:
            return f"--sweep {text}={path}"
        if text.endswith((",", "=")):
            return f"--sweep {text}{path}"
    return None


def _found_instead(path: Path) -> str | None:
    """Return what a path is that is no file, and what to do; None for what a file's reader explains."""
    with contextlib.suppress(OSError, ValueError):  # not readable, or no possible name
        if (path / "manifest.json").is_file():
            return f"the folder of a study; continue it with {resume_command(path)}"
        if is_archive(path):
            return f"the archive of a study; look at it with `llem-cli study show {path}`"
        if (path / "config.json").is_file():
            return f"the folder of a model; use --model {path}"
        if path.suffix not in _SUFFIXES and not path.exists():
            return f"no such file; if it is a model, use --model {path}"
    return None


def study_fields(model: str, sweep: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a study, in the shape of a study file.

    Args:
        model: of all points that do not sweep it.
        sweep: axes as `KEY=VALUE,VALUE`.

    Raises:
        ConfigError: an axis has no values, is there twice, or is not valid YAML.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", re.split("[/:]", model.rstrip("/"))[-1]).lstrip("._-")
    fields: dict[str, Any] = {"name": name[:100] or "study", "model": model}
    axes: dict[str, Any] = {}
    for text in sweep:
        key, _, values = text.partition("=")
        if not key or not values.strip():
            problem = f"expected --sweep KEY=VALUE,VALUE, found {text!r}; e.g. --sweep precision=fp32,bf16"
            raise usage_error("--sweep", problem)
        if key in axes:
            raise usage_error("--sweep", f"expected each field once, found {key} twice")
        is_list = values.startswith("[") and values.endswith("]")
        axes[key] = parse_value(values if is_list else f"[{values}]")
    if axes:
        fields["sweep"] = axes
    return fields
