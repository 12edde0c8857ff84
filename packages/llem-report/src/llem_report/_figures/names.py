"""Short names of factors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Return the last part of each key, such as `batch_size`, where no two keys share it."""
    keys = list(keys)
    ends = {key: key.rpartition(".")[2] or key for key in keys}
    n_keys = Counter(ends.values())
    return {key: end if n_keys[end] == 1 else key for key, end in ends.items()}
