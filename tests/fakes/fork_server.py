"""Imports the command line of llem once, and forks a process for each command.

    python fork_server.py DESCRIPTOR

The descriptor is a socket to `fakes.forked_commands`, which says what for. A process that is forked
here has all that a new one has: its own arguments, environment, working directory and streams, and it
ends as a program ends, with its exit handlers and its own exit code or signal. What it shares with
the others is what was imported, the seed of hashes, and what the interpreter, the loader and the C
library read from the environment when they started.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import socket
import sys
import time
import traceback
import types
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

PACKAGE = "llem_cli._commands"
LATER = ("asyncio", "llem_energy._backends.pytorch.facts", "llem_energy._backends.pytorch.model_kind",
         "platformdirs", "pydantic_settings")  # fmt: skip
"""What most commands import once they run."""


class Order(NamedTuple):
    """What the caller requests: `[arguments, folder, environment, umask]`, its streams, and its reply."""

    content: list[Any]
    streams: list[int]
    reply: socket.socket


def main() -> None:
    """Import, say which variables that has read, and fork until the socket closes."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(orders.fileno(), False)
    sys.path[0] = os.devnull  # not this folder, whose modules could shadow others
    read = _import_commands()
    threads = list(Path("/proc/self/task").iterdir())
    descriptors = list(Path("/proc/self/fd").iterdir())
    # A lock that another thread holds stays locked in a forked process; a file would be shared.
    if len(threads) > 1 or len(descriptors) > 5:  # streams, the socket, and the folder itself
        sys.exit(f"an import has started threads {threads} or opened files {descriptors}")
    gc.collect()
    gc.freeze()  # a collection in a forked process would copy what all share
    orders.sendall(json.dumps(sorted(read)).encode() + b"\n")
    if order := _serve(orders):
        _become(order)


def _import_commands() -> set[str]:
    """Import every command, and return the variables that were read; "*" for all of them."""
    read: set[str] = set()
    names, values = os.environ.encodekey, os.environ.decodekey

    def one(name: str) -> Any:
        if not _asks_for_proxies():
            read.add(name)
        return names(name)

    def every(name: Any) -> str:
        if not _asks_for_proxies():
            read.add("*")
        return values(name)

    os.environ.encodekey, os.environ.decodekey = one, every
    try:
        package = importlib.import_module(PACKAGE)
        for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
            importlib.import_module(module.name)
        for name in LATER:
            importlib.import_module(name)
    finally:
        os.environ.encodekey, os.environ.decodekey = names, values
    return read


def _asks_for_proxies() -> bool:
    """Return whether altair is looking for variables such as `https_proxy` among all."""
    asks = urllib.request.getproxies_environment.__code__
    return any(frame.f_code is asks for frame, _ in traceback.walk_stack(None))


def _serve(orders: socket.socket) -> Order | None:
    """Fork a process for each order; return the order in that process, or None at the end."""
    running: dict[int, tuple[int, socket.socket]] = {}  # by the descriptor of the process
    while True:
        ready, _, _ = select.select([orders.fileno(), *running], [], [])
        for ended in running.keys() & ready:
            pid, reply = running.pop(ended)
            _, status = os.waitpid(pid, 0)
            os.close(ended)
            _answer(reply, os.waitstatus_to_exitcode(status))
            reply.close()
        if orders.fileno() not in ready:
            continue
        order = _receive(orders)
        if order is None:
            return None
        pid = os.fork()
        if pid == 0:
            orders.close()
            for descriptor, (_, other) in running.items():
                os.close(descriptor)
                other.close()
            return order
        for descriptor in order.streams:
            os.close(descriptor)
        running[os.pidfd_open(pid)] = (pid, order.reply)
        _answer(order.reply, pid)


def _receive(orders: socket.socket) -> Order | None:
    message, descriptors, _, _ = socket.recv_fds(orders, 1, 3)
    if not message:
        return None
    reply = socket.socket(fileno=descriptors[0])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    with reply.makefile("rb") as file:
        content = json.loads(file.read())
    return Order(content, descriptors[1:], reply)


def _answer(reply: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # the caller has stopped waiting
        reply.sendall(f"{number}\n".encode())


def _become(order: Order) -> NoReturn:
    """Run the requested program in this process, as `python -m MODULE` or `python -c CODE` does."""
    order.reply.close()
    for number, descriptor in enumerate(order.streams, 1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    (kind, program, *arguments), folder, environment, umask = order.content
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    importlib.invalidate_caches()
    sys.argv = [kind, *arguments]
    if kind == "-m":
        sys.path[0] = str(Path.cwd())
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = ""
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        exec(compile(program, "<string>", "exec"), module.__dict__)
    sys.exit()


if __name__ == "__main__":
    main()
