"""The quickstart as a new user runs it, and its folder file by file (RES-NEW-01, RES-16, CLI-05)."""

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
    """The folder, stdout, stderr and the parent's peak memory of one real quickstart."""
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


def test_it_is_at_least_four_points_and_two_cycles_and_all_complete(result: StudyResult) -> None:
    assert len(result.summary.points) >= 4
    assert result.measurement_protocol.n_cycles >= 2
    assert result.summary.completed == result.summary.planned == len(result.result_files) >= 8
    assert result.status == "completed"


def test_the_folder_is_exactly_what_the_document_says(folder: Path, result: StudyResult) -> None:
    manifest = read_manifest(folder)
    expected = {".lock", "study.yaml", "study_resolved.json", "manifest.json", "study_result.json"}
    for entry in manifest.entries:
        assert entry.result_file is not None
        run = Path(entry.result_file).parent
        assert run.name == f"{entry.index:04d}_c{entry.cycle}_tiny-llama_{entry.config_hash[:8]}"
        expected |= {f"{run}/result.json", f"{run}/log.txt", f"{run}/requests.parquet"}
        if read_result(folder / entry.result_file).timeseries_file:
            expected.add(f"{run}/timeseries.parquet")
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == expected
    assert (folder / "study.yaml").read_text() == QUICKSTART.read_text()
    resolved = StudyConfig.model_validate_json((folder / "study_resolved.json").read_text())
    assert resolved.study_design_hash == load_study(QUICKSTART).study_design_hash
    assert result.study_design_hash == manifest.study_design_hash == resolved.study_design_hash
    assert json.loads((folder / "study_resolved.json").read_text())["study_design_hash"]


def test_tokens_are_exact_and_real(folder: Path, result: StudyResult) -> None:
    for file in result.result_files:
        one = read_result(folder / file)
        asked = one.config
        per_pass = one.n_prompts * one.n_repeats
        assert one.output_tokens == per_pass * asked["max_output_tokens"]
        assert one.input_tokens == per_pass * asked["max_input_tokens"]
        assert one.window_s >= asked["energy"]["min_window_seconds"]
        assert one.tokens_per_second == pytest.approx(one.output_tokens / one.window_s)
        wanted = {"fp32": "float32", "bf16": "bfloat16"}[asked["precision"]]
        assert one.effective_config["dtype"] == wanted
        assert one.effective_config["batch_size"] == asked["pytorch"]["batch_size"]


def test_energy_is_measured_or_missing_with_its_reason(folder: Path, result: StudyResult) -> None:
    for file in result.result_files:
        one = read_result(folder / file)
        if one.energy_source is None:
            assert one.energy_total_j is None
            assert one.energy_per_output_token_j is None
            assert any("no energy was measured" in line for line in one.measurement_warnings)
        else:
            assert one.energy_total_j is not None
            assert one.timeseries_file == "timeseries.parquet"


def test_the_modelled_figure_is_labelled_and_in_a_column_of_its_own(
    ran: tuple[Path, str, str, int], folder: Path, result: StudyResult
) -> None:
    one = read_result(folder / result.result_files[0])
    assert one.energy_estimated_j is not None
    assert one.energy_estimated_j > 0
    assert "modelled, not measured" in (one.energy_estimate_method or "")
    assert "modelled J" in ran[1]
    assert "an estimate from CPU time, not a measurement" in ran[1]


def test_progress_is_on_stderr_and_shows_pauses_and_time_left(
    ran: tuple[Path, str, str, int],
) -> None:
    _, out, err, _ = ran
    assert "pause between runs: 2 s" in err
    assert "left, about" in err
    assert "pause between" not in out
    assert "\x1b" not in out + err


def test_the_parent_stays_light(ran: tuple[Path, str, str, int]) -> None:
    assert 10e6 < ran[3] < 120e6
