"""Names, labels, warnings and errors of a stranger, through every command.

Nothing that comes from a file or a library is markup, a control sequence, or a line of its own.
"""

from __future__ import annotations

import ast
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli.conftest import Run
from fakes import measures
from fakes.results import make_result
from fakes.studies import experiment, only_folder
from rich.console import Console

from benchmarks.hostile.strings import STRINGS, has_forged_line, unsafe_characters
from llem_cli._commands.study.run import run as run_study_command
from llem_cli._display.console import message_lines, resume_command
from llem_cli._display.doctor import show_diagnosis
from llem_cli._display.experiment_result import show_experiment_result
from llem_cli._display.progress import Progress
from llem_cli._display.status_bar import StatusBar
from llem_config.text import one_line
from llem_energy.doctor import DiagnosedSource, Diagnosis
from llem_runner import read_study_result
from llem_runner.events import PreflightWarning, RunFailed, RunStage, RunStarted

CLI = Path(__file__).parents[2] / "packages" / "llem-cli" / "src" / "llem_cli"
DATA = Path(__file__).parents[1] / "runner" / "storage" / "data"
NAMES = {
    kind: text
    for kind, text in STRINGS.items()
    if text.strip() and not any(char in text for char in "\0\ud800\udcff") and len(text) < 1000
}
"""Texts that can be the name of a model in a study file."""


def yaml_text(text: str) -> str:
    """Return a text as YAML, with escapes for all but plain letters and signs."""
    plain = [char.isascii() and char.isprintable() and char not in '"\\' for char in text]
    chars = zip(text, plain, strict=True)
    return '"' + "".join(c if is_plain else f"\\U{ord(c):08x}" for c, is_plain in chars) + '"'


def safe(*texts: str, terminal: bool = False) -> None:
    for text in texts:
        assert unsafe_characters(text, terminal=terminal) == set()
        assert not has_forged_line(text)
        assert "Traceback" not in text
        assert "error in llem itself" not in text


def valid_json(text: str) -> Any:
    safe(text)
    return json.loads(text)


