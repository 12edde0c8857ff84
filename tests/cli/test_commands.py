"""The output and the exit code of each command (CLI-05, LA-02, CFG-18..26)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import STUDY, Run
from fakes import measures
from fakes.studies import only_folder

from llem_cli._commands.options import parse_duration_s
from llem_cli._commands.reference import schema as schema_command
from llem_cli._commands.study.resume import resume
from llem_cli._commands.study.run import run
from llem_cli._commands.study.show import show
from llem_config import ConfigError, study_json_schema
from llem_runner import read_manifest, read_study_result


def test_set_reaches_the_experiment(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("model: a/b\npytorch: {device: cpu}\n")
    done = llem(
        *("study", "validate", "s.yaml", "--json"),
        *("--set", "pytorch.batch_size=8", "--set", "decoder.temperature=0.5"),
    )
    (point,) = json.loads(done.stdout)["points"]
    assert point["config"]["pytorch"] == {"batch_size": 8, "device": "cpu"}
    assert point["config"]["decoder"]["temperature"] == 0.5


@pytest.mark.slow
def test_experiment_run_warns_before_it_measures(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(
        "model: builtin:tiny-llama\nn: 2\nmax_output_tokens: 4\npytorch: {device: cpu}\n"
        "energy: {sources: [nvml], min_window_seconds: 0}\nwarmup: {convergence_detection: false}\n"
    )
    done = llem("experiment", "run", "e.yaml", "--output", "out")
    assert done.returncode == 0
    assert "tokens/s" in done.stdout
    first = done.stderr.splitlines()[0]
    assert first == "warning: no energy will be measured: nvml: the experiment uses no GPU"
    assert (tmp_path / "out" / "result.json").is_file()


def test_run_shows_the_result_and_exits_with_0(
    tmp_path: Path, study_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(study_file, output=tmp_path / "out", measure=measures.quick)
    printed = capfd.readouterr()
    assert code == 0
    assert "3 of 3 runs completed, 0 failed" in printed.out
    assert "2 ± 0" in printed.out
    assert "1 point x 3 cycles = 3 runs" in printed.err
    assert "; results in " in printed.err
    assert "\x1b" not in printed.out + printed.err  # no terminal, no control codes


def test_run_json_prints_only_the_study_result(
    tmp_path: Path, study_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(study_file, output=tmp_path / "out", measure=measures.quick, json_=True, quiet=True)
    printed = capfd.readouterr()
    on_disk = (only_folder(tmp_path / "out") / "study_result.json").read_text()
    assert json.loads(printed.out) == json.loads(on_disk)
    assert printed.err == ""


def test_a_failed_study_exits_with_1_and_its_resume_with_0(
    tmp_path: Path, study_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(study_file, output=tmp_path / "out", measure=measures.raises) == 1
    printed = capfd.readouterr()
    assert "the model does not fit" in printed.out
    folder = only_folder(tmp_path / "out")
    assert resume(folder, measure=measures.quick) == 0
    assert [entry.attempts for entry in read_manifest(folder).entries] == [2, 2, 2]


def test_resume_adds_cycles_and_refuses_another_study(
    llem: Run, tmp_path: Path, study_file: Path
) -> None:
    run(study_file, output=tmp_path / "out", measure=measures.quick, quiet=True)
    folder = only_folder(tmp_path / "out")
    code = resume(folder, study=study_file, cycles=4, measure=measures.quick, quiet=True)
    assert code == 0
    assert read_manifest(folder).totals.completed == 4
    study_file.write_text(STUDY.replace("n: 2", "n: 3"))
    done = llem("study", "resume", folder, "--study", study_file, "--cycles", "4")
    assert done.returncode == 1
    assert "point only in the folder: n=2" in done.stderr
    assert "point only requested: n=3" in done.stderr


def test_resume_compares_the_file_with_the_flags_of_the_start(
    tmp_path: Path, study_file: Path
) -> None:
    run(
        study_file,
        output=tmp_path / "out",
        order="shuffled",
        settings=("max_output_tokens=4",),
        timeout=100,
        measure=measures.raises,
        quiet=True,
    )
    folder = only_folder(tmp_path / "out")
    assert resume(folder, study=study_file, measure=measures.quick, quiet=True) == 0


def test_show_warns_of_a_study_file_that_was_replaced(
    llem: Run, tmp_path: Path, study_file: Path
) -> None:
    run(study_file, output=tmp_path / "out", measure=measures.quick, quiet=True)
    folder = only_folder(tmp_path / "out")
    (folder / "study.yaml").write_text(STUDY.replace("n: 2", "n: 3"))
    warning = f"{folder / 'study.yaml'} is not the file that this study was started with"
    shown = llem("study", "show", folder).stdout
    assert f"warning: {warning}" in " ".join(shown.split())
    assert json.loads(llem("study", "show", folder, "--json").stdout)["warnings"] == [warning]
    done = llem("study", "resume", folder)
    assert done.returncode == 1
    assert "it has other points or options" in " ".join(done.stderr.split())


def test_a_study_that_was_killed_before_its_first_manifest_can_be_resumed(
    study_file: Path, tmp_path: Path
) -> None:
    run(study_file, output=tmp_path / "out", measure=measures.quick, quiet=True)
    folder = tmp_path / "killed"
    folder.mkdir()
    resolved = only_folder(tmp_path / "out") / "study_resolved.json"
    (folder / resolved.name).write_bytes(resolved.read_bytes())
    assert resume(folder, measure=measures.quick, quiet=True) == 0
    assert read_study_result(folder).summary.completed == 3


def test_a_time_limit_exits_with_130_and_shows_how_to_continue(
    tmp_path: Path, study_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(
        study_file, output=tmp_path / "out", time_limit="2s", measure=measures.hangs, retry=1
    )
    assert code == 130
    printed = capfd.readouterr().err
    assert "stopped: the time limit of 2 s" in printed
    assert "study resume" in printed
    folder = only_folder(tmp_path / "out")
    assert show(folder) == 0
    assert f"interrupted; continue with `llem-cli study resume {folder}`" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1h30m", 5400)]
)
def test_a_time_limit_can_have_units(text: str, expected: float) -> None:
    assert parse_duration_s(text) == expected


@pytest.mark.parametrize("text", ["soon", "0s", "400d", "9" * 50])
def test_an_invalid_time_limit_is_reported(llem: Run, study_file: Path, text: str) -> None:
    done = llem("study", "run", study_file, "--time-limit", text)
    assert done.returncode == 2
    assert f"expected a time such as 90s, 30m or 8h, found '{text}'" in done.stderr


def test_show_prints_a_finished_study_and_its_json(
    llem: Run, tmp_path: Path, study_file: Path
) -> None:
    run(study_file, output=tmp_path / "out", measure=measures.quick, quiet=True)
    folder = only_folder(tmp_path / "out")
    assert "3 of 3 runs completed" in llem("study", "show", folder).stdout
    shown = json.loads(llem("study", "show", folder, "--json").stdout)
    assert (shown["status"], shown["running"], shown["left_s"]) == ("completed", False, None)
    assert shown["result"]["summary"]["completed"] == 3
    assert shown["manifest"]["totals"]["completed"] == 3
    (folder / "study_result.json").unlink()
    without_result = json.loads(llem("study", "show", folder, "--json").stdout)
    assert without_result == {**shown, "result": None}
    unfinished = llem("study", "show", folder).stdout
    assert "3 completed" in unfinished
    assert f"not running; continue with `llem-cli study resume {folder}`" in unfinished


def test_timeout_and_gaps_flags_reach_the_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.yaml").write_text("model: builtin:tiny-llama\nn: 2\npytorch: {device: cpu}\n")
    code = run(
        tmp_path / "s.yaml",
        output=tmp_path / "out",
        cycles=2,
        timeout=1.5,
        gaps=False,  # else the machine's default gap of a minute
        measure=measures.hangs,
    )
    assert code == 1
    assert "Timeout: no result within 1.5 s (execution.timeout_seconds)" in capfd.readouterr().out
    (folder,) = (tmp_path / "out").iterdir()
    protocol = read_study_result(folder).measurement_protocol
    assert (protocol.config_gap_seconds, protocol.cycle_gap_seconds) == (0, 0)


def test_the_schema_names_every_field(llem: Run) -> None:
    schema = json.loads(llem("schema").stdout)
    assert {"model", "sweep", "execution", "pytorch.batch_size"} <= set(schema["properties"])


def test_schema_install_writes_the_schema_and_prints_the_modeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert schema_command(install=True) == 0
    assert json.loads((tmp_path / "llem-study.schema.json").read_text()) == study_json_schema()
    line = capsys.readouterr().out
    assert line == "# yaml-language-server: $schema=llem-study.schema.json\n"
    assert schema_command(output=tmp_path / "x.json") == 0
    assert (tmp_path / "x.json").is_file()
    with pytest.raises(ConfigError, match="cannot be written"):
        schema_command(output=tmp_path / "no" / "x.json")


def test_config_shows_the_settings_and_their_file(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("execution: {config_gap_seconds: 12}\n")
    done = llem("config", "--json", LLEM_CONFIG=str(tmp_path / "mine.yaml"))
    assert json.loads(done.stdout)["execution"]["config_gap_seconds"] == 12
    assert "mine.yaml" in llem("config", LLEM_CONFIG=str(tmp_path / "mine.yaml")).stdout


def test_config_warns_of_a_misspelt_variable(llem: Run) -> None:
    done = llem("config", LLEM_RESULTS_DIR="/data")
    assert "did you mean LLEM_OUTPUT__RESULTS_DIR?" in done.stderr
    assert "LLEM_OUTPUT__RESULTS_DIR" not in done.stdout


def test_version_is_the_version_of_the_package(llem: Run) -> None:
    from importlib.metadata import version

    assert llem("--version").stdout.strip() == version("llem-cli")


def test_help_imports_neither_torch_nor_the_driver_nor_the_runner() -> None:
    code = (
        "import sys, llem_cli._app as app\n"
        "app.run(['--help'])\n"
        "app.run(['study', '--help'])\n"
        "heavy = {'torch', 'transformers', 'pynvml', 'pydantic', 'llem_runner', 'pyarrow'}\n"
        "sys.exit(sorted(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_closed_stdout_is_not_an_error(tmp_path: Path, study_file: Path) -> None:
    command = f'"{sys.executable}" -m llem_cli study validate "{study_file}" >&-'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
