"""The output and the exit code of each command (CLI-05, LA-02, CFG-18..26)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import Run
from fakes import measures
from fakes.studies import only_folder

from llem_cli._commands.options import parse_duration_s
from llem_cli._commands.reference import schema as schema_command
from llem_cli._commands.study.resume import resume
from llem_cli._commands.study.run import run
from llem_cli._commands.study.show import show
from llem_config import ConfigError, study_json_schema
from llem_runner import read_manifest, read_study_result

STUDY = """\
model: builtin:tiny-llama
n: 2
pytorch: {device: cpu}
sweep:
  precision: [fp32, bf16]
  pytorch.attn_implementation: [sdpa, flash_attention_2]
exclude: [{precision: bf16, pytorch.attn_implementation: sdpa}]
experiments: [{precision: fp32, pytorch.attn_implementation: sdpa}]
execution: {config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    return file


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_rule_that_matches_no_point_is_reported_before_a_run(
    llem: Run, study_file: Path, command: str
) -> None:
    study_file.write_text("model: builtin:tiny-llama\nsweep: {n: [1, 2]}\nexclude: [{n: 3}]\n")
    warning = f"{study_file}:3:11: exclude[0]: this rule matches no point; compare its values"
    printed = llem("study", command, study_file).stdout
    assert f"warning: {warning} with those of the sweep" in printed.replace("\n", " ")
    listed, *_ = json.loads(llem("study", command, study_file, "--json").stdout)["warnings"]
    assert listed.startswith(warning)


def test_validate_json_is_one_object_with_every_point(llem: Run, study_file: Path) -> None:
    done = llem("study", "validate", study_file, "--json")
    described = json.loads(done.stdout)
    assert set(described) == {
        *("name", "study_design_hash", "n_points", "n_cycles", "n_runs", "n_duplicates"),
        *("n_excluded", "points", "skipped", "warnings", "refused"),
    }
    assert described["name"] == "study"
    assert (described["n_points"], described["n_cycles"], described["n_runs"]) == (1, 3, 3)
    assert (described["n_duplicates"], described["n_excluded"]) == (1, 1)
    assert [point["config"]["precision"] for point in described["points"]] == ["fp32"]
    assert len(described["skipped"]) == 2
    assert all("needs a GPU" in json.dumps(point) for point in described["skipped"])


def test_validate_checks_every_row_of_the_data_sets_if_requested(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('text\none\n""\nthree\n')
    (tmp_path / "s.yaml").write_text("model: a/b\ndataset: p.csv\nsweep: {n: [1, 3, 4]}\n")
    assert llem("study", "validate", "s.yaml").returncode == 0
    done = llem("study", "validate", "s.yaml", "--data")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert "p.csv: row 2 (line 3): the prompt is empty; remove the row (in 2 of 3 " in first
    assert "p.csv: expected at least n = 4 prompts, found 3" in second
    faults = json.loads(llem("study", "validate", "s.yaml", "--data", "--json").stdout)["faults"]
    places = [(Path(fault["file"]).name, fault["row"], fault["line"]) for fault in faults]
    assert places == [("p.csv", 2, 3), ("p.csv", None, None)]
    (tmp_path / "s.yaml").write_text("model: a/b\ndataset: p.csv\nn: 1\n")
    (data,) = json.loads(llem("study", "validate", "s.yaml", "--data", "--json").stdout)["data"]
    assert (Path(data["data_set"]).name, data["column"], data["n_checked"]) == ("p.csv", "text", 1)
    lines = llem("study", "validate", "s.yaml", "--data").stdout.splitlines()
    assert lines[-1].endswith("p.csv: 1 row checked, the prompts are the column 'text'")


def test_validate_counts_dropped_and_skipped_points_with_the_reason(
    llem: Run, study_file: Path
) -> None:
    done = llem("study", "validate", study_file)
    assert "1 point x 3 cycles = 3 runs" in done.stdout
    assert "1 duplicate dropped, 1 point excluded" in done.stdout
    assert "2 points skipped" in done.stdout
    assert "flash attention needs a GPU" in done.stdout


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ("", [], 3),
        ("execution: {n_cycles: 2}\n", [], 2),
        ("execution: {n_cycles: 2}\n", ["--cycles", "5"], 5),
        ("", ["--set", "execution.n_cycles=4"], 4),
    ],
)
def test_the_default_of_3_cycles_is_overridden_by_file_and_flag(
    llem: Run, tmp_path: Path, text: str, flags: list[str], expected: int
) -> None:
    (tmp_path / "s.yaml").write_text("model: a/b\n" + text)
    done = llem("study", "validate", "s.yaml", "--json", *flags)
    assert json.loads(done.stdout)["n_cycles"] == expected


