"""Flags that several commands share, and how they change a study file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import CoercionError, Parameter, Token
from cyclopts.validators import Number

from llem_config import ConfigError, Fault
from llem_config.overrides import merge, override, parse_value
from llem_config.text import shortened


def _whole_numbers(kind: Any, tokens: Sequence[Token]) -> Any:
    """Return the number of a flag, or the numbers of a repeatable one.

    Raises:
        CoercionError: a text is not a whole number; cyclopts would round 2.5.
    """
    numbers = []
    for token in tokens:
        try:
            numbers.append(int(token.value))
        except ValueError as error:
            raise CoercionError(token=token, target_type=int) from error
    return numbers[0] if kind is int else tuple(numbers)


WHOLE = Parameter(converter=_whole_numbers)
"""Of every flag that takes whole numbers."""
CLI_DEFAULTS: Mapping[str, Any] = {"execution": {"n_cycles": 3}}
"""Enough repeats for an error bar; the study file and the flags override it."""

StudyFile = Annotated[Path, Parameter(help="Study file (YAML).")]
ParentFolder = Annotated[
    Path | None,
    Parameter(help="Parent of the study's new folder (default: results_dir in the settings)."),
]
CycleOrder = Literal["sequential", "interleaved", "shuffled"]
Order = Annotated[
    CycleOrder | None, Parameter(help="Order of the runs across cycles (default: from the file).")
]
Set = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative=(),
        help="Override a field of the file, e.g. --set pytorch.batch_size=8; repeatable.",
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON instead of text.")]
Quiet = Annotated[bool, Parameter(name="--quiet", negative=(), help="Show no progress.")]
Verbose = Annotated[
    bool,
    Parameter(
        name="--verbose",
        negative=(),
        help="Show every stage of a run, and tracebacks of errors.",
    ),
]
Tracebacks = Annotated[
    bool, Parameter(name="--verbose", negative=(), help="Show tracebacks of errors.")
]
Cycles = Annotated[
    int | None,
    WHOLE,
    Parameter(help="Number of repeats of every experiment (default: from the file, or 3)."),
]
Data = Annotated[
    bool,
    Parameter(
        negative=(),
        help="Also read the data sets, and check every row that the study uses.",
    ),
]
Gaps = Annotated[
    bool,
    Parameter(
        negative="--no-gaps",
        help="Leave gaps between runs (default), or start each run immediately.",
    ),
]
Timeout = Annotated[float | None, Parameter(help="Kill a run after this number of seconds.")]
Retry = Annotated[
    int,
    WHOLE,
    Parameter(
        validator=Number(gte=0, lte=1000), help="Retry a crashed run up to N times (default: 0)."
    ),
]
TimeLimit = Annotated[
    str | None,
    Parameter(help="Time budget for this command, e.g. 8h; remaining runs stay pending."),
]
Wait = Annotated[
    bool, Parameter(negative=(), help="Wait for a GPU that another study uses, instead of failing.")
]
_MAX_DURATION_S = 366 * 86400.0
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration_s(text: str | None, key: str = "--time-limit") -> float | None:
    """Return a duration in seconds: `90`, `90s`, `30m`, `8h`, `1.5d`, `1h30m`.

    Args:
        text: as the user wrote it.
        key: the flag, for the message.

    Raises:
        ConfigError: the text is not a duration above 0.
    """
    if text is None:
        return None
    is_duration = re.fullmatch(r"(\d+(\.\d+)?[smhd])+|\d+(\.\d+)?", text)
    parts = re.findall(r"([\d.]+)([smhd]?)", text) if is_duration else []
    duration_s = sum(float(number) * _UNITS_S[unit or "s"] for number, unit in parts)
    if not 0 < duration_s <= _MAX_DURATION_S:
        problem = f"expected a time such as 90s, 30m or 8h, found {shortened(text, 60)!r}" + (
            "; the limit is a year" if duration_s > 0 else ""
        )
        raise ConfigError([Fault("<command line>", 0, 0, key, problem)])
    return duration_s


def command_line_layer(
    settings: Sequence[str],
    *,
    cycles: int | None = None,
    order: CycleOrder | None = None,
    gaps: bool = True,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Return the flags that were given, in the shape of a study file.

    Raises:
        ConfigError: a `--set` has no `=`, or its value is not valid YAML.
    """
    layer: dict[str, Any] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key:
            problem = f"expected --set key=value, found {text!r}"
            raise ConfigError([Fault("<command line>", 0, 0, "", problem)])
        layer = merge(layer, override(key, parse_value(value)))
    execution: dict[str, Any] = {"n_cycles": cycles, "cycle_order": order}
    execution["timeout_seconds"] = timeout
    if not gaps:
        execution |= {"config_gap_seconds": 0.0, "cycle_gap_seconds": 0.0}
    given = {key: value for key, value in execution.items() if value is not None}
    return merge(layer, {"execution": given}) if given else layer
