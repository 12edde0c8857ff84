"""The load of this machine just now, before anything is measured."""

from __future__ import annotations

import time

from llem_energy._host.family import Family
from llem_energy._host.host_load import HostLoad, load_between
from llem_energy._host.host_reading import read_host


def observe_load(seconds: float) -> HostLoad | None:
    """Watch the machine for some seconds, and return its load.

    None, without waiting, if the operating system does not report the load.

    Args:
        seconds: how long to watch; a tenth is enough to see whether a CPU is busy.
    """
    family = Family()
    before = read_host(family)
    if before.every_cpu is None:
        return None
    time.sleep(seconds)
    return load_between(before, read_host(family))
