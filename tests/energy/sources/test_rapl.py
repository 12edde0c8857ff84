"""CPU energy from a folder in the kernel's layout (CM-11, CM-12, RES-06)."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from energy.parts import run_python
from fakes.powercap import RANGE_UJ, add_domain

from llem_energy._sources.protocol import SourceUnavailable
from llem_energy._sources.rapl import RaplSource


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add_domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    add_domain(tmp_path, "intel-rapl:0:0", "core", 100)
    add_domain(tmp_path, "intel-rapl:0:1", "uncore", 200)
    add_domain(tmp_path, "intel-rapl:0:2", "dram", 3_000_000)
    add_domain(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    add_domain(tmp_path, "intel-rapl:1:0", "dram", 7_000_000)
    add_domain(tmp_path, "intel-rapl:2", "psys", 99_000_000)
    (tmp_path / "intel-rapl").mkdir()  # the control type, which has no counter
    return tmp_path


def energies(source: RaplSource) -> dict[str, float | None]:
    return {sample.device: sample.energy_j for sample in source.read()}


def test_packages_and_memory_count_once_and_their_parts_are_not_counted(root: Path) -> None:
    assert energies(RaplSource(root=root)) == {
        "package-0": 1.0,
        "package-0-dram": 3.0,
        "package-1": 5.0,
        "package-1-dram": 7.0,
    }


def test_a_counter_that_wraps_continues_to_rise(tmp_path: Path) -> None:
    file = add_domain(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 2_000_000)
    source = RaplSource(root=tmp_path)
    (before,) = source.read()
    file.write_text("3000000\n")
    (after,) = source.read()
    file.write_text("4000000\n")
    (later,) = source.read()
    assert before.energy_j is not None
    assert after.energy_j is not None
    assert later.energy_j is not None
    assert after.energy_j - before.energy_j == pytest.approx(5.0)
    assert later.energy_j - after.energy_j == pytest.approx(1.0)


def test_a_counter_that_fails_later_gives_none_and_not_zero(root: Path) -> None:
    source = RaplSource(root=root)
    (root / "intel-rapl:1" / "energy_uj").write_text("nonsense")
    (root / "intel-rapl:0" / "energy_uj").unlink()
    energies_j = energies(source)
    assert energies_j["package-1"] is None
    assert energies_j["package-0"] is None
    assert energies_j["package-0-dram"] == 3.0


def test_two_readers_at_once_see_no_wrap(tmp_path: Path) -> None:
    file = add_domain(tmp_path, "intel-rapl:0", "package-0", 0)
    source = RaplSource(root=tmp_path)
    highest: list[float] = []
    stop = threading.Event()

    def read_on() -> None:
        while not stop.is_set():
            highest.append(max(value or 0.0 for value in energies(source).values()))

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # as on a busy host, so that a race would be detected
    readers = [threading.Thread(target=read_on) for _ in range(4)]
    try:
        for reader in readers:
            reader.start()
        for energy_uj in range(1, 500):
            scratch = file.with_suffix(".new")
            scratch.write_text(str(energy_uj))
            scratch.replace(file)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(interval_s)
    assert max(highest) < 1.0


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/usr/bin/setpriv").exists(), reason="as root")
def test_an_unreadable_counter_is_reported_with_the_command_that_helps(
    root: Path, open_folder: Path
) -> None:
    root = root.rename(open_folder / "powercap")
    root.chmod(0o755)
    for file in root.glob("*/energy_uj"):
        file.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(SourceUnavailable) as caught:
            RaplSource(root=root)
        message = str(caught.value)
    else:
        message = run_python(AS_NOBODY, str(root))
    assert "this user may not read" in message
    assert f"sudo chmod a+r {root}/intel-rapl*/energy_uj" in message


# Root can read every file, so another user runs the check.
AS_NOBODY = """
import os, sys
from pathlib import Path
from llem_energy._sources.rapl import RaplSource
from llem_energy._sources.protocol import SourceUnavailable
folder = Path(sys.argv[1])
os.setgid(65534)
os.setuid(65534)
try:
    RaplSource(root=folder)
except SourceUnavailable as error:
    print(error)
"""


def test_a_machine_without_counters_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="no energy counters below"):
        RaplSource(root=tmp_path)
    with pytest.raises(SourceUnavailable, match="no energy counters below"):
        RaplSource(root=tmp_path / "absent")


def test_the_folder_of_the_counters_can_be_set(root: Path) -> None:
    program = (
        "from llem_energy._sources.registry import open_source\n"
        "source, reasons = open_source(['nvml', 'rapl'], ())\n"
        "print(source.name, len(source.devices), reasons)"
    )
    out = run_python(program, env={"LLEM_POWERCAP": str(root)})
    assert out.split()[:2] == ["rapl", "4"]
    assert "nvml: the experiment uses no GPU" in out
