"""The quickstart as a new user runs it, and the files in its folder (RES-NEW-01, RES-16, CLI-05)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llem_config import StudyConfig, load_study
from llem_energy import read_result
from llem_runner import StudyResult, read_manifest, read_study_result

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart.yaml"

pytestmark = pytest.mark.slow


def peak_memory_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peaks[0]) * 1024 if peaks else 0


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str, int]:
    """The folder, stdout, stderr and the parent's peak memory of a real quickstart."""
    place = tmp_path_factory.mktemp("quickstart")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LLEM_")}
    environment |= {"HF_HUB_OFFLINE": "1", "XDG_CONFIG_HOME": str(place / "xdg")}
    with (place / "out").open("w") as out, (place / "err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "llem_cli", "study", "run", QUICKSTART],
            cwd=place,
            env=environment,
            stdout=out,
            stderr=err,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_memory_bytes(process.pid))
            time.sleep(0.2)
    assert process.returncode == 0, (place / "err").read_text()
    (folder,) = (place / "results").iterdir()
    return folder, (place / "out").read_text(), (place / "err").read_text(), peak


@pytest.fixture(scope="module")
def folder(ran: tuple[Path, str, str, int]) -> Path:
    return ran[0]


@pytest.fixture(scope="module")
def result(folder: Path) -> StudyResult:
    return read_study_result(folder)


def test_all_runs_of_at_least_four_points_and_two_cycles_are_completed(result: StudyResult) -> None:
    assert len(result.summary.points) >= 4
    assert result.measurement_protocol.n_cycles >= 2
    assert result.summary.completed == result.summary.planned == len(result.result_files) >= 8
    assert result.status == "completed"


def test_the_folder_holds_exactly_the_documented_files(folder: Path, result: StudyResult) -> None:
    manifest = read_manifest(folder)
    expected = {".lock", "study.yaml", "study_resolved.json", "manifest.json", "study_result.json"}
    for entry in manifest.entries:
        assert entry.result_file is not None
        run = Path(entry.result_file).parent
        assert run.name == f"{entry.index:04d}_c{entry.cycle}_tiny-llama_{entry.config_hash[:8]}"
        expected |= {f"{run}/result.json", f"{run}/log.txt", f"{run}/requests.parquet"}
        if read_result(folder / entry.result_file).timeseries_file:
            expected.add(f"{run}/timeseries.parquet")
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == expected
    assert (folder / "study.yaml").read_text() == QUICKSTART.read_text()
    resolved = StudyConfig.model_validate_json((folder / "study_resolved.json").read_text())
    assert resolved.study_design_hash == load_study(QUICKSTART).study_design_hash
    assert result.study_design_hash == manifest.study_design_hash == resolved.study_design_hash
    assert json.loads((folder / "study_resolved.json").read_text())["study_design_hash"]


def test_token_counts_match_the_configuration(folder: Path, result: StudyResult) -> None:
    for file in result.result_files:
        run_result = read_result(folder / file)
        config = run_result.config
        per_pass = run_result.n_prompts * run_result.n_repeats
        assert run_result.output_tokens == per_pass * config["max_output_tokens"]
        assert run_result.input_tokens == per_pass * config["max_input_tokens"]
        assert run_result.window_s >= config["energy"]["min_window_seconds"]
        assert run_result.tokens_per_second == pytest.approx(
            run_result.output_tokens / run_result.window_s
        )
        dtype = {"fp32": "float32", "bf16": "bfloat16"}[config["precision"]]
        assert run_result.effective_config["dtype"] == dtype
        assert run_result.effective_config["batch_size"] == config["pytorch"]["batch_size"]


def test_energy_is_measured_or_its_absence_is_explained(folder: Path, result: StudyResult) -> None:
    for file in result.result_files:
        run_result = read_result(folder / file)
        if run_result.energy_source is None:
            assert run_result.energy_total_j is None
            assert run_result.energy_per_output_token_j is None
            assert any("no energy was measured" in line for line in run_result.measurement_warnings)
        else:
            assert run_result.energy_total_j is not None
            assert run_result.timeseries_file == "timeseries.parquet"


def test_the_modelled_energy_has_a_labelled_column(
    ran: tuple[Path, str, str, int], folder: Path, result: StudyResult
) -> None:
    run_result = read_result(folder / result.result_files[0])
    assert run_result.energy_estimated_j is not None
    assert run_result.energy_estimated_j > 0
    assert "modelled, not measured" in (run_result.energy_estimate_method or "")
    assert "modelled J" in ran[1]
    assert "an estimate from CPU time, not a measurement" in ran[1]


def test_progress_on_stderr_shows_gaps_and_time_left(
    ran: tuple[Path, str, str, int],
) -> None:
    _, out, err, _ = ran
    assert "gap between runs: 2 s" in err
    assert "left, about" in err
    assert "gap between" not in out
    assert "\x1b" not in out + err


def test_the_parent_process_uses_little_memory(ran: tuple[Path, str, str, int]) -> None:
    assert 10e6 < ran[3] < 120e6
