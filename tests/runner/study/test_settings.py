"""Each machine-local setting has an effect on a study (CFG-21 to CFG-25, STU-06)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import fake_nvml, measures
from fakes.studies import experiment, only_folder, study

from llem_config import Settings, StudyConfig
from llem_energy import read_result
from llem_runner import resume_study, run_study
from llem_runner.events import Event, GapStarted


def test_results_are_written_below_results_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLEM_OUTPUT__RESULTS_DIR", str(tmp_path / "elsewhere"))
    run_study(study((1,)), measure=measures.quick)
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


@pytest.mark.parametrize(
    ("order", "n_cycles", "ns", "setting"),
    [
        ("sequential", 1, (1, 2), "config_gap_seconds"),
        ("interleaved", 2, (1,), "cycle_gap_seconds"),
    ],
)
def test_gaps_that_the_study_does_not_set_come_from_the_settings(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: str,
    n_cycles: int,
    ns: tuple[int, ...],
    setting: str,
) -> None:
    monkeypatch.setenv(f"LLEM_EXECUTION__{setting.upper()}", "1.25")
    events: list[Event] = []
    study_config = study(
        ns, n_cycles=n_cycles, cycle_order=order, config_gap_seconds=None, cycle_gap_seconds=None
    )
    result = run_study(
        study_config, output=tmp_path, measure=measures.quick, on_event=events.append
    )
    assert getattr(result.measurement_protocol, setting) == 1.25
    # Work since the measurement shortens the gap; on a busy machine no gap may remain.
    assert all(event.seconds <= 1.25 for event in events if isinstance(event, GapStarted))


def test_a_study_file_takes_unset_gaps_from_the_settings_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLEM_EXECUTION__CONFIG_GAP_SECONDS", "60")
    monkeypatch.setenv("LLEM_EXECUTION__CYCLE_GAP_SECONDS", "60")
    settings = Settings.model_validate(
        {"execution": {"config_gap_seconds": 0.5, "cycle_gap_seconds": 40.0}}
    )
    text = study((1, 2)).experiments[0].model_dump_json(exclude_none=True)
    file = tmp_path / "study.yaml"  # JSON is YAML
    file.write_text(f"{text[:-1]}, sweep: {{n: [1, 2]}}, execution: {{cycle_gap_seconds: 3}}}}")
    events: list[Event] = []
    result = run_study(
        file,
        output=tmp_path / "results",
        measure=measures.quick,
        on_event=events.append,
        settings=settings,
    )
    assert all(event.seconds <= 0.5 for event in events if isinstance(event, GapStarted))
    protocol = result.measurement_protocol
    assert (protocol.config_gap_seconds, protocol.cycle_gap_seconds) == (0.5, 3.0)


def test_a_continued_study_keeps_its_gaps_if_the_settings_change(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(study((1,)).experiments[0].model_dump_json(exclude_none=True))
    before = Settings.model_validate({"execution": {"config_gap_seconds": 7.0}})
    run_study(file, output=tmp_path / "results", measure=measures.quick, settings=before)
    folder = only_folder(tmp_path / "results")
    now = Settings.model_validate({"execution": {"config_gap_seconds": 0.25}})
    # If the file does not set a gap, file and folder do not differ in it.
    result = resume_study(folder, config=file, measure=measures.quick, settings=now)
    assert result.measurement_protocol.config_gap_seconds == 7.0


def test_a_resumed_study_takes_an_unset_gap_from_the_settings_of_the_caller(
    tmp_path: Path,
) -> None:
    run_study(study((1,)), output=tmp_path, measure=measures.quick)
    folder = only_folder(tmp_path)
    resolved = json.loads((folder / "study_resolved.json").read_text())
    del resolved["execution"]["config_gap_seconds"]
    (folder / "study_resolved.json").write_text(json.dumps(resolved))
    # As a folder of format 2, which has no digest of that file.
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "resolved_sha256": None}))
    settings = Settings.model_validate({"execution": {"config_gap_seconds": 0.25}})
    result = resume_study(folder, measure=measures.quick, settings=settings)
    assert result.measurement_protocol.config_gap_seconds == 0.25


def test_carbon_intensity_pue_and_price_give_emissions_and_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLEM_MEASUREMENT__CARBON_INTENSITY_GCO2_KWH", "360")
    monkeypatch.setenv("LLEM_MEASUREMENT__DATACENTER_PUE", "1.5")
    monkeypatch.setenv("LLEM_MEASUREMENT__ELECTRICITY_PRICE_KWH", "0.3")
    result = run_study(study((1,)), output=tmp_path, measure=measures.quick)
    summary, protocol = result.summary, result.measurement_protocol
    assert protocol.carbon_intensity_gco2_kwh == 360
    assert (protocol.datacenter_pue, protocol.electricity_price_kwh) == (1.5, 0.3)
    assert summary.total_energy_j == 100.0
    assert summary.emissions_gco2 == pytest.approx(100 / 3.6e6 * 1.5 * 360)
    assert summary.electricity_cost == pytest.approx(100 / 3.6e6 * 1.5 * 0.3)


def test_a_country_gives_emissions_and_the_result_names_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLEM_MEASUREMENT__COUNTRY", "FR")
    result = run_study(study((1,)), output=tmp_path, measure=measures.quick)
    assert result.summary.emissions_gco2 == pytest.approx(100 / 3.6e6 * 44.18)
    source = result.measurement_protocol.carbon_intensity_source
    assert source is not None
    assert source.startswith("France, mean of 2024: Ember")


def test_without_these_settings_emissions_and_cost_are_missing_and_not_zero(tmp_path: Path) -> None:
    summary = run_study(study((1,)), output=tmp_path, measure=measures.quick).summary
    assert summary.emissions_gco2 is None
    assert summary.electricity_cost is None


def test_settings_reach_the_child_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLEM_OUTPUT__RESULTS_DIR", "/some/where")
    result = run_study(study((1, 2)), output=tmp_path, measure=measures.quick)
    (folder,) = tmp_path.iterdir()
    report = read_result(folder / result.result_files[0]).effective_config
    assert report["results_dir"] == "/some/where"


_COOLING = """
import sys
from fakes import measures
from fakes.studies import study
from llem_runner.events import GapEnded
from llem_runner import run_study
def on_event(event):
    if isinstance(event, GapEnded):
        print("cool" if event.cool else "still warm")
