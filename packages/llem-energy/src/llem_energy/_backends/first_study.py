"""A study to begin with, as a backend proposes it for a machine."""

from __future__ import annotations

from typing import Any

import msgspec


class FirstStudy(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of a study that a backend can run if the model fits the memory."""

    on_gpu: bool
    """Whether it needs a GPU."""
    fields: dict[str, Any]
    """Fields of all points, by their dotted keys."""
    comments: dict[str, str]
    """For each of `fields` why it is set, in a few words."""
    batch_axis: str
    """The dotted key of the number of prompts that are processed together."""
    batch_sizes: tuple[int, ...]
    """Values of this axis, in ascending order; those that do not fit the memory are left out."""
    further_axes: dict[str, list[Any]]
    """Axes that a person may want to add, with their values."""
