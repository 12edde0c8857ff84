"""A column of an exported table: its name, type, unit and meaning."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

ColumnType = Literal["integer", "number", "boolean", "text", "texts", "time"]
"""`texts` is a list of texts, `time` an instant in UTC."""

_UNITS = (
    (r"energy_per_prompt_j", "J/prompt"),
    (r"energy_per_(\w+_)?token(_with_host)?_j(_ci95_low|_ci95_high)?", "J/token"),
    (r"energy_per_1000_requests_wh(_ci95_low|_ci95_high)?", "Wh/1000 requests"),
    (r"energy_delay_product_js(_ci95_low|_ci95_high)?", "J s/request"),
    (r"emissions_per_1000_requests_gco2(_ci95_low|_ci95_high)?", "gCO2/1000 requests"),
    (r"electricity_cost_per_1000_requests(_ci95_low|_ci95_high)?", "currency/1000 requests"),
    (r"tokens_per_second(_low|_high)?", "tokens/s"),
    (r"\w+_c_per_min", "°C/min"),
    (r"\w+_per_min", "1/min"),
    (r"(\w+_)?tokens", "tokens"),
    (r"\w+_cores|n_cpus", "CPUs"),
    (r"\w+_gb_s", "GB/s"),
    (r"\w+(_s|_seconds)", "s"),
    (r"\w+_j", "J"),
    (r"\w+_w", "W"),
    (r"\w+_c", "°C"),
    (r"\w+_bytes", "bytes"),
    (r"\w+_mhz", "MHz"),
    (r"\w+_hz", "Hz"),
    (r"(flops\.(total|prefill|decode)|flops)", "operations"),
    (r"bytes_moved", "bytes"),
    (r"arithmetic_intensity", "operations/byte"),
    (r"pj_per_flop", "pJ/operation"),
    (r"pj_per_byte", "pJ/byte"),
    (r"(\w+_)?tflops", "TFLOP/s"),
    (r"nll(_answers)?", "nats/token"),
)
_UNIT_PATTERNS = tuple((re.compile(rf"(?:.*\.)?{pattern}"), unit) for pattern, unit in _UNITS)


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column of an exported table."""

    name: str
    type: ColumnType
    unit: str | None
    """None for text, counts and ratios."""
    description: str
    source: str
    """The file and the field that the value is from, such as `result.json: window_s`."""


def column(name: str, kind: ColumnType, description: str, source: str) -> Column:
    """Return a column with the unit that its name states."""
    text = re.sub(r"\bNone\b", "null", description)  # what tables have instead
    return Column(name=name, type=kind, unit=unit_of(name, kind), description=text, source=source)


def unit_of(name: str, kind: ColumnType) -> str | None:
    """Return the unit of a column, by its name; None for text, counts and ratios."""
    if kind not in ("integer", "number"):
        return None
    return next((unit for pattern, unit in _UNIT_PATTERNS if pattern.fullmatch(name)), None)


def arrow_type(kind: ColumnType) -> Any:
    """Return the type of a column in Arrow and Parquet."""
    import pyarrow as pa  # takes a third of a second

    return {
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "time": pa.timestamp("us", tz="UTC"),
    }[kind]
