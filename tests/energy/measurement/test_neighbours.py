"""The other GPUs of the machine beside a run, and a meter that other jobs share (CM-11, RES-06)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from energy.parts import QUICK, merged, with_gpus
from fakes.fake_nvml import FakeGpu, Process
from fakes.powercap import add_domain

from llem_energy._host.packages import why_shared
from llem_energy._measurement.gpu_sharing import TenantLists
from llem_energy._measurement.neighbours import neighbour_flags, neighbour_gpus
from llem_energy._sources.gpu_tenants import GpuTenants
from llem_energy.sources import RaplSource, SourceUnavailable


def tenants(power_w: float | None, *pids: int) -> GpuTenants:
    return GpuTenants(frozenset(pids), power_w=power_w)


def test_only_gpus_that_the_run_does_not_use_are_neighbours() -> None:
    lists = TenantLists(
        {"own": tenants(400.0), "a": tenants(80.0), "b": tenants(None)},
        {"own": tenants(600.0), "a": tenants(110.0, 7, 8)},
        {"own": tenants(90.0), "a": tenants(85.0, 7), "b": tenants(None)},
    )
    a, b = neighbour_gpus(lists, {"own"})
    assert (a.uuid, a.powers_w, a.n_processes) == ("a", (80.0, 110.0, 85.0), 2)
    assert (b.uuid, b.power_before_window_w, b.powers_w) == ("b", None, ())
    assert list(neighbour_flags([a, b])) == []


def test_a_neighbour_that_begins_to_work_is_a_reason() -> None:
    lists = TenantLists({"a": tenants(80.0)}, {"a": tenants(400.0)}, {"a": tenants(390.0)})
    (reason,) = neighbour_flags(neighbour_gpus(lists, set()))
    assert reason.startswith(
        "the power of the neighbouring GPU a changed between 80 and 400 W during the run"
    )


MEASURE = """
import sys
import msgspec
from llem_config import ExperimentConfig, Settings
from llem_energy import measure
settings = Settings.model_validate({"devices": {"gpus": [0]}})
result = measure(ExperimentConfig.model_validate_json(sys.argv[1]), settings=settings)
print(msgspec.json.encode({
    "neighbours": result.neighbours, "total": result.figures["energy_total_j"],
}).decode())
"""


def measured(library: Path, folder: Path, neighbour: FakeGpu) -> Any:
    config = merged(QUICK, {"energy": {"sources": ["nvml"], "min_window_seconds": 0.5}})
    own = FakeGpu(uuid="GPU-own", points=((0.0, 150.0),))
    return with_gpus(MEASURE, library, [own, neighbour], folder, json.dumps(config))


def test_a_measured_run_records_its_neighbours(library: Path, tmp_path: Path) -> None:
    quiet = FakeGpu(uuid="GPU-next", points=((0.0, 90.0),), processes=(Process(4242),))
    found = measured(library, tmp_path, quiet)
    (next_gpu,) = found["neighbours"]
    assert next_gpu == {
        "uuid": "GPU-next", "power_start_w": 90.0, "power_before_window_w": 90.0,
        "power_end_w": 90.0, "n_processes": 1,
    }  # fmt: skip
    assert not any("neighbouring" in reason for reason in found["total"]["reasons"])


def test_a_busy_neighbour_flags_the_energy_of_a_run(library: Path, tmp_path: Path) -> None:
    # Its power rises all the time, so it differs at any two instants of the run.
    rising = FakeGpu(uuid="GPU-next", points=((0.0, 90.0), (600.0, 600_090.0)), linear=True)
    found = measured(library, tmp_path, rising)
    assert found["total"]["status"] == "flagged"
    assert any("the neighbouring GPU GPU-next" in reason for reason in found["total"]["reasons"])


def topology(folder: Path, *packages: int) -> Path:
    """Write the kernel's folder of CPUs; the package of each."""
    for cpu, package in enumerate(packages):
        (folder / f"cpu{cpu}" / "topology").mkdir(parents=True)
        (folder / f"cpu{cpu}" / "topology" / "physical_package_id").write_text(f"{package}\n")
    (folder / "cpufreq").mkdir()
    return folder


@pytest.mark.parametrize(
    ("cpus", "reason"),
    [
        ({0, 1, 2, 3}, None),
        ({0, 1, 2}, "this job may use 1 of the 2 CPUs of package 1"),
        ({2, 3}, "this job may use 0 of the 2 CPUs of package 0"),
    ],
)
def test_the_processor_is_metered_only_if_the_job_has_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpus: set[int], reason: str | None
) -> None:
    folder = topology(tmp_path / "cpus", 0, 0, 1, 1)
    assert why_shared(folder, cpus) is None  # no cluster has started it
    monkeypatch.setenv("LLEM_OTHER_JOBS", "possible")
    expected = reason and f"other jobs share the package: {reason}"
    assert why_shared(folder, cpus) == expected


def test_a_shared_processor_is_missing_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    more_cpus_than_this_machine_has = topology(tmp_path / "cpus", *[0] * 2_000)
    assert RaplSource(root=tmp_path, topology=more_cpus_than_this_machine_has).devices
    for value in ("possible", "certain"):
        monkeypatch.setenv("LLEM_OTHER_JOBS", value)
        with pytest.raises(SourceUnavailable, match="other jobs share the package"):
            RaplSource(root=tmp_path, topology=more_cpus_than_this_machine_has)


SHARED = """
import sys
from pathlib import Path
import msgspec
from llem_config import ExperimentConfig, Settings
from llem_energy import measure
from llem_energy.sources import RaplSource
RaplSource.__init__.__kwdefaults__.update(root=Path(sys.argv[2]), topology=Path(sys.argv[3]))
settings = Settings.model_validate({"devices": {"gpus": [0]}})
result = measure(ExperimentConfig.model_validate_json(sys.argv[1]), settings=settings)
print(msgspec.json.encode({
    "total": result.figures["energy_total_j"], "host": result.figures["energy_host_j"],
    "host_j": result.energy_host_j, "warnings": result.measurement_warnings,
}).decode())
"""


def test_on_a_shared_node_the_gpu_is_metered_and_the_processor_is_missing_with_its_reason(
    library: Path, tmp_path: Path
) -> None:
    add_domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    more_cpus_than_this_machine_has = topology(tmp_path / "cpus", *[0] * 2_000)
    config = merged(QUICK, {"energy": {"min_window_seconds": 0.5}})
    found = with_gpus(
        SHARED, library, [FakeGpu(uuid="GPU-own", points=((0.0, 150.0),))], tmp_path,
        json.dumps(config), str(tmp_path), str(more_cpus_than_this_machine_has),
        env={"LLEM_OTHER_JOBS": "possible"},
    )  # fmt: skip
    # Flagged because the window is short, but not because of the other jobs.
    assert found["total"]["status"] != "missing"
    assert not any("other jobs" in reason for reason in found["total"]["reasons"])
    assert (found["host_j"], found["host"]["status"]) == (None, "missing")
    assert any("other jobs share the package" in reason for reason in found["host"]["reasons"])
