"""Values, bytes and files that no reader expects, for the mutations of all kinds."""

from __future__ import annotations

import copy
import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.hostile.place import Place
from benchmarks.hostile.strings import STRINGS

TEXTS = [
    text for text in STRINGS.values() if not any("\ud800" <= char <= "\udfff" for char in text)
]
"""Texts that UTF-8 can encode."""
_NUMBERS: tuple[Any, ...] = (0, -1, 2**63, 10**400, 1.7e308, -0.0, 1e-300, float("nan"))
_OTHERS: tuple[Any, ...] = (
    *(None, True, [], {}, "2026-01-01T00:00:00", "9999-12-31T23:59:59+14:00", "0001-01-01"),
    *("../../precious/thesis.txt", "/etc/passwd", "../../../..", "running", "completed", "local"),
)
_HUGE = 40_000_000_000  # bytes of a file without content, which takes no space


def change_value(rng: random.Random, data: Any) -> Any:
    """Return JSON data with one value replaced, removed or doubled."""
    places: list[tuple[Any, Any]] = []
    level = [data]
    while level:
        node = level.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            places.append((node, key))
            if isinstance(value, dict | list):
                level.append(value)
    if not places:
        return hostile_value(rng)
    node, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del node[key]
        case 1 if isinstance(node, list):
            node[:] = node * rng.choice((2, 50))
        case 2 if isinstance(node, dict):
            node[rng.choice(TEXTS)[:1000]] = hostile_value(rng)
        case _:
            node[key] = hostile_value(rng)
    return data


def hostile_value(rng: random.Random) -> Any:
    """Return a value of JSON that a reader may not expect."""
    match rng.randrange(4):
        case 0:
            return rng.choice(_NUMBERS)
        case 1:
            return rng.choice(TEXTS)
        case 2:
            value: Any = 1
            for _ in range(rng.choice((3, 150, 250))):
                value = [value] if rng.random() < 0.5 else {"a": value}
            return value
        case _:
            return copy.copy(rng.choice(_OTHERS))  # a later change must not alter the constant


def change_json(rng: random.Random, content: bytes) -> bytes:
    """Return JSON with one to three values changed."""
    try:
        data = json.loads(content)
    except ValueError:  # an earlier mutation broke it
        return change_bytes(rng, content)
    for _ in range(rng.choice((1, 1, 1, 3))):
        data = change_value(rng, data)
    return json.dumps(data, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def change_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return a content with bytes changed, removed or repeated."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice((1, 4, 100)))
        match rng.randrange(5):
            case 0:
                del data[at:to]
            case 1:
                data[at:to] = rng.randbytes(rng.randrange(1, 5))
            case 2:
                data[at:at] = rng.choice(TEXTS).encode()
            case 3:
                data[at:at] = bytes(data[at:to]) * rng.choice((2, 1000))
            case 4:
                del data[at:]
    return bytes(data)


def replace(rng: random.Random, path: Path, place: Place) -> str:
    """Replace a file or a folder by something else, and return by what."""
    moved = path.with_name(f"{path.name}.{rng.randrange(10**9)}")  # new, also the second time
    if os.path.lexists(path):
        path.rename(moved)
    kind = rng.choice(list(_REPLACEMENTS))
    try:
        _REPLACEMENTS[kind](path, place)
    except PermissionError:  # only root can make a device
        if os.path.lexists(moved):
            moved.rename(path)
        kind = "nothing"
    return kind


def _huge(path: Path, place: Place) -> None:
    del place
    with path.open("wb") as file:
        file.truncate(_HUGE)


def _socket(path: Path, place: Place) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}"[:107])
    os.close(folder)
    del place


def _unreadable(path: Path, place: Place) -> None:
    del place
    path.write_bytes(b"{}")
    path.chmod(0)


_REPLACEMENTS: dict[str, Callable[[Path, Place], object]] = {
    "a link to a file": lambda path, place: path.symlink_to(place.precious / "thesis.txt"),
    "a link to a folder": lambda path, place: path.symlink_to(place.precious / "folder"),
    "a link to nothing": lambda path, place: path.symlink_to(place.precious / "new"),
    "a link to itself": lambda path, _: path.symlink_to(path.name),
    "a hard link": lambda path, place: path.hardlink_to(place.precious / "thesis.txt"),
    "a link to a device": lambda path, _: path.symlink_to("/dev/zero"),
    "a link to a terminal": lambda path, _: path.symlink_to("/dev/tty"),
    "a device": lambda path, _: os.mknod(path, 0o20666, os.makedev(1, 5)),
    "a named pipe": lambda path, _: os.mkfifo(path),
    "a socket": _socket,
    "a folder": lambda path, _: path.mkdir(),
    "a folder with files": lambda path, _: (path / "below").mkdir(parents=True),
    "an empty file": lambda path, _: path.write_bytes(b""),
    "a huge file": _huge,
    "a file that cannot be read": _unreadable,
    "nothing": lambda *_: None,
}
