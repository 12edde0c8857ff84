"""Executors of other packages, passed to `run_study` or named in the settings (STU-01)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from fakes import measures
from fakes.executors import RecordingExecutor
from fakes.studies import only_folder, study

from llem_config import ExperimentConfig, Settings
from llem_energy import read_result
from llem_runner import StudyError, StudyResult, read_manifest, resume_study, run_study
from llem_runner.executors import (
    InlineExecutor,
    LocalExecutor,
    executor_names,
    find_executor,
)

DIST_INFO = "llem_recording-1.0.dist-info"
ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "new-executor.md"


def settings(executor: str) -> Settings:
    return Settings.model_validate({"execution": {"executor": executor}})


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package that names its executors in the entry-point group."""
    folder = tmp_path / "site-packages" / DIST_INFO
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: llem-recording\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[llem.executors]\n"
        "recording = fakes.executors:make_executor\n"
        "broken = fakes.executors:no_such_name\n"
    )
    monkeypatch.syspath_prepend(folder.parent)


def statuses(result: StudyResult, folder: Path) -> list[str]:
    assert result.status == read_manifest(folder).status
    return [entry.status for entry in read_manifest(folder).entries]


def test_a_study_measures_every_run_with_the_given_executor(tmp_path: Path) -> None:
    executor = RecordingExecutor()
    study_config = study((1, 2), timeout_seconds=50, stall_seconds=20)
    result = run_study(study_config, output=tmp_path, measure=measures.quick, executor=executor)
    folder = only_folder(tmp_path)
    assert statuses(result, folder) == ["completed", "completed"]
    assert [call for call in executor.calls if call[0] != "close"] == [
        ("start", 1),
        ("measure", 1),
        ("start", 2),  # started ahead, because the result of run 1 has arrived
        ("measure", 2),
    ]
    assert {call for call in executor.calls if call[0] == "close"} == {("close", 1), ("close", 2)}
    assert [path.read_text() for path in sorted(folder.glob("*/log.txt"))] == [
        "log of run 1\n",
        "log of run 2\n",
    ]
    configs = [ExperimentConfig.model_validate_json(task.config) for task in executor.tasks]
    assert configs == list(study_config.experiments)
    assert executor.tasks[0].timeout_s == 50
    assert executor.tasks[0].stall_s == 20 + study_config.experiments[0].baseline.duration_seconds


@pytest.mark.parametrize(("enforces", "timeout_s"), [(True, 50.0), (False, None)])
def test_the_record_has_the_timeout_only_if_the_executor_enforces_it(
    tmp_path: Path, enforces: bool, timeout_s: float | None
) -> None:
    executor = RecordingExecutor(enforces_limits=enforces)
    study_config = study((1, 2), timeout_seconds=50)
    result = run_study(study_config, output=tmp_path, measure=measures.quick, executor=executor)
    assert result.measurement_protocol.timeout_seconds == timeout_s
    assert (result.measurement_protocol.stall_seconds is None) is (timeout_s is None)


def test_resume_study_accepts_an_executor(tmp_path: Path) -> None:
    study_config = study((1, measures.BAD_N))
    first = RecordingExecutor()
    result = run_study(
        study_config, output=tmp_path, measure=measures.fails_at_bad_n, executor=first
    )
    folder = only_folder(tmp_path)
    assert statuses(result, folder) == ["completed", "failed"]
    second = RecordingExecutor()
    result = resume_study(folder, measure=measures.quick, executor=second)
    assert statuses(result, folder) == ["completed", "completed"]
    assert second.calls == [("start", 2), ("measure", 2), ("close", 2)]


@pytest.mark.usefixtures("_installed")
def test_an_installed_executor_is_found_by_the_name_in_the_settings(tmp_path: Path) -> None:
    assert executor_names() == ("broken", "inline", "local", "recording")
    study_config = study((1, 2), timeout_seconds=50)
    output = tmp_path / "results"
    result = run_study(
        study_config, output=output, measure=measures.quick, settings=settings("recording")
    )
    folder = only_folder(output)
    assert statuses(result, folder) == ["completed", "completed"]
    assert result.measurement_protocol.timeout_seconds == 50
    assert (folder / result.result_files[0]).with_name("log.txt").read_text() == "log of run 1\n"


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "slurm",
            "execution.executor: expected one of auto, broken, inline, local, recording, "
            "found 'slurm'",
        ),
        ("broken", "the executor 'broken' of llem-recording cannot be used: AttributeError"),
    ],
)
def test_an_executor_that_cannot_be_used_is_an_error_before_anything_is_written(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(StudyError) as caught:
        run_study(
            study((1, 2)),
            output=tmp_path / "results",
            measure=measures.quick,
            settings=settings(name),
        )
    assert message in str(caught.value)
    assert not list((tmp_path / "results").glob("*"))


def test_the_setting_overrides_the_automatic_choice(tmp_path: Path) -> None:
    """`inline` measures several runs in this process, `local` a single run in a child process."""
    assert isinstance(find_executor("local"), LocalExecutor)
    assert isinstance(find_executor("inline"), InlineExecutor)
    pids: dict[str, list[int]] = {}
    for name, ns in (("inline", (1, 2)), ("local", (1,))):
        output = tmp_path / name
        run_study(study(ns), output=output, measure=measures.quick, settings=settings(name))
        files = sorted(only_folder(output).glob("*/result.json"))
        pids[name] = [read_result(file).effective_config["pid"] for file in files]
    assert pids["inline"] == [os.getpid()] * 2
    assert len(pids["local"]) == 1
    assert pids["local"][0] != os.getpid()


def test_the_executor_of_the_documentation_measures_in_processes_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGE.read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (entry_point,) = re.findall(r"^(command = )\"(.*)\"$", page, re.MULTILINE)
    site = tmp_path / "site-packages"
    described = site / "llem_command-1.0.dist-info"
    described.mkdir(parents=True)
    (site / "llem_command.py").write_text(code)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: llem-command\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[llem.executors]\n" + "".join(entry_point) + "\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT / "tests")]))
    output = tmp_path / "results"
    result = run_study(
        study((1, measures.BAD_N, 2)),
        output=output,
        measure=measures.fails_at_bad_n,
        settings=settings("command"),
    )
    folder = only_folder(output)
    assert sorted(statuses(result, folder)) == ["completed", "completed", "failed"]
    pids = {
        read_result(file).effective_config["pid"] for file in sorted(folder.glob("*/result.json"))
    }
    assert len(pids - {os.getpid()}) == 2
