"""Every mistake produces one sentence on stderr and leaves no files behind (CLI-05)."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from cli.conftest import Run

from llem_cli._app import app, run

GOOD = "model: builtin:tiny-llama\nn: 2\npytorch: {device: cpu}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: [a\n", "study.yaml:2:1: this is not valid YAML"),
        (GOOD + "sweeps: {n: [1]}\n", "study.yaml:4:1: sweeps: unknown key 'sweeps'"),
        (GOOD + "random_seed: many\n", "study.yaml:4:14: random_seed: expected a whole number"),
        (GOOD + "sweep: {precision: []}\n", "study.yaml:4:20: sweep.precision: expected at least"),
        ("", "expected a mapping of keys, found an empty file"),
    ],
)
def test_a_mistake_in_the_study_file_is_reported_with_its_position(
    llem: Run, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "study.yaml").write_text(text)
    done = llem("study", "run", "study.yaml")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert sentence in line
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_every_flag_for_whole_numbers_refuses_others() -> None:
    groups = (app, app["study"])
    commands = [group[name] for group in groups for name in group if not name.startswith("-")]
    flags = [
        argument
        for command in commands
        if command.default_command is not None
        for argument in command.assemble_argument_collection()
        if int in (argument.hint, *get_args(argument.hint))
    ]
    assert {flag.name for flag in flags} >= {"--cycles", "--retry", "--at-most", "--runs", "--port"}
    assert [flag.name for flag in flags if flag.parameter.converter is None] == []


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("--batch-size 8", "--set pytorch.batch_size=8"),
        ("--decoder.temperature=0", "--set decoder.temperature=0"),
        ("--dtype bf16", "--set precision=bf16"),
        *((option, "--set execution.n_cycles=3") for option in ("--runs 3", "--repeat 3")),
        ("--quantization int4", "`llem-cli study fields quantization` lists the fields"),
        *((option, None) for option in ("--gpus all", "--out x", "--warmup 3")),
        *((option, None) for option in ("--time 3h", "--sets n=3", "--no-gap", "--parallel 2")),
    ],
)
def test_an_unknown_option_is_a_field_only_if_it_has_the_name_of_one(
    capsys: pytest.CaptureFixture[str], option: str, advice: str | None
) -> None:
    assert run(["study", "plan", "study.yaml", *option.split(" ")]) == 2
    (shown,) = capsys.readouterr().err.splitlines()
    assert "Unknown option" in shown
    assert advice is None or advice in shown
    assert any(word in shown for word in (" --set ", "study fields")) == (advice is not None)


def test_a_terminal_shows_the_line_of_the_mistake_whole(tmp_path: Path) -> None:
    line = f"sweep: {{n: [{', '.join(map(str, range(1, 16)))}, many]}}"
    (tmp_path / "study.yaml").write_text(f"{GOOD}{line}\n")
    terminal, other_end = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "llem_cli", "study", "validate", "study.yaml"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "40"},
        stderr=other_end,
        check=False,
    )
    os.close(other_end)
    shown = os.read(terminal, 65536).decode().splitlines()
    os.close(terminal)
    assert done.returncode == 2
    assert shown[0].startswith("study.yaml:4:")
    # The sentence is wrapped between its words; the line of the file never is.
    mark = shown[shown.index(f"  4 | {line}") + 1]
    quoted = f"  4 | {line}"
    assert quoted[mark.index("^") :].startswith("many")


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_json_lists_the_mistakes_of_a_file_one_by_one(
    llem: Run, tmp_path: Path, command: str
) -> None:
    (tmp_path / "study.yaml").write_text("model: a/b\nn: many\npytorch: {batch: 2}\n")
    done = llem("study", command, "study.yaml", "--json")
    assert done.returncode == 2
    described = json.loads(done.stdout)
    assert described["n_more"] == 0
    lines = [
        f"{fault['file']}:{fault['line']}:{fault['column']}: {fault['key']}: {fault['problem']}"
        for fault in described["faults"]
    ]
    assert [line.split(": ")[:2] for line in lines] == [
        ["study.yaml:2:4", "n"],
        ["study.yaml:3:11", "pytorch.batch"],
    ]
    assert lines == done.stderr.splitlines()


def test_json_has_an_object_for_every_error(llem: Run, tmp_path: Path) -> None:
    for arguments, code, words in (
        (("study", "show", "nowhere"), 2, "no such folder"),
        (("study", "validate", "nowhere.yaml"), 2, "no such file"),
        (("study", "plan"), 2, "requires an argument"),
    ):
        done = llem(*arguments, "--json")
        assert done.returncode == code
        (fault,) = json.loads(done.stdout)["faults"]
        assert set(fault) == {"file", "line", "column", "key", "row", "problem"}
        assert words in fault["problem"]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_study_file_is_reported(llem: Run, tmp_path: Path) -> None:
    done = llem("study", "run", "nowhere.yaml")
    assert (done.returncode, done.stderr) == (2, "nowhere.yaml: no such file\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "expected"), [("show", "the folder or the archive"), ("resume", "the folder")]
)
def test_a_folder_without_a_study_is_refused(
    llem: Run, tmp_path: Path, command: str, expected: str
) -> None:
    missing = llem("study", command, "nowhere")
    assert missing.returncode == 2
    problem = f"nowhere: expected {expected} of a study, found no such folder; `llem-cli"
    assert problem in missing.stderr
    other = llem("study", command, tmp_path)
    assert other.returncode == 1
    assert "is not the folder of a study (it has no manifest.json)" in other.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["show", "resume"])
def test_the_parent_of_study_folders_lists_them_by_name(
    llem: Run, tmp_path: Path, command: str
) -> None:
    for name in ("small_1", "large_1"):
        folder = tmp_path / "results" / name / "0001_c1_model_01234567"
        folder.mkdir(parents=True)
        (folder.parent / "study_resolved.json").write_text("{}")
    (tmp_path / "results" / "notes").mkdir()
    parent = llem("study", command, "results")
    assert (parent.returncode, parent.stderr) == (
        1,
        "error: results is not the folder of a study, but contains 2 study folders large_1, "
        "small_1; use one of them, e.g. results/large_1\n",
    )
    for part, code in (("study_resolved.json", 2), ("0001_c1_model_01234567", 1)):
        done = llem("study", command, f"results/small_1/{part}")
        assert done.returncode == code
        assert f"use the study's folder, {tmp_path / 'results' / 'small_1'}" in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.name == ".lock"]


def test_two_backends_in_one_study_are_refused_before_any_file_is_written(
    llem: Run, tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text("model: a/b\nbackend: [pytorch, vllm]\n")
    validated = llem("study", "validate", "study.yaml")
    assert validated.returncode == 1
    assert "will be refused: a study runs on one backend" in validated.stdout
    done = llem("study", "run", "study.yaml", "--quiet")
    assert done.returncode == 1
    assert "one backend" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_an_output_folder_that_cannot_be_created_is_refused(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(GOOD)
    done = llem("study", "run", "study.yaml", "--quiet", "--output", "study.yaml/results")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "study.yaml is not a folder" in line
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["study", "rum", "x.yaml"], "rum"),
        (["study", "run"], "expected a study file or --model MODEL"),
        (["study", "run", "x.yaml", "--cycles", "many"], "many"),
        (["study", "run", "x.yaml", "--order", "random"], "random"),
        (["study", "run", "x.yaml", "--frobnicate"], "frobnicate"),
    ],
)
def test_a_mistake_on_the_command_line_is_a_usage_error(
    llem: Run, arguments: list[str], words: str
) -> None:
    done = llem(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flag", ["precision", "=fp32", "n=zero", "m.x=1", "n=[1"])
def test_an_invalid_set_flag_is_reported_as_a_command_line_error(
    llem: Run, tmp_path: Path, flag: str
) -> None:
    (tmp_path / "study.yaml").write_text(GOOD)
    done = llem("study", "validate", "study.yaml", "--set", flag)
    assert done.returncode == 2
    assert "<command line>" in done.stderr
    assert "Traceback" not in done.stderr


def test_set_on_a_swept_key_is_an_error(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(GOOD + "sweep: {precision: [fp32, bf16]}\n")
    done = llem("study", "validate", "study.yaml", "--set", "precision=fp16")
    assert done.returncode == 2
    assert "precision: this key is swept in study.yaml:4" in done.stderr


def test_a_traceback_is_shown_only_with_verbose(llem: Run, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "Traceback" not in llem("study", "show", "folder").stderr
    (tmp_path / "study.yaml").write_text(GOOD)
    quiet = llem("study", "resume", "folder")
    verbose = llem("study", "resume", "folder", "--verbose")
    assert (quiet.returncode, verbose.returncode) == (1, 1)
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in verbose.stderr


def test_an_argument_too_many_is_a_usage_error(llem: Run) -> None:
    done = llem("study", "run", "study.yaml", "other.yaml")
    assert done.returncode == 2
    assert done.stderr == "error: unexpected argument: other.yaml (see `--help`)\n"


def test_a_file_instead_of_a_study_folder_is_reported(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(GOOD)
    done = llem("study", "show", "study.yaml")
    assert done.returncode == 2
    assert (
        "study.yaml: expected the folder or the archive of a study, found another file\n"
        in done.stderr
    )


@pytest.mark.parametrize("command", ["show", "report", "export", "methods", "verify"])
def test_an_archive_that_is_not_there_is_no_folder(llem: Run, tmp_path: Path, command: str) -> None:
    done = llem("study", command, "none.zip", *(["runs.csv"] if command == "export" else []))
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "none.zip: expected the folder or the archive of a study, found no such file; "
        in done.stderr
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["report", "watch", "compare"])
def test_a_file_in_a_study_folder_names_the_folder(llem: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "runs" / "result.json").write_text("{}")
    more = ["runs"] if command == "compare" else []
    done = llem("study", command, "runs/result.json", *more)
    assert done.returncode == 2
    assert f"found a file in one; use the study's folder, {tmp_path}\n" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", [["--help"], ["schema"], ["config"], ["study", "validate"]])
def test_output_to_a_full_disk_is_one_sentence(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "study.yaml").write_text(GOOD)
    arguments = [*command, "study.yaml"] if command[0] == "study" else command
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "llem_cli", *arguments],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: stdout cannot be written: No space left on device\n"


def test_a_deleted_working_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(GOOD)
    (tmp_path / "gone").mkdir()
    program = [sys.executable, "-m", "llem_cli", "study", "plan", str(tmp_path / "study.yaml")]
    script = f"cd gone; rmdir ../gone; exec {shlex.join(program)}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "error: the working directory was deleted; change to another one\n"


@pytest.mark.parametrize("columns", ["0", "1", "x", "-5", "99999"])
def test_help_is_shown_in_any_width(llem: Run, columns: str) -> None:
    done = llem("--help", COLUMNS=columns)
    assert (done.returncode, done.stderr) == (0, "")
    assert "study" in done.stdout
