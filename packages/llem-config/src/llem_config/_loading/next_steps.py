"""What to write instead of a value that its field does not accept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llem_config._loading.suggest import nearest
from llem_config._loading.yaml_places import Route, spell
from llem_config._spec.pytorch import OFF_IF_ABSENT

_MAX_CHARACTERS = 60
_OFF = "to switch it off, leave it out"
_GREEDY = "for greedy decoding write decoder.temperature: 0"

_8_BIT = "for weights of 8 bits write pytorch.load_in_8bit: true"
_4_BIT = "for weights of 4 bits write pytorch.load_in_4bit: true"

_STEPS: dict[tuple[str, object], str] = {
    ("top_k", 0): "to sample from all tokens, leave it out",
    ("top_k", -1): "to sample from all tokens, leave it out",
    ("top_p", 0): _GREEDY,
    ("min_p", 0): _OFF,
    ("repetition_penalty", 0): _OFF,
    **{(option, 0): _OFF for option in OFF_IF_ABSENT},
    ("min_new_tokens", 0): _OFF,
    ("n_warmup", 0): "for no warm-up write warmup.enabled: false",
    ("max_warmup", 0): "for no warm-up write warmup.enabled: false",
    ("duration_seconds", 0): "to measure no idle power, write baseline.enabled: false",
    ("sources", "none"): "write [none]",
    **{("precision", name): _8_BIT for name in ("int8", "8bit", "8-bit", "w8a8")},
    **{("precision", name): _4_BIT for name in ("int4", "4bit", "4-bit", "nf4")},
}
"""By field and value: values that switch something off in other tools."""


_UNITS_S = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def next_step(
    route: Route,
    value: Any,
    *,
    is_list: bool,
    items: Sequence[str] = (),
    accepts: Callable[[float], bool] = lambda _: False,
) -> str:
    """Return `; ` and what to write instead of a wrong value, or an empty text.

    Args:
        route: of the field, below the experiment.
        value: as found.
        is_list: whether the field accepts a list.
        items: the names that may be in such a list; none if any text may.
        accepts: whether the field accepts a number.
    """
    key = spell(route)
    field = str(route[-1]) if route else ""
    if not isinstance(value, bool | list | Mapping) and (step := _STEPS.get((field, value))):
        return f"; {step}"
    if field == "device" and isinstance(value, str) and (gpu := re.fullmatch(r"cuda:(\d+)", value)):
        return f"; write cuda, and choose the GPU with the variable CUDA_VISIBLE_DEVICES={gpu[1]}"
    if isinstance(value, str) and (step := _number_step(field, value.strip(), accepts)):
        return f"; {step}"
    if isinstance(value, str) and is_list:
        found = _items(value) or [value]
        return f"; write {_listed([nearest(item, items) or item for item in found])}"
    if isinstance(value, str) and (number := _thousands(value)):
        return f"; write {number}"
    if isinstance(value, str) and (several := _items(value)):
        return f"; for several values write `{key}: {_listed(several)}` in sweep"
    if isinstance(value, list) and value and not is_list:
        return f"; for several values write `{key}: {_listed(value)}` in sweep"
    return ""


def _number_step(field: str, text: str, accepts: Callable[[float], bool]) -> str | None:
    """Return how to write a number in quotes or with a unit; None if the field does not accept it."""
    found = re.fullmatch(r"([+-]?\d+(?:\.\d*)?)\s*([a-zA-Z%]*)", text)
    if found is None:
        return None
    number, unit = found[1], found[2].lower()
    in_seconds = field.endswith("_seconds") and unit in _UNITS_S
    factor = _UNITS_S[unit] if in_seconds else 1.0
    if not accepts(float(number) * factor):
        return None
    if not unit:
        return f"write {number} without the quotes"
    if in_seconds:
        return f"write {float(number) * factor:g}, in seconds without a unit"
    return "write the number without a unit; `llem-cli study fields " + f"{field}` names its unit"


def _items(text: str) -> list[str]:
    """Return the values in a text such as `1, 2, 8`; none if it is a single value."""
    items = [item.strip() for item in re.split(r"[,;|]", text.strip().strip("[]()"))]
    if len(items) < 2:
        items = text.split()
        if not all(re.fullmatch(r"[\d.]+", item) for item in items):
            return []
    return items if len(items) > 1 and all(items) else []


def _thousands(text: str) -> str | None:
    """Return the number of a text such as `10,000` or `10_000`; None if it is none."""
    is_one = re.fullmatch(r"[1-9]\d{0,2}([_,' ]000)+", text.strip())
    return re.sub(r"\D", "", text) if is_one else None


def _listed(values: list[Any]) -> str:
    if any(isinstance(value, list | Mapping) for value in values):
        return "[...]"
    text = ", ".join(
        str(value).lower() if isinstance(value, bool) else str(value) for value in values
    )
    return f"[{text}]" if len(text) <= _MAX_CHARACTERS else f"[{text[:_MAX_CHARACTERS]}...]"
