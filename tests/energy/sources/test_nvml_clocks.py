"""Whether a user has set the clocks of a GPU: what the driver shows, and what it cannot show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from energy.parts import with_gpus
from fakes.fake_nvml import FakeGpu, Fault, Throttle

from llem_energy._sources.nvml_clocks import Clocks

NOT_SUPPORTED = 3
SETTING = 0x2  # the reason that NVML calls "applications clocks setting"
CLOCKS = Clocks(
    sm=1980.0, sm_max=1980.0, application_sm=1980.0, application_sm_default=1980.0,
    application_memory=3201.0, application_memory_default=3201.0,
)  # fmt: skip
SNAPSHOT = """
import json, msgspec
from llem_energy._sources.nvml_gpus import snapshot_gpus
print(json.dumps(msgspec.to_builtins(snapshot_gpus(()))))
"""


@pytest.mark.parametrize(
    ("changes", "reasons", "locked", "why"),
    [
        ({}, (), None, "can lock clocks but not report a lock"),
        ({}, ("idle",), None, "can lock clocks but not report a lock"),
        ({}, None, None, "does not report what limits the clocks"),
        ({"application_sm": 1410.0}, (), True, "SM 1410 MHz instead of 1980"),
        ({"application_memory": 1593.0}, None, True, "memory 1593 MHz instead of 3201"),
        ({}, ("application clocks", "idle"), True, "a setting limits the clocks"),
        # Some boards have a default below the maximum, which limits the clocks without a user.
        (
            {"application_sm": 1380.0, "application_sm_default": 1380.0},
            ("application clocks",),
            None,
            "perhaps only the default application clock (1380 of at most 1980 MHz)",
        ),
        # A driver that no longer has application clocks.
        (
            {"application_sm": None, "application_sm_default": None},
            ("application clocks",),
            True,
            "a setting limits the clocks",
        ),
    ],
)
def test_a_lock_is_stated_only_where_something_shows_it(
    changes: dict[str, Any], reasons: tuple[str, ...] | None, locked: bool | None, why: str
) -> None:
    answer, evidence = msgspec.structs.replace(CLOCKS, **changes).lock(reasons)
    assert answer is locked
    assert why in evidence


@pytest.fixture(scope="module")
def gpus(library: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    unknown = ("nvmlDeviceGetApplicationsClock", "nvmlDeviceGetDefaultApplicationsClock")
    no_reasons = (
        "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons",
    )  # fmt: skip
    machine = [
        FakeGpu(uuid="GPU-free"),
        FakeGpu(uuid="GPU-set", application_mhz=(1410, 2619, 1980, 3201)),
        FakeGpu(uuid="GPU-locked", locked_mhz=1200),
        FakeGpu(uuid="GPU-limited", locked_mhz=1200, throttles=(Throttle(0.0, 1e9, SETTING),)),
        FakeGpu(uuid="GPU-new", faults=tuple(Fault(name, NOT_SUPPORTED) for name in unknown)),
        FakeGpu(uuid="GPU-mute", missing=no_reasons, persistence=False),
    ]
    found = with_gpus(SNAPSHOT, library, machine, tmp_path_factory.mktemp("clocks"))
    return {gpu["uuid"]: gpu for gpu in found}


def test_application_clocks_are_recorded_with_their_defaults(gpus: dict[str, Any]) -> None:
    names = (
        "sm_clock_mhz", "application_sm_clock_mhz", "application_sm_clock_default_mhz",
        "application_memory_clock_mhz", "application_memory_clock_default_mhz", "clocks_locked",
    )  # fmt: skip
    assert [gpus["GPU-set"][name] for name in names] == [1980, 1410, 1980, 2619, 3201, True]
    assert gpus["GPU-set"]["clocks_locked_reason"] == (
        "application clocks are set: SM 1410 MHz instead of 1980, memory 2619 MHz instead of 3201"
    )


def test_a_lock_without_a_trace_is_unknown_and_never_excluded(gpus: dict[str, Any]) -> None:
    free, locked = gpus["GPU-free"], gpus["GPU-locked"]
    assert (free["sm_clock_mhz"], locked["sm_clock_mhz"]) == (1980, 1200)
    assert (free["clocks_locked"], locked["clocks_locked"]) == (None, None)
    assert free["clocks_locked_reason"] == locked["clocks_locked_reason"]


def test_a_lock_that_limits_the_clock_is_seen(gpus: dict[str, Any]) -> None:
    assert gpus["GPU-limited"]["clocks_locked"] is True
    assert gpus["GPU-limited"]["sm_clock_mhz"] == 1200


def test_what_the_driver_does_not_report_is_missing_with_the_reason(gpus: dict[str, Any]) -> None:
    new, mute = gpus["GPU-new"], gpus["GPU-mute"]
    assert (new["application_sm_clock_mhz"], new["application_sm_clock_default_mhz"]) == (
        None,
        None,
    )
    assert (new["clocks_locked"], mute["clocks_locked"]) == (None, None)
    assert "does not report what limits the clocks" in mute["clocks_locked_reason"]
    assert mute["persistence_mode"] is False
