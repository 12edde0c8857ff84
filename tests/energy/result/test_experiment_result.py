"""Stored results: read strictly, without NaN; older formats can still be read (RES-06, RES-16, CM-16)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from energy.parts import experiment
from fakes.results import make_result

from llem_energy import ExperimentResult, MeasurementError, read_result
from llem_energy.backends import Flops
from llem_energy.records import RESULT_SCHEMA_VERSION, DeviceWindow, GpuSnapshot, encode_result

DATA = Path(__file__).parent / "data"
GOLDEN = DATA / "result_v3.json"


def full() -> ExperimentResult:
    """Return a result with something in every field."""
    gpu = GpuSnapshot(
        index=0, uuid="GPU-1", name="Fake", power_limit_w=700.0, power_limit_default_w=700.0,
        vbios="1.0", memory_bytes=1, sm_clock_max_mhz=1980.0, application_sm_clock_mhz=1980.0,
        persistence_mode=True, ecc=True, mig=False, compute_mode=0, n_other_processes=0,
        temperature_c=45.0,
    )  # fmt: skip
    result = make_result(
        experiment(),
        flops=Flops(total=1e9, method="counted", confidence="medium"),
        devices=(DeviceWindow(device="GPU-1", energy_j=100.0, energy_bound_j=1.0),),
        measurement_warnings=("a warning, with ümlaut",),
        timeseries_file="timeseries.parquet",
    )
    environment = msgspec.structs.replace(result.environment_snapshot, gpus=(gpu,))
    return msgspec.structs.replace(result, environment_snapshot=environment)


def test_a_stored_result_is_read_back_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(encode_result(full()))
    assert read_result(path) == full()
    assert json.loads(path.read_bytes())["schema_version"] == RESULT_SCHEMA_VERSION


def test_results_of_format_1_can_be_read() -> None:
    stored = DATA / "result_v1.json"
    result = read_result(stored)
    assert result.schema_version == 1
    assert result.energy_total_j == 100
    assert result.environment_snapshot.gpus[0].uuid == "GPU-1"
    assert result.devices[0].energy_bound_j == 1
    # Fields that format 1 lacks are missing, and all others are unchanged.
    assert (result.baseline, result.figures, result.calibration) == (None, {}, ())
    again = json.loads(encode_result(result))
    assert covers(again, json.loads(stored.read_bytes()))


def covers(new: Any, old: Any) -> bool:
    """Return whether `new` contains everything in `old`."""
    match old:
        case dict():
            return all(key in new and covers(new[key], value) for key, value in old.items())
        case list():
            return len(new) == len(old) and all(map(covers, new, old))
        case _:
            return bool(new == old)


def test_results_of_format_2_can_be_read() -> None:
    stored = DATA / "result_v2.json"
    result = read_result(stored)
    assert result.schema_version == 2
    assert result.energy_source_kind is None
    assert covers(json.loads(encode_result(result)), json.loads(stored.read_bytes()))


def test_results_of_format_3_are_read_completely() -> None:
    result = read_result(GOLDEN)
    assert result.schema_version == 3
    assert result.cached_input_tokens is None
    assert result.energy_source_kind == "gpu"
    assert result.baseline is not None
    assert result.baseline.context is not None
    assert result.calibration[0].counter_period_s == 0.1
    assert result.figures["energy_total_j"].status == "flagged"
    assert (result.load_before, result.load_in_window, result.stops) == (None, None, None)
    assert [phase.phase for phase in result.phases] == ["prefill", "decode"]
    assert covers(json.loads(encode_result(result)), json.loads(GOLDEN.read_bytes()))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused_with_its_name(value: float) -> None:
    with pytest.raises(MeasurementError, match=r"^energy_total_j is "):
        encode_result(make_result(experiment(), energy_total_j=value))
    device = DeviceWindow(device="GPU-1", energy_j=value, energy_bound_j=None)
    with pytest.raises(MeasurementError, match=r"^devices\[0\]\.energy_j is "):
        encode_result(make_result(experiment(), devices=(device,)))


def changed(tmp_path: Path, change: dict[str, Any]) -> Path:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(json.loads(GOLDEN.read_bytes()) | change))
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"energy_totals_j": 1.0},
        {"energy_total_j": "1.0"},
        {"energy_status": "fine"},
        {"steady_state_window": {"start_s": 0.0, "end_s": 1.0, "middle_s": 0.5}},
        {"schema_version": RESULT_SCHEMA_VERSION + 1},
        {"schema_version": None},
    ],
    ids=["unknown field", "wrong type", "wrong word", "unknown inner", "newer", "no format"],
)
def test_a_result_of_another_format_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(MeasurementError, match=r"result\.json: "):
        read_result(changed(tmp_path, change))


def test_a_newer_result_is_refused_with_both_formats(tmp_path: Path) -> None:
    newer = changed(tmp_path, {"schema_version": 5, "a_later_field": 1})
    with pytest.raises(MeasurementError, match="1 to 4, found 5, of a newer llem; update"):
        read_result(newer)


def test_a_missing_field_is_refused(tmp_path: Path) -> None:
    data = json.loads(GOLDEN.read_bytes())
    del data["output_tokens"]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(data))
    with pytest.raises(MeasurementError, match="output_tokens"):
        read_result(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"schema_version": 1}'])
def test_a_damaged_result_raises_a_measurement_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(MeasurementError):
        read_result(path)


def test_a_missing_result_raises_a_measurement_error(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="cannot be read: No such file"):
        read_result(tmp_path / "absent.json")
