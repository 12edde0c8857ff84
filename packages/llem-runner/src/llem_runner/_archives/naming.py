"""Names the files of an unpacked archive as they are in the archive, not in the temporary folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

_Data = TypeVar("_Data")


def named_in_archive(data: _Data, folder: Path, archive: Path) -> _Data:
    """Return text or data in which each path in a folder is `ARCHIVE.zip: PATH`.

    Args:
        data: text, a struct, or lists, tuples and dictionaries of them; all else is returned as it is.
        folder: into which the archive was unpacked.
        archive: as the user has named it.
    """
    prefix = f"{folder}/"

    def renamed(value: Any) -> Any:
        match value:
            case str():
                return value.replace(prefix, f"{archive}: ")
            case list():
                return [renamed(each) for each in value]
            case tuple():
                items = [renamed(each) for each in value]
                return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
            case dict():
                return {key: renamed(each) for key, each in value.items()}
            case msgspec.Struct():
                fields = {name: getattr(value, name) for name in value.__struct_fields__}
                return msgspec.structs.replace(value, **renamed(fields))
        return value

    return cast("_Data", renamed(data))
