"""Whether the hub of Hugging Face can be reached, found within seconds.

Its library retries each request for a minute, in every run.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import urllib.request
from typing import NamedTuple
from urllib.parse import urlsplit

_DEFAULT = "https://huggingface.co"
_TIMEOUT_S = 4.0
_VALID_S = 30.0


class _Answer(NamedTuple):
    """Whether a host could be reached, and when that was tried."""

    checked_s: float
    problem: str | None


_known: dict[tuple[str, int], _Answer] = {}


def unreachable_hub() -> str | None:
    """Return why the hub cannot be reached from this machine; None if it can.

    A proxy of the environment is tried instead, if one is set. The answer is kept for half a
    minute, because the checks of a study ask for many models.
    """
    host, port = address = _address(os.environ.get("HF_ENDPOINT") or _DEFAULT)
    now_s = time.monotonic()
    if address not in _known or now_s - _known[address].checked_s >= _VALID_S:
        _known[address] = _Answer(now_s, _connection_problem(host, port))
    problem = _known[address].problem
    return None if problem is None else f"the hub cannot be reached ({host}:{port}: {problem})"


def _address(endpoint: str) -> tuple[str, int]:
    """Return the host and port to connect to: those of the endpoint, or of its proxy."""
    url = urlsplit(endpoint)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and not urllib.request.proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _connection_problem(host: str, port: int) -> str | None:
    """Return why no connection is possible; None if one was made."""
    problems: list[str | None] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_TIMEOUT_S).close()
        except OSError as error:
            problems.append(error.strerror or str(error))
        else:
            problems.append(None)

    # Looking up a name has no timeout of its own.
    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(_TIMEOUT_S + 1)
    return problems[0] if problems else "no answer"
