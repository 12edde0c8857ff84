"""What figure 3 draws energy against: output tokens per second, or the time to the first token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from llem_report.records import PointEstimate


class Position(NamedTuple):
    """Where a point is on the axis of x, and whether it is on the front."""

    value: float
    low: float | None
    high: float | None
    front: Literal["certain", "possible"] | None


@dataclass(frozen=True, slots=True)
class Against:
    """What energy is drawn against."""

    name: str
    """Of the figure."""
    title: str
    field: str
    """Of the rows; the ends of the interval are `FIELD_low` and `FIELD_high`."""
    axis: str
    better: str
    """Where the best points are."""
    read: Callable[[PointEstimate], Position | None]
    """Returns None if the point has no such figure."""


def _position_of_speed(point: PointEstimate) -> Position | None:
    if not point.tokens_per_second:
        return None
    low, high = point.tokens_per_second_low, point.tokens_per_second_high
    front = _front(point.on_front, is_certain=point.front_is_certain)
    return Position(point.tokens_per_second, low, high, front)


def _position_of_first_token(point: PointEstimate) -> Position | None:
    if not point.time_to_first_token_s:
        return None
    low_s, high_s = point.time_to_first_token_low_s, point.time_to_first_token_high_s
    front = _front(point.on_first_token_front, is_certain=point.first_token_front_is_certain)
    return Position(1000 * point.time_to_first_token_s, _ms(low_s), _ms(high_s), front)


def _ms(time_s: float | None) -> float | None:
    return None if time_s is None else 1000 * time_s


def _front(is_on: bool, *, is_certain: bool) -> Literal["certain", "possible"] | None:
    if not is_on:
        return None
    return "certain" if is_certain else "possible"


SPEED = Against(
    name="speed",
    title="What energy and speed can be had together",
    field="speed",
    axis="tokens/s",
    better="Lower and further right is better.",
    read=_position_of_speed,
)
FIRST_TOKEN = Against(
    name="first_token",
    title="What energy and time to the first token can be had together",
    field="first_token_ms",
    axis="time to the first token, ms",
    better="Lower and further left is better.",
    read=_position_of_first_token,
)
