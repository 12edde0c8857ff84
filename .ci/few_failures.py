"""Exit with 0 if the tests that failed in the last run are few, so that they may run again alone.

python3 .ci/few_failures.py CACHE_FOLDER    the folder `cache_dir` of pytest

A run can also fail without a failed test: if the processes of pytest-xdist collect different
tests, pytest notes the name of a process instead of a test. `pytest --last-failed` would then run
every test, one after the other.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

MOST = 20


def reason_against(failed: list[str]) -> str | None:
    """Return why what failed should not run again; None if it should."""
    no_tests = [name for name in failed if "::" not in name]
    if no_tests:
        return f"{', '.join(no_tests)}: not collected"
    if not failed:
        return "pytest noted no failed test"
    if len(failed) > MOST:
        return f"{len(failed)} tests failed, more than {MOST}"
    return None


def main() -> str | None:
    """Return the message of the exit, or None."""
    cache = Path(sys.argv[1]) / "v" / "cache" / "lastfailed"
    reason = reason_against(list(json.loads(cache.read_text("utf-8"))) if cache.exists() else [])
    return reason and f"no test runs again: {reason}"


if __name__ == "__main__":
    sys.exit(main())