def in_terminal(folder: Path, *arguments: str, **env: str) -> tuple[str, int]:
    """Return what a command prints to a terminal of 80 columns, and its exit code."""
    parent_end, child_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "llem_cli", *arguments],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "80", "TERM": "xterm", **env},
        stdin=child_end,
        stdout=child_end,
        stderr=child_end,
    )
    os.close(child_end)
    printed = b""
    while True:
        try:
            part = os.read(parent_end, 65536)
        except OSError:  # the program has exited
            break
        if not part:
            break
        printed += part
    os.close(parent_end)
    return printed.decode(errors="surrogateescape"), process.wait()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a study file whose models have every hostile name."""
    file = tmp_path / "study.yaml"
    models = ", ".join(yaml_text(f"./m-{name}") for name in NAMES.values())
    file.write_text(f"backend: vllm\nsweep: {{model: [{models}]}}\nexecution: {{n_cycles: 1}}\n")
    return file


def test_plan_and_validate_show_names_as_text(llem: Run, tmp_path: Path, study: Path) -> None:
    plan = llem("study", "plan", study)
    safe(plan.stdout, plan.stderr)
    folded = "".join(plan.stdout.split())
    for name in NAMES.values():
        assert "".join(one_line(name).split()) in folded
    validated = llem("study", "validate", study)
    safe(validated.stdout, validated.stderr)
    data = valid_json(llem("study", "plan", study, "--json").stdout)
    assert [point["config"]["model"] for point in data["points"]] == [
        f"./m-{name}" for name in NAMES.values()
    ]
    printed, _ = in_terminal(tmp_path, "study", "plan", str(study))
    safe(printed, terminal=True)


def test_run_resume_and_show_of_models_with_hostile_names(
    llem: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["m[/v1]", "[red]b", "[blue]b", "a\x1b[2Jb", "a\u202eb", "a\rb"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text('{"model_type": "llama"}')
        (tmp_path / name / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    file = tmp_path / "study.yaml"
    models = ", ".join(yaml_text(f"./{name}") for name in names)
    file.write_text(
        f"pytorch: {{device: cpu}}\nprecision: fp32\nenergy: {{sources: [none]}}\n"
        f"sweep: {{model: [{models}]}}\nexecution: {{n_cycles: 1, config_gap_seconds: 0}}\n"
    )
    code = run_study_command(file, output=tmp_path / "results", measure=measures.quick)
    printed = capsys.readouterr()
    safe(printed.out, printed.err)
    assert code == 0
    for name in names:
        assert one_line(name) in printed.out
    folder = only_folder(tmp_path / "results")
    for command in ("show", "resume"):
        done = llem("study", command, folder)
        safe(done.stdout, done.stderr)
        assert done.returncode == 0
    valid_json(llem("study", "show", folder, "--json").stdout)


def test_show_of_a_result_whose_every_text_is_hostile(llem: Run, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    result = msgspec.json.decode((DATA / "study_result_v2.json").read_bytes())
    texts = [text for text in STRINGS.values() if not any("\ud800" <= c <= "\udfff" for c in text)]
    point = result["summary"]["points"][0]
    result["summary"]["points"] = [{**point, "label": text} for text in texts]
    result["summary"]["warnings"] = dict.fromkeys(texts, 1)
    for text in texts:
        failure = {"index": 1, "cycle": 1, "config_hash": text, "label": text}
        result["failed"].append({**failure, "error_type": text, "error_message": text})
        result["skipped"].append({"config": {"model": text}, "reason": text})
    result["summary"]["comparisons"]["caveats"] = texts
    result["study_name"] = "[/v1]\x1b[2J"
    (folder / "study_result.json").write_text(json.dumps(result))
    read_study_result(folder)  # it is a valid file
    manifest = msgspec.json.decode((DATA / "manifest_v2.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "completed"}))
    done = llem("study", "show", folder)
    safe(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) < 5000
    valid_json(llem("study", "show", folder, "--json").stdout)
    for width in ("80", "20", "1"):
        printed, code = in_terminal(tmp_path, "study", "show", str(folder), COLUMNS=width)
        safe(printed, terminal=True)
        assert code == 0
    printed, code = in_terminal(tmp_path, "study", "show", str(folder), TERM="dumb", NO_COLOR="1")
    safe(printed, terminal=True)
    assert "\x1b" not in printed
    assert code == 0


def test_show_of_a_manifest_whose_every_text_is_hostile(llem: Run, tmp_path: Path) -> None:
    manifest = msgspec.json.decode((DATA / "manifest_v2.json").read_bytes())
    entry = {**manifest["entries"][0], "status": "failed"}
    texts = [text for text in STRINGS.values() if not any("\ud800" <= c <= "\udfff" for c in text)]
    manifest["entries"] = [
        {**entry, "index": index, "label": text, "error_type": text, "error_message": text}
        for index, text in enumerate(texts, 1)
    ]
    manifest["status"] = "running"
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = llem("study", "show", folder)
    safe(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["plan", "validate", "run"])
def test_keys_values_and_file_names_in_the_errors_of_a_study_file(
    llem: Run, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "a\x1b[2J[v1]\u202e.yaml"
    lines = [f"{yaml_text(text)}: {yaml_text(text)}" for text in NAMES.values()]
    file.write_text("model: a/b\nn: " + yaml_text("\x1b[31m") + "\n" + "\n".join(lines) + "\n")
    done = llem("study", command, file)
    safe(done.stdout, done.stderr)
    assert done.returncode == 2
    assert r"a\x1b[2J[v1]\u202e.yaml:2:4: n: expected" in done.stderr
    faults = valid_json(llem("study", command, file, "--json").stdout)["faults"]
    assert {fault["file"] for fault in faults} == {str(file)}
    printed, _ = in_terminal(tmp_path, "study", command, str(file))
    safe(printed, terminal=True)


@pytest.mark.parametrize("kind", [kind for kind in STRINGS if kind not in ("null", "very long")])
def test_arguments_in_the_errors_of_the_command_line(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from llem_cli._app import run

    text = STRINGS[kind]
    for arguments in (["study", "show", text, text], ["study", "plan", "x", f"--{text}", text]):
        assert run([*arguments, "--json"]) == 2
        printed = capfd.readouterr()
        valid_json(printed.out)
        safe(printed.err)
    assert run(["study", "plan", f"no such {text}", "--json"]) == 2
    printed = capfd.readouterr()
    valid_json(printed.out)
    safe(printed.err)


@pytest.mark.parametrize("kind", STRINGS)
def test_progress_and_the_result_of_an_experiment(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = STRINGS[kind]
    with Progress(quiet=False, verbose=True) as progress:
        progress(PreflightWarning(text))
        progress(RunStarted(index=1, cycle=1, label=text))
        progress(RunStage(index=1, stage=text))
        progress(RunFailed(index=1, seconds=1.0, error_type=text, message=text, log=Path("log")))
    show_experiment_result(
        make_result(experiment(), measurement_warnings=(text,), energy_source=text)
    )
    source = DiagnosedSource(name=text, kind=None, available=False, reason=text)
    empty: dict[str, Any] = {"measurable": False, "gpus": (), "silent_gpus": (), "domains": ()}
    show_diagnosis(Diagnosis(sources=(source,), problems=(text,), versions={text: text}, **empty))
    printed = capsys.readouterr()
    safe(printed.out, printed.err)
    bar = StatusBar(Console(file=sys.stdout, width=80), disable=False)
    bar.show_status(text)
    Console(file=sys.stdout, width=80).print(bar.get_renderable())
    safe(capsys.readouterr().out)


def test_a_message_of_many_lines_is_indented_and_limited() -> None:
    assert message_lines("E: a\nresults: /forged\n") == ["E: a", "    results: /forged"]
    many = message_lines("\n".join(map(str, range(100))))
    assert (len(many), many[-1]) == (11, "    ... and 90 more lines")


@pytest.mark.parametrize("name", ["it's", "a b", "a\x1bb", "a\nb", "a\udcff\u202e'\\", "日本"])
def test_the_command_that_continues_a_study_can_be_pasted(name: str) -> None:
    command = resume_command(Path(name)).strip("`")
    safe(command)
    script = command.replace("llem-cli study resume", "printf %s")
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout == os.fsencode(name)


def test_only_the_console_module_calls_rich_with_text() -> None:
    """A string that reaches rich in another way may be parsed as markup."""
    calls = []
    for file in CLI.rglob("*.py"):
        if file.name in ("console.py", "streams.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "rich.text":
                calls.append(f"{file.name}: imports rich.text")
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                is_print = called.endswith((".print", ".add_row", ".print_json", ".log", ".rule"))
                if is_print or called in ("print", "Text", "Table", "sys.stdout.write"):
                    calls.append(f"{file.name}: {called}")
    assert calls == []


ASCII = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LANG": "C", "LC_ALL": "C"}


def test_an_ascii_terminal_shows_escapes_and_no_command_fails(
    llem: Run, tmp_path: Path, study: Path
) -> None:
    plan = llem("study", "plan", study, **ASCII)
    safe(plan.stdout, plan.stderr)
    assert plan.returncode == llem("study", "plan", study).returncode
    assert plan.stdout.isascii()
    assert r"\u65e5\u672c" in plan.stdout
    data = json.loads(llem("study", "plan", study, "--json", **ASCII).stdout)
    assert f"./m-{STRINGS['wide']}" in [point["config"]["model"] for point in data["points"]]
    shown = llem("--help", **ASCII)
    assert (shown.returncode, shown.stderr) == (0, "")
    folder = tmp_path / "result"
    folder.mkdir()
    for name, target in (("study_result_v2", "study_result"), ("manifest_v2", "manifest")):
        (folder / f"{target}.json").write_bytes((DATA / f"{name}.json").read_bytes())
    shown = llem("study", "show", folder, **ASCII)
    assert shown.returncode == 0, shown.stderr
    assert "+/-: half-width" in shown.stdout


def test_a_closed_pipe_ends_a_command_without_a_traceback(tmp_path: Path, study: Path) -> None:
    """The reader takes one line, as `head -1` does; the output is larger than a pipe."""
    program = [sys.executable, "-m", "llem_cli", "study", "plan", str(study), "--json"]
    for arguments in (program, [*program, "--cycles", "100"]):
        process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read().decode()
        assert (process.wait(), errors) == (1, "")
        process.stderr.close()
