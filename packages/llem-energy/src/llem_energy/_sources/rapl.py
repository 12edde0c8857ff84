"""CPU package and DRAM energy from the kernel's powercap interface (Intel and AMD).

Source: Linux kernel documentation, "Power Capping Framework": `energy_uj` counts microjoules and
wraps at `max_energy_range_uj`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from llem_energy._host.packages import CPUS, why_shared
from llem_energy._sources.protocol import (
    CounterDiagnosis,
    Sample,
    SourceDiagnosis,
    SourceUnavailable,
    SourceVersions,
)

POWERCAP = Path(os.environ.get("LLEM_POWERCAP", "/sys/class/powercap"))
_MICRO = 1e-6
_MAX_PACKAGE_W = 5000.0  # several times what any processor draws
_MARGIN_S = 1.0


class _Domain:
    """One counter, unwrapped: it must be read at least once per wrap (minutes under load)."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._file = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj = int(self._file.read_text())
        self._last_s = time.perf_counter()
        self._wrapped_uj = 0
        self.error: str | None = None
        """Why the last reading failed."""

    def energy_j(self) -> float:
        now_uj, now_s = int(self._file.read_text()), time.perf_counter()
        if now_uj < self._last_uj:
            rise_uj = now_uj + self._range_uj - self._last_uj
            # A wrap, unless that needs more power than any package draws: then it was reset.
            if rise_uj * _MICRO <= _MAX_PACKAGE_W * (now_s - self._last_s + _MARGIN_S):
                self._wrapped_uj += self._range_uj
        self._last_uj, self._last_s = now_uj, now_s
        return (self._wrapped_uj + now_uj) * _MICRO


class RaplSource:
    """Reads every package and, below it, DRAM; core and uncore are parts of the package."""

    name: Final = "rapl"
    kind: Final = "cpu"
    gain_share: Final = None

    def __init__(
        self, gpus: Sequence[int | str] = (), *, root: Path = POWERCAP, topology: Path = CPUS
    ) -> None:
        """Open every domain.

        Args:
            gpus: not used; this meters the processor.
            root: the kernel's folder of counters.
            topology: the kernel's folder of CPUs.

        Raises:
            SourceUnavailable: no domain, no permission to read the counters, or other jobs use the
                same processor.
        """
        del gpus
        if reason := why_shared(topology):
            raise SourceUnavailable(reason)
        try:
            self._domains = [_Domain(folder, name) for folder, name in _folders(root)]
        except PermissionError as error:
            raise SourceUnavailable(
                f"this user may not read {error.filename}; "
                f"`{permission_command(root)}` allows it until the next boot"
            ) from error
        except (OSError, ValueError) as error:
            raise SourceUnavailable(f"the counters below {root} cannot be read: {error}") from error
        if not self._domains:
            raise SourceUnavailable(f"no energy counters below {root}")
        self._lock = threading.Lock()
        self.devices = tuple(domain.name for domain in self._domains)

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        """Return one sample per domain; see `EnergySource.read`."""
        del details  # there is nothing more to read
        # One reader at a time: if two overlap, the older value looks like a wrap.
        with self._lock:
            return tuple(_sample(domain) for domain in self._domains)

    def last_error(self, device: str) -> str | None:
        """Return why the last reading of a domain failed; None if it did not."""
        return next((domain.error for domain in self._domains if domain.name == device), None)

    def power_limit_w(self, device: str) -> float | None:
        """Return None: the kernel's limits apply to averages, so that peaks exceed them."""
        del device
        return None

    def versions(self) -> SourceVersions:
        """Return no versions: this is part of the kernel, which is the same until the next boot."""
        return SourceVersions()

    def close(self) -> None:
        """Do nothing: no file is open between reads."""

    @classmethod
    def diagnose(cls) -> SourceDiagnosis:
        """Return every counter of this machine's processors, and whether it can be read."""
        reason = None
        try:
            cls().close()
        except SourceUnavailable as error:
            reason = str(error)
        counters = tuple(_diagnosed(name, file) for name, file in _domain_files().items())
        closed = [counter for counter in counters if not counter.readable]
        problem = (
            f"this user may not read the energy of the processor "
            f"({', '.join(counter.device for counter in closed)}); "
            f"`{permission_command()}` allows it until the next boot"
        )
        return SourceDiagnosis(
            reason=reason,
            description="the counters of the processor",
            # These counters move about every millisecond.
            min_watch_s=0.2,
            max_watch_s=0.5,
            counters=counters,
            problems=(problem,) if closed else (),
        )


def permission_command(root: Path = POWERCAP) -> str:
    """Return the command that lets every user read the counters until the next boot."""
    return f"sudo chmod a+r {root}/intel-rapl*/energy_uj"


def _diagnosed(name: str, file: Path) -> CounterDiagnosis:
    try:
        file.read_bytes()
    except OSError:
        command: str | None = permission_command()
    else:
        command = None
    return CounterDiagnosis(
        device=name, file=str(file), readable=command is None, permission_command=command
    )


def _domain_files(root: Path = POWERCAP) -> dict[str, Path]:
    """Return the counter of every domain by the domain's name, readable or not."""
    try:
        return {name: folder / "energy_uj" for folder, name in _folders(root)}
    except (OSError, ValueError):
        return {}


def _sample(domain: _Domain) -> Sample:
    before = time.perf_counter()
    energy_j: float | None = None
    try:
        energy_j = domain.energy_j()
    except OSError as error:
        domain.error = f"{error.filename}: {error.strerror}"
    except ValueError as error:
        domain.error = f"no number in its file: {error}"
    else:
        domain.error = None
    after = time.perf_counter()
    return Sample(domain.name, (before + after) / 2, after - before, energy_j=energy_j)


def _folders(root: Path) -> list[tuple[Path, str]]:
    """Return the folders of packages and DRAM with a name for each, every domain once."""
    folders: list[tuple[Path, str]] = []
    for package in sorted(root.glob("intel-rapl:*")):
        name = (package / "name").read_text().strip()
        if package.name.count(":") != 1 or not name.startswith("package"):
            continue  # sub-domains follow below; `psys` would count the package twice
        folders.append((package, name))
        for part in sorted(root.glob(f"{package.name}:*")):
            if (part / "name").read_text().strip() == "dram":
                folders.append((part, f"{name}-dram"))
    return folders
