"""What the page says is left out: failed and interrupted runs are not the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from fakes.results import make_result
from report.study_data.folders import edit_manifest, make_folder

from llem_config import ExperimentConfig
from llem_energy.records import DeviceWindow, GpuSnapshot
from llem_report import read_report


def test_interrupted_runs_are_not_called_failed(tmp_path: Path) -> None:
    def changes(config: ExperimentConfig, number: int) -> dict[str, Any]:
        if number == 1:
            raise ValueError("does not fit")
        return {}

    folder = make_folder(tmp_path, "sweep: {n: [2, 4]}\n", changes, n_cycles=2)

    def interrupt(manifest: dict[str, Any]) -> None:
        manifest["entries"][3] |= {
            "status": "interrupted", "result_file": None, "result_sha256": None,
        }  # fmt: skip

    edit_manifest(folder, interrupt)
    left_out = read_report(folder).conditions.left_out
    assert left_out == ["1 run failed: does not fit", "1 run interrupted"]


def gpu(uuid: str, **changes: Any) -> GpuSnapshot:
    example = GpuSnapshot(
        index=0, uuid=uuid, name="H200", power_limit_w=700.0, power_limit_default_w=700.0,
        vbios=None, memory_bytes=None, sm_clock_max_mhz=1980.0, application_sm_clock_mhz=1980.0,
        persistence_mode=True, ecc=None, mig=None, compute_mode=None, n_other_processes=None,
        temperature_c=None,
    )  # fmt: skip
    return msgspec.structs.replace(example, **changes)


def hardware(folder: Path, *gpus: GpuSnapshot, reasons: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the rows of the machine of a study whose runs saw these GPUs."""

    def changes(config: ExperimentConfig, number: int) -> dict[str, Any]:
        environment = make_result(config).environment_snapshot
        device = DeviceWindow(
            device="GPU-1", energy_j=100.0, energy_bound_j=1.0, throttle_reasons=reasons
        )
        return {
            "environment_snapshot": msgspec.structs.replace(environment, gpus=gpus),
            "devices": (device,),
        }

    folder.mkdir()
    return dict(read_report(make_folder(folder, "", changes, n_cycles=2)).conditions.hardware)


def test_the_conditions_say_whether_clocks_are_locked_and_what_shows_it(tmp_path: Path) -> None:
    set_ = gpu("GPU-1", clocks_locked=True, clocks_locked_reason="application clocks are set")
    assert hardware(tmp_path / "set", set_)["GPU clocks"] == [
        "locked (application clocks are set); persistence mode on"
    ]
    unknown = gpu("GPU-1", clocks_locked_reason="cannot tell", persistence_mode=None)
    assert hardware(tmp_path / "unknown", unknown)["GPU clocks"] == [
        "unknown whether locked (cannot tell); persistence mode unknown"
    ]
    under_load = hardware(tmp_path / "load", unknown, reasons=("application clocks",))
    assert "; a setting limited them in the window;" in under_load["GPU clocks"][0]
    assert "GPU clocks" not in hardware(tmp_path / "old", gpu("GPU-1"))


def test_two_equal_gpus_are_one_line(tmp_path: Path) -> None:
    rows = hardware(tmp_path / "two", gpu("GPU-1"), gpu("GPU-2"))
    assert rows["GPU"] == ["H200, limit 700 W"]
