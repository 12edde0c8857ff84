"""CPU package and DRAM energy from the kernel's powercap interface (Intel and AMD).

Source: Linux kernel documentation, "Power Capping Framework": `energy_uj` counts microjoules and
wraps at `max_energy_range_uj`.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from llem_energy._sources.protocol import Sample, SourceUnavailable

POWERCAP = Path(os.environ.get("LLEM_POWERCAP", "/sys/class/powercap"))
_MICRO = 1e-6
_MOST_W = 5000.0  # of one package; several times what any has
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

    def energy_j(self) -> float:
        now_uj, now_s = int(self._file.read_text()), time.perf_counter()
        if now_uj < self._last_uj:
            rise_uj = now_uj + self._range_uj - self._last_uj
            # A wrap, unless that takes more power than there is: then it was reset, and falls.
            if rise_uj * _MICRO <= _MOST_W * (now_s - self._last_s + _MARGIN_S):
                self._wrapped_uj += self._range_uj
        self._last_uj, self._last_s = now_uj, now_s
        return (self._wrapped_uj + now_uj) * _MICRO


class RaplSource:
    """Reads every package and, below it, DRAM; core and uncore are parts of the package."""

    name = "rapl"

    def __init__(self, root: Path = POWERCAP) -> None:
        """Open every domain below `root`.

        Raises:
            SourceUnavailable: no domain, or the counters may not be read.
        """
        try:
            self._domains = [_Domain(folder, name) for folder, name in _folders(root)]
        except PermissionError as error:
            raise SourceUnavailable(
                f"{error.filename} may not be read by this user; "
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
        del details  # there is nothing else to read
        # One reader at a time: were two to overlap, the older value would look like a wrap.
        with self._lock:
            return tuple(_sample(domain) for domain in self._domains)

    def power_limit_w(self, device: str) -> float | None:
        """Return None: the kernel's limits here are not those of a whole board."""
        del device
        return None

    def close(self) -> None:
        """Nothing is held open between reads."""


def permission_command(root: Path = POWERCAP) -> str:
    """Return what lets every user read the counters below `root` until the next boot."""
    return f"sudo chmod a+r {root}/intel-rapl*/energy_uj"


def domain_files(root: Path = POWERCAP) -> dict[str, Path]:
    """Return the counter of every domain by the domain's name, readable or not."""
    try:
        return {name: folder / "energy_uj" for folder, name in _folders(root)}
    except (OSError, ValueError):
        return {}


def _sample(domain: _Domain) -> Sample:
    before = time.perf_counter()
    try:
        energy_j: float | None = domain.energy_j()
    except (OSError, ValueError):
        energy_j = None
    after = time.perf_counter()
    return Sample(domain.name, (before + after) / 2, after - before, energy_j=energy_j)


def _folders(root: Path) -> list[tuple[Path, str]]:
    """Return the folders of packages and DRAM with a name for each, every domain once."""
    found: list[tuple[Path, str]] = []
    for package in sorted(root.glob("intel-rapl:*")):
        name = (package / "name").read_text().strip()
        if package.name.count(":") != 1 or not name.startswith("package"):
            continue  # sub-domains come below; `psys` would count the package twice
        found.append((package, name))
        for part in sorted(root.glob(f"{package.name}:*")):
            if (part / "name").read_text().strip() == "dram":
                found.append((part, f"{name}-dram"))
    return found
