"""What validate, plan and a dry run print before anything runs, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Run
from fakes import measures
from fakes.studies import only_folder

from llem_cli._commands.study.run import run


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
    # Several GPUs share the runs, so the sum of all runs is not the time of the study.
    shown = llem("study", "run", "--dry-run", "--gpus=all", "s.yaml").stdout
    assert "2 runs" in shown and "takes" not in shown
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
