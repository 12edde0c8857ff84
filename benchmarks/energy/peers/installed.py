"""Installs the peers into separate environments and runs processes there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

from benchmarks.energy.peers.meter import Cost, measure_cost

ROOT = Path(__file__).parents[3]
ZEUS = "zeus==0.16.0"
CODECARBON = "codecarbon==3.3.2"
_SCRIPTS = {ZEUS: "zeus_runs", CODECARBON: "codecarbon_runs"}
# Compiles the bytecode; otherwise the first measured start would be several times slower than
# that of a user.
_FIRST_RUN = {
    ZEUS: "import zeus.monitor",
    CODECARBON: "from codecarbon import OfflineEmissionsTracker as T\n"
    "t = T(country_iso_code='FRA', output_methods=[], log_level='error')\nt.start()\nt.stop()",
}


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure that could not be measured, with the reason."""

    reason: str


class Peers:
    """The peers in separate environments, and the fake driver that they read."""

    def __init__(self, folder: Path) -> None:
        """Build the driver; a peer is installed when it is first used.

        Args:
            folder: for the driver and the environments; it can be removed afterwards.

        Raises:
            FileNotFoundError: there is no C compiler to build the fake driver.
        """
        self._folder = folder
        self._library = fake_nvml.build(folder / "driver")
        self._pythons: dict[str, Path | Missing] = {}
        self._installs = threading.Lock()
        stub = folder / "bin" / "nvidia-smi"  # CodeCarbon looks for a GPU only where this runs
        stub.parent.mkdir(exist_ok=True)
        stub.write_text("#!/bin/sh\n")
        stub.chmod(0o755)

    def missing(self, peer: str) -> Missing | None:
        """Return why `ZEUS` or `CODECARBON` is not installed; None if it is."""
        python = self._python(peer)
        return python if isinstance(python, Missing) else None

    def _python(self, peer: str) -> Path | Missing:
        with self._installs:
            if peer not in self._pythons:
                self._pythons[peer] = _install(peer, self._folder / peer)
            return self._pythons[peer]

    def environment(self, gpus: Sequence[FakeGpu]) -> dict[str, str]:
        """Return the variables of a process that sees these GPUs; their time 0 is now."""
        scratch = Path(tempfile.mkdtemp(dir=self._folder))
        fake_nvml.write_trace(scratch / "gpus.trace", gpus)
        variables = fake_nvml.environment(self._library, scratch / "gpus.trace")
        variables |= {"HOME": str(scratch), "PYTHONPATH": str(ROOT)}
        variables["PATH"] = f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return _inherited_variables() | variables

    def command(self, peer: str, part: str) -> list[str] | Missing:
        """Return the command that runs a part of the script of a peer."""
        python = self._python(peer)
        if isinstance(python, Missing):
            return python
        return [str(python), "-m", f"benchmarks.energy.peers.{_SCRIPTS[peer]}", part]

    def ask(
        self, peer: str, part: str, gpus: Sequence[FakeGpu], request: Mapping[str, Any]
    ) -> tuple[Any, str] | Missing:
        """Run a part of the script of a peer and return its answer and its stderr."""
        command = self.command(peer, part)
        if isinstance(command, Missing):
            return command
        done = subprocess.run(
            command, input=json.dumps(request) + "\n", env=self.environment(gpus),
            cwd=self._folder, capture_output=True, text=True, check=False, timeout=1200,
        )  # fmt: skip
        if done.returncode:
            return Missing(f"{peer}, {part}: {done.stderr.strip()[-500:]}")
        return json.loads(done.stdout), done.stderr

    def cost(
        self, peer: str, gpu: FakeGpu, request: Mapping[str, Any], seconds: float
    ) -> Cost | Missing:
        """Return the cost of the meter of a peer that runs for this many seconds."""
        command = self.command(peer, "cost")
        if isinstance(command, Missing):
            return command
        try:
            return measure_cost(
                command, request, seconds=seconds, env=self.environment([gpu]), cwd=self._folder
            )
        except RuntimeError as error:  # on a busy machine, helpers of Zeus do not start in time
            return Missing(f"{peer}: {str(error).strip().splitlines()[-1]}")


def _inherited_variables() -> dict[str, str]:
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def _install(peer: str, folder: Path) -> Path | Missing:
    """Return the interpreter of a new environment with one peer, which has run once."""
    python = install(folder, peer, "nvidia-ml-py")
    if not isinstance(python, Missing):
        missing = _missing([[str(python), "-c", _FIRST_RUN[peer]]], peer)
        return missing or python
    return python


def install(folder: Path, *packages: str) -> Path | Missing:
    """Return the interpreter of a new environment with these packages.

    `uv run --with` is not used, because the cost of the waiting uv process would be measured too.
    """
    uv = os.environ.get("UV", "uv")  # `uv run` sets UV to its own path
    python = folder / "bin" / "python"
    create = [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)]
    add = [uv, "pip", "install", "--quiet", "--python", str(python), *packages]
    return _missing([create, add], packages[0]) or python


def _missing(commands: Sequence[Sequence[str]], what: str) -> Missing | None:
    """Run commands; return why one of them failed."""
    try:
        for command in commands:
            subprocess.run(
                command, env=_inherited_variables(), capture_output=True, text=True, check=True,
                timeout=300,
            )  # fmt: skip
    except FileNotFoundError:
        return Missing(f"{what} is not installed: uv was not found")
    except subprocess.TimeoutExpired:
        return Missing(f"{what} is not installed: uv took more than 300 s")
    except subprocess.CalledProcessError as error:
        return Missing(f"{what} is not installed: {str(error.stderr).strip()[-300:]}")
    return None
