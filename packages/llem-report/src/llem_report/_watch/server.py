"""Serves the page to this machine only: no route changes anything, and none is guessable."""

from __future__ import annotations

import contextlib
import hmac
import secrets
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from llem_report._errors import ReportError
from llem_report._watch.page import POLICY, script, style, watch_html
from llem_report._watch.refresher import Refresher
from llem_report._watch.study_state import check_watchable

ADDRESS = "127.0.0.1"
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_MAX_CONNECTIONS = 32
_TIMEOUT_S = 5.0
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}


class WatchServer:
    """Shows a study at `url` inside a `with` block."""

    def __init__(self, folder: str | Path, *, port: int = 0) -> None:
        """Open the port.

        Args:
            folder: of the study, which may be running, finished, or not have begun.
            port: of 127.0.0.1; 0 takes a free one.

        Raises:
            StudyError: not the folder of a study.
            ReportError: the port cannot be used.
        """
        check_watchable(Path(folder))
        self._refresher = Refresher(Path(folder))
        token = secrets.token_urlsafe(24)
        try:
            self._server = _Server((ADDRESS, port), partial(_Handler, token, self._answers()))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ReportError(
                f"port {port} of {ADDRESS} cannot be used: {reason}; use another one, or leave "
                "--port out for a free one"
            ) from error
        self.url = f"http://{ADDRESS}:{self._server.server_address[1]}/{token}/"
        """Address of the page; only who knows it can see the page."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="llem-watch", daemon=True
        )

    def __enter__(self) -> WatchServer:
        self._refresher.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._refresher.stop()

    def _answers(self) -> dict[str, Callable[[], _Answer]]:
        shown = self._refresher

        def page() -> _Answer:
            view, results = shown.now()
            return _Answer("text/html", watch_html(view, results).encode())

        return {
            "": page,
            "state.json": lambda: _Answer("application/json", msgspec.json.encode(shown.now()[0])),
            "results.html": lambda: _Answer("text/html", shown.now()[1].encode()),
            "watch.css": lambda: _Answer("text/css", style().encode()),
            "watch.js": lambda: _Answer("text/javascript", script().encode()),
        }


class _Answer(NamedTuple):
    kind: str
    content: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self._free = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        super().__init__(*arguments)

    def server_bind(self) -> None:
        """Bind without the name service, which the server of the standard library asks here."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a new thread; too many connections at a time are closed."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a browser that closes a connection is no error."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _TIMEOUT_S

    def __init__(self, token: str, answers: dict[str, Callable[[], _Answer]], *rest: Any) -> None:
        self._token, self._answers = token, answers
        super().__init__(*rest)

    def do_GET(self) -> None:  # the name that the standard library calls
        """Answer with a page or a part of one."""
        self._answer(with_content=True)

    def do_HEAD(self) -> None:  # likewise
        """Answer with the headers only."""
        self._answer(with_content=False)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with a plain sentence; nothing of the request is repeated in it."""
        del message, explain
        status = HTTPStatus(code)
        if status is HTTPStatus.NOT_IMPLEMENTED:  # how the standard library refuses a method
            status = HTTPStatus.METHOD_NOT_ALLOWED
        content = f"{status.value} {status.phrase}\n".encode()
        with contextlib.suppress(OSError):
            self._send(status, _Answer("text/plain", content), with_content=self.command != "HEAD")

    def version_string(self) -> str:
        """Return no version."""
        return "llem"

    def log_message(self, format: str, *arguments: Any) -> None:  # as inherited
        """Write no log."""

    def _answer(self, *, with_content: bool) -> None:
        if not self._is_host_ours():
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        answer = self._find()
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._send(HTTPStatus.OK, answer(), with_content=with_content)

    def _is_host_ours(self) -> bool:
        """Return whether the browser believes to talk to this machine.

        A page of another origin can let its own name lead to 127.0.0.1; then its name is the host.
        Any port is accepted, because an SSH tunnel may have another one.
        """
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1:
            return False
        name, colon, port = hosts[0].rpartition(":")
        if not colon or not port.isdecimal():
            name = hosts[0]
        return name.lower() in _HOSTS

    def _find(self) -> Callable[[], _Answer] | None:
        parts = self.path.partition("?")[0].split("/")
        if len(parts) != 3 or parts[0]:
            return None
        if not hmac.compare_digest(parts[1].encode(errors="replace"), self._token.encode()):
            return None
        return self._answers.get(parts[2])

    def _send(self, status: HTTPStatus, answer: _Answer, *, with_content: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{answer.kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(answer.content)))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if with_content:
            self.wfile.write(answer.content)
        self.close_connection = True
