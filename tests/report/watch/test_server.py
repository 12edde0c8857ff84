"""The page is served to this machine only: no method changes anything, and no other host is answered."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from report.watch.studies import watched_folder, write_manifest

from llem_report import ReportError
from llem_report.watching import WatchServer
from llem_runner import read_manifest

ROUTES = {
    "": "text/html",
    "state.json": "application/json",
    "results.html": "text/html",
    "watch.css": "text/css",
    "watch.js": "text/javascript",
}


class Client:
    """Sends requests to a server, each with a new connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname == "127.0.0.1"
        assert parts.port is not None
        self.port, self.path = parts.port, parts.path

    def ask(
        self, path: str | None = None, method: str = "GET", **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, self.path if path is None else path, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def send(self, request: bytes) -> bytes:
        """Send bytes as they are, and return everything that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return watched_folder(tmp_path / "study")


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    with WatchServer(folder) as server:
        yield Client(server.url)


def until(is_true: Callable[[], bool]) -> None:
    """Wait until something is true; pytest ends a test that waits too long."""
    while not is_true():
        time.sleep(0.05)


@pytest.mark.parametrize("name", list(ROUTES))
def test_every_route_answers_with_its_type_and_the_security_headers(
    client: Client, name: str
) -> None:
    answer, content = client.ask(client.path + name)
    assert answer.status == 200
    assert answer.getheader("Content-Type") == f"{ROUTES[name]}; charset=utf-8"
    assert content
    policy = str(answer.getheader("Content-Security-Policy"))
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    for directive in ("base-uri", "form-action", "frame-ancestors"):
        assert f"{directive} 'none'" in policy
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    assert answer.getheader("Cache-Control") == "no-store"
    assert answer.getheader("Access-Control-Allow-Origin") is None
    assert answer.getheader("Server") == "llem"


def test_head_gives_the_headers_without_the_content(client: Client) -> None:
    answer, content = client.ask(method="HEAD")
    assert (answer.status, content) == (200, b"")
    assert int(str(answer.getheader("Content-Length"))) > 1000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_every_other_method_is_refused(client: Client, method: str) -> None:
    answer, _ = client.ask(method=method)
    assert answer.status == 405
    assert answer.getheader("Allow") == "GET, HEAD"
    assert answer.getheader("Content-Security-Policy")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example:1", "", "127.0.0.2", "[::2]:80"],
)  # fmt: skip
def test_a_foreign_host_is_refused(client: Client, host: str) -> None:
    answer, content = client.ask(Host=host)
    assert answer.status == 403
    assert b"evil" not in content


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:1"])
def test_names_of_this_machine_are_accepted_with_any_port_of_a_tunnel(
    client: Client, host: str
) -> None:
    assert client.ask(Host=host)[0].status == 200


def test_two_hosts_or_none_are_refused(client: Client) -> None:
    line = f"GET {client.path} HTTP/1.1\r\n".encode()
    for hosts in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
        assert b" 403 " in client.send(line + hosts + b"\r\n").split(b"\r\n")[0]


def test_without_the_unguessable_path_nothing_is_found(client: Client) -> None:
    token = client.path.strip("/")
    assert len(token) >= 32
    wrong = ["/", "/state.json", f"/{token}", f"/{token[:-1]}/", f"/{token}x/"]
    wrong += [f"/{token}/../{token}/", f"/{token}/absent", f"/{token}/manifest.json", "*"]
    for path in wrong:
        answer, _ = client.ask(path)
        assert answer.status == 404, path
    assert b" 404 " in client.send(b"GET /\xe9/ HTTP/1.1\r\nHost: localhost\r\n\r\n")


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_a_broken_request_gives_no_traceback_and_the_next_one_is_answered(
    client: Client, request_: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = client.send(request_)
    assert b"Traceback" not in answer
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert client.ask()[0].status == 200
    assert capfd.readouterr() == ("", "")


def test_connections_that_send_nothing_do_not_stop_the_server(client: Client) -> None:
    silent = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(40)]
    try:
        until(lambda: _is_answered(client))  # once the silent ones have timed out
    finally:
        for connection in silent:
            connection.close()


def _is_answered(client: Client) -> bool:
    try:
        return client.ask()[0].status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_the_state_follows_the_folder_for_two_watchers(client: Client, folder: Path) -> None:
    def n_done() -> str:
        _, content = client.ask(client.path + "state.json")
        return str(json.loads(content)["texts"]["done"])

    assert n_done() == "2 of 4 runs done"
    manifest = read_manifest(folder)
    entries = tuple(
        msgspec.structs.replace(entry, status="failed") if entry.status == "running" else entry
        for entry in manifest.entries
    )
    write_manifest(folder, msgspec.structs.replace(manifest, entries=entries))
    threads = [
        threading.Thread(target=until, args=(lambda: n_done() == "3 of 4 runs done",))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert n_done() == "3 of 4 runs done"


def test_the_results_are_read_again_when_a_run_ends(client: Client, folder: Path) -> None:
    def report() -> int:
        return int(json.loads(client.ask(client.path + "state.json")[1])["report"])

    until(lambda: report() > 0)
    before = report()
    _, content = client.ask(client.path + "results.html")
    assert b"<table" in content
    manifest = read_manifest(folder)
    write_manifest(folder, msgspec.structs.replace(manifest, status="interrupted"))
    until(lambda: report() > before)


def test_each_server_has_its_own_address(folder: Path) -> None:
    with WatchServer(folder) as first, WatchServer(folder) as second:
        assert first.url != second.url
        assert Client(first.url).path != Client(second.url).path


def test_a_port_that_is_in_use_is_a_sentence(client: Client, folder: Path) -> None:
    with pytest.raises(ReportError, match=rf"^port {client.port} of 127.0.0.1 cannot be used: "):
        WatchServer(folder, port=client.port)


def test_after_the_end_nothing_listens(folder: Path) -> None:
    with WatchServer(folder) as server:
        client = Client(server.url)
    with pytest.raises(OSError, match="refused"):
        client.ask()
