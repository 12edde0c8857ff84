"""What to write instead of a value that its field does not accept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llem_config._loading.yaml_places import Route, spell
from llem_config._spec.pytorch import OFF_IF_ABSENT

_MAX_CHARACTERS = 60
_OFF = "to switch it off, leave it out"
_GREEDY = "for greedy decoding write decoder.temperature: 0"

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
}
"""By field and value: values that switch something off in other tools."""


def next_step(route: Route, value: Any, *, is_list: bool) -> str:
    """Return `; ` and what to write instead of a wrong value, or an empty text.

    Args:
        route: of the field, below the experiment.
        value: as found.
        is_list: whether the field accepts a list.
    """
    key = spell(route)
    field = str(route[-1]) if route else ""
    if not isinstance(value, bool | list | Mapping) and (step := _STEPS.get((field, value))):
        return f"; {step}"
    if isinstance(value, str) and is_list:
        return f"; write {_listed(_items(value) or [value])}"
    if isinstance(value, str) and (number := _thousands(value)):
        return f"; write {number}"
    if isinstance(value, str) and (items := _items(value)):
        return f"; for several values write `{key}: {_listed(items)}` in sweep"
    if isinstance(value, list) and value and not is_list:
        return f"; for several values write `{key}: {_listed(value)}` in sweep"
    return ""


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