run_study(study((1, 2)), output=sys.argv[1], measure=measures.quick, on_event=on_event)
"""


@pytest.mark.parametrize(("limit_c", "end"), [("90", "cool"), ("30", "still warm")])
def test_a_gap_lasts_until_the_gpu_is_cool_or_the_timeout_is_reached(
    tmp_path: Path, limit_c: str, end: str
) -> None:
    try:
        library = fake_nvml.build(tmp_path)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    trace = tmp_path / "trace"
    fake_nvml.write_trace(trace, [fake_nvml.FakeGpu()])
    script = tmp_path / "cooling.py"
    script.write_text("if __name__ == '__main__':\n    " + _COOLING.replace("\n", "\n    "))
    env = {
        **os.environ,
        **fake_nvml.environment(library, trace),
        "LLEM_EXECUTION__GAP_UNTIL_TEMPERATURE_C": limit_c,
        "LLEM_EXECUTION__GAP_AT_MOST_SECONDS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, str(script), str(tmp_path / "results")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    # The scripted GPU is at 45 C and never cools.
    assert done.stdout == f"{end}\n"


def test_the_gpus_of_the_settings_are_metered_if_the_backend_names_none(tmp_path: Path) -> None:
    try:
        library = fake_nvml.build(tmp_path)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    trace = tmp_path / "trace"
    gpu = fake_nvml.FakeGpu()
    fake_nvml.write_trace(trace, [gpu])
    study_config = StudyConfig(
        experiments=(experiment(baseline={"enabled": False}, energy={"min_window_seconds": 0.5}),)
    )
    (tmp_path / "study.json").write_text(study_config.model_dump_json())
    script = tmp_path / "metered.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from llem_config import StudyConfig\n"
        "from llem_runner import run_study\n"
        "if __name__ == '__main__':\n"
        "    study_config = StudyConfig.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "    run_study(study_config, output=sys.argv[2])\n"
    )
    env = {
        **os.environ,
        **fake_nvml.environment(library, trace),
        "LLEM_DEVICES__GPUS": "[0]",
    }
    command = [sys.executable, str(script), str(tmp_path / "study.json"), str(tmp_path / "results")]
    subprocess.run(command, env=env, check=True)
    (result_file,) = (tmp_path / "results").rglob("result.json")
    result = read_result(result_file)
    assert result.energy_source == "nvml"
    assert list(result.energy_per_device_j) == [gpu.uuid]
    assert (result_file.parent / "timeseries.parquet").is_file()
