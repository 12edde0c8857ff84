"""Whether this process has whole processors to itself, as far as its set of CPUs tells.

Source: Linux kernel documentation, "How CPU topology info is exported via sysfs".
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from llem_config.settings import ENV_OTHER_JOBS

CPUS = Path("/sys/devices/system/cpu")


def why_shared(topology: Path = CPUS, cpus: Collection[int] | None = None) -> str | None:
    """Return why a meter of the processor shows the energy of other jobs; None if it does not.

    Only what starts a run knows that there may be other jobs; it says so by an environment variable.

    Args:
        topology: the kernel's folder of CPUs.
        cpus: on which this process may run; None asks the kernel.
    """
    others = os.environ.get(ENV_OTHER_JOBS)
    if others == "certain":
        return "other jobs share the package: other runs of this study use the same processor"
    if others != "possible":
        return None
    own = {*(os.sched_getaffinity(0) if cpus is None else cpus)}
    packages: dict[str, set[int]] = {}
    for folder in topology.glob("cpu[0-9]*"):
        file = folder / "topology" / "physical_package_id"
        if file.is_file():
            packages.setdefault(file.read_text().strip(), set()).add(int(folder.name[3:]))
    for name, members in sorted(packages.items()):
        if not members <= own:
            return (
                f"other jobs share the package: this job may use {len(members & own)} of the "
                f"{len(members)} CPUs of package {name}"
            )
    return None if packages else "other jobs share the package, as far as the kernel tells"
