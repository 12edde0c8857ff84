"""Whether values in stored files can be those that llem has written."""

from __future__ import annotations

import re
from datetime import datetime

SHARDS = "shards"
"""The folder of a divided study's shards."""
_RESULT = re.compile(
    r"(shards/[0-9]{4,7}/a[0-9]{2,6}/)?[0-9]{4,12}_c[0-9]{1,12}_[A-Za-z0-9._-]{1,100}/result\.json"
)


def is_instant(text: str) -> bool:
    """Return whether a text is a date and time with an offset from UTC."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def is_result_of_run(path: str) -> bool:
    """Return whether a relative path is the one of the result of a run; it leads out of no folder."""
    return _RESULT.fullmatch(path) is not None