def test_plan_lists_the_runs_in_execution_order(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("model: a/b\nsweep: {n: [1, 2]}\n")
    done = llem("study", "plan", "s.yaml", "--json", "--cycles", "2", "--order", "interleaved")
    plan = json.loads(done.stdout)
    hashes = [point["config_hash"] for point in plan["points"]]
    assert [(run["index"], run["cycle"], run["config_hash"]) for run in plan["runs"]] == [
        (1, 1, hashes[0]),
        (2, 1, hashes[1]),
        (3, 2, hashes[0]),
        (4, 2, hashes[1]),
    ]
    table = llem("study", "plan", "s.yaml", "--cycles", "2", "--order", "interleaved").stdout
    assert [line.split()[:3] for line in table.splitlines()[-4:]] == [
        ["1", "1", "1"],
        ["2", "1", "2"],
        ["3", "2", "1"],
        ["4", "2", "2"],
    ]


def test_the_factors_of_a_study_are_named_with_their_first_levels(
    llem: Run, tmp_path: Path
) -> None:
    sizes = ", ".join(map(str, range(1, 11)))
    (tmp_path / "s.yaml").write_text(
        f"model: a/b\nsweep: {{precision: [fp32, bf16], pytorch.batch_size: [{sizes}]}}\n"
    )
    expected = (
        "factors: precision (fp32, bf16), pytorch.batch_size (1, 2, 3, 4, 5, 6, 7, 8, 2 more)"
    )
    for command in ("validate", "plan"):
        assert expected in llem("study", command, "s.yaml").stdout.replace("\n", " ")


def test_plan_and_dry_run_show_the_gaps_of_the_run(
    llem: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LLEM_EXECUTION__CONFIG_GAP_SECONDS", "2")
    monkeypatch.setenv("LLEM_EXECUTION__CYCLE_GAP_SECONDS", "400")
    execution = "execution: {n_cycles: 1}\nenergy.min_window_seconds: 0\n"
    (tmp_path / "s.yaml").write_text(
        f"model: builtin:tiny-llama\n{execution}sweep: {{n: [1, 2]}}\n"
    )
    for command in (["validate"], ["plan"], ["run", "--dry-run"]):
        shown = llem("study", *command, "s.yaml").stdout
        assert "takes at least 2 s (2 s of gaps" in shown
    assert run(tmp_path / "s.yaml", output=tmp_path / "r", measure=measures.quick) == 0
    assert "takes at least 2 s (2 s of gaps" in capsys.readouterr().err
    record = json.loads((only_folder(tmp_path / "r") / "study_result.json").read_text())
    protocol = record["measurement_protocol"]
    assert (protocol["config_gap_seconds"], protocol["cycle_gap_seconds"]) == (2.0, 400.0)


def test_plan_shows_the_memory_that_each_point_is_estimated_to_need(
    llem: Run, tmp_path: Path
) -> None:
    text = (
        "model: builtin:llama-8b\nsweep: {precision: [fp32, bf16]}\nexperiments: [{model: a/b}]\n"
    )
    (tmp_path / "s.yaml").write_text(text)
    flags = ("--cycles", "1", "--order", "sequential")
    table = llem("study", "plan", "s.yaml", *flags).stdout
    assert [line.split()[-2:] for line in table.splitlines()[-3:]] == [
        ["32.4", "GB"],
        ["16.2", "GB"],
        ["min", "unknown"],
    ]
    points = json.loads(llem("study", "plan", "s.yaml", "--json").stdout)["points"]
    memory = [point["memory"] for point in points]
    assert memory[1]["weights_bytes"] == 2 * 8_030_261_248
    assert memory[1]["total_bytes"] == sum(
        memory[1][f"{part}_bytes"] for part in ("weights", "cache", "activations")
    )
    assert memory[2] is None


def test_plan_shows_that_memory_is_unknown_for_a_backend_without_facts(
    llem: Run, tmp_path: Path
) -> None:
    text = "model: builtin:llama-1b\nbackend: vllm\nvllm: {max_num_seqs: 64}\n"
    (tmp_path / "s.yaml").write_text(text)
    table = llem("study", "plan", "s.yaml", "--cycles", "1").stdout
    assert table.split()[-1] == "unknown"
    (point,) = json.loads(llem("study", "plan", "s.yaml", "--json").stdout)["points"]
    assert point["memory"] is None


def test_dry_run_shows_the_plan_and_runs_nothing(llem: Run, study_file: Path) -> None:
    done = llem("study", "run", study_file, "--dry-run")
    assert done.returncode == 0
    assert "3 runs" in done.stdout
    assert [path.name for path in study_file.parent.iterdir()] == ["study.yaml"]


COMMANDS = [["validate"], ["plan"], ["run", "--dry-run"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_name_of_a_model_is_reported_before_run_refuses_it(
    llem: Run, tmp_path: Path, command: list[str]
) -> None:
    text = "sweep: {model: [./no-such-model, ./other]}\npytorch: {device: cpu}\n"
    (tmp_path / "s.yaml").write_text(text)
    done = llem("study", *command, "s.yaml")
    assert (done.returncode, done.stderr) == (1, "")
    start = "will be refused: "
    lines = [line for line in done.stdout.splitlines() if line.startswith(start)]
    assert "no-such-model; correct the path, or use a hub id" in lines[0]
    assert "other; correct the path, or use a hub id" in lines[1]
    refused = llem("study", "run", "s.yaml", "--quiet")
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [line.replace(start, "error: ") for line in lines]
    from_json = json.loads(llem("study", *command, "s.yaml", "--json").stdout)["refused"]
    assert [start + problem for problem in from_json] == lines


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("config_json", "study", "expected"),
    [
        ('{"model_type": "whisper"}', "", "is an encoder-decoder model"),
        ('{"model_type": "bert"}', "", "an encoder that reads later tokens too"),
        ('{"model_type": 5}', "", "model_type: expected text, found 5; correct the file"),
        ("[" * 100_000, "", "objects and lists inside each other"),
        ('{"model_type": "llama"}', "dataset: p.jsonl", "p.jsonl: cannot be read: No such file"),
    ],
    ids=["encoder-decoder", "encoder", "type", "depth", "data"],
)
def test_what_no_machine_can_run_fails_a_plan(
    llem: Run, tmp_path: Path, command: list[str], config_json: str, study: str, expected: str
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(config_json)
    text = f"model: ./model\nweights: random\npytorch: {{device: cpu}}\n{study}\n"
    (tmp_path / "s.yaml").write_text(text)
    done = llem("study", *command, "s.yaml")
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("will be refused: ")]
    assert expected in line


@pytest.mark.parametrize(("rows", "code"), [('{"prompt": "a"}\n', 0), ('{"prompt": ""}\n', 1)])
def test_a_damaged_data_set_fails_a_plan(llem: Run, tmp_path: Path, rows: str, code: int) -> None:
    (tmp_path / "p.jsonl").write_text(rows)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    text = "model: ./model\nweights: random\npytorch: {device: cpu}\ndataset: p.jsonl\nn: 1\n"
    (tmp_path / "s.yaml").write_text(text)
    done = llem("study", "plan", "s.yaml")
    assert (done.returncode, done.stderr) == (code, "")
    assert ("p.jsonl: row 1 (line 1): the prompt is empty" in done.stdout) is bool(code)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_only_this_machine_lacks_does_not_fail_a_plan(
    llem: Run, tmp_path: Path, command: list[str]
) -> None:
    text = (
        "model: builtin:tiny-llama\nprecision: bf16\npytorch: {device: cuda, attn_implementation: "
    )
    (tmp_path / "s.yaml").write_text(text + "flash_attention_2}\n")
    done = llem("study", *command, "s.yaml", LLEM_DEVICES__GPUS="[]", CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stderr) == (0, "")
    if command == ["validate"]:
        assert "will be refused" not in done.stdout
    else:
        assert "flash_attention_2 needs flash_attn; install it" in done.stdout
        assert "will be refused: " in done.stdout


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
    assert "Timeout: no result within 1.5 s" in capfd.readouterr().out
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
