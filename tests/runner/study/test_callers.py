"""Every kind of program can run a study, and a study changes nothing in its program (STU-01)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import measures
from fakes.studies import only_folder, study

from llem_runner import StudyError, resume_study, run_study
from llem_runner.events import StudyStarted

TESTS = Path(__file__).parents[2]
RUN = """
import sys
from fakes import measures
from fakes.studies import study
from llem_runner import StudyError, resume_study, run_study
from llem_runner.events import StudyStarted
print(run_study(study({lengths}), output={output!r}, measure=measures.noisy).status)
"""


def call(
    command: Sequence[str | Path], folder: Path, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program whose modules include those of the tests."""
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.run(
        command, cwd=folder, env=env, input=stdin, capture_output=True, text=True, check=False
    )


def check_completed(done: subprocess.CompletedProcess[str], results: Path, n_runs: int) -> None:
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["completed"], "")
    logs = sorted(only_folder(results).glob("*/log.txt"))
    lines = {"from python", "from native stdout", "from native stderr"}
    assert [set(log.read_text().splitlines()) for log in logs] == [lines] * n_runs


@pytest.mark.parametrize("lengths", [(1,), (1, 2)])
@pytest.mark.parametrize("kind", ["script", "command", "stdin", "zip", "module"])
def test_a_program_needs_no_main_guard(tmp_path: Path, kind: str, lengths: tuple[int, ...]) -> None:
    results = tmp_path / "results"
    code = RUN.format(lengths=lengths, output=str(results))
    program = tmp_path / "a folder with spaces"  # no module can be imported from there by its name
    program.mkdir()
    (program / "my-study.py").write_text(code)
    (program / "package").mkdir()
    (program / "package" / "__main__.py").write_text(code)
    with zipfile.ZipFile(program / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", code)
    commands: dict[str, list[str | Path]] = {
        "script": [sys.executable, program / "my-study.py"],
        "command": [sys.executable, "-c", code],
        "stdin": [sys.executable, "-"],
        "zip": [sys.executable, program / "app.pyz"],
        "module": [sys.executable, "-m", "package"],
    }
    done = call(commands[kind], program, stdin=code if kind == "stdin" else None)
    check_completed(done, results, len(lengths))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_daemonic_process_runs_a_study(tmp_path: Path, method: str) -> None:
    code = RUN.format(lengths=(1, 2), output=str(tmp_path / "results"))
    daemon = (
        "import multiprocessing\n"
        f"def work():\n    exec({code!r}, {{}})\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context(METHOD).Process(target=work, daemon=True)\n"
        "    process.start()\n"
        "    process.join()\n"
        "    raise SystemExit(process.exitcode)\n"
    ).replace("METHOD", repr(method))
    (tmp_path / "daemon.py").write_text(daemon)
    done = call([sys.executable, "daemon.py"], tmp_path)
    check_completed(done, tmp_path / "results", 2)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_program_without_standard_streams_runs_a_study(tmp_path: Path, closed: str) -> None:
    code = RUN.format(lengths=(1, 2), output=str(tmp_path / "results"))
    (tmp_path / "script.py").write_text(code)
    done = call(["sh", "-c", f"exec {sys.executable} script.py {closed}"], tmp_path)
    assert done.returncode == 0
    logs = sorted(only_folder(tmp_path / "results").glob("*/log.txt"))
    assert [len(log.read_text().splitlines()) for log in logs] == [3, 3]


def test_too_few_descriptors_are_a_sentence_before_anything_is_written(tmp_path: Path) -> None:
    code = RUN.format(lengths=(1, 2), output=str(tmp_path / "results"))
    (tmp_path / "script.py").write_text(code)
    done = call(["sh", "-c", f"ulimit -n 16; exec {sys.executable} script.py"], tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "llem_runner._errors.StudyError: a study needs 32 free file descriptors: Too many open"
    )
    assert not (tmp_path / "results").exists()


FROZEN = """
import multiprocessing, sys
interpreter, sys.frozen = sys.executable, True
if sys.argv[1:]:
    multiprocessing.set_executable(interpreter)
    sys.executable = "/program/without/python"
"""


def test_a_frozen_program_needs_the_name_of_an_interpreter(tmp_path: Path) -> None:
    """A simulation: the programs of freezing tools set `sys.frozen` in the same way."""
    code = FROZEN + RUN.format(lengths=(1, 2), output=str(tmp_path / "results"))
    (tmp_path / "script.py").write_text(code)
    done = call([sys.executable, "script.py"], tmp_path)
    assert done.returncode == 1
    assert "multiprocessing.set_executable(PATH)" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "results").exists()
    done = call([sys.executable, "script.py", "with interpreter"], tmp_path)
    check_completed(done, tmp_path / "results", 2)


IN_MAIN = """
from fakes import measures
from fakes.studies import study
from llem_runner import StudyError, resume_study, run_study
from llem_runner.events import StudyStarted
def mine(config, **rest):
    return measures.quick(config, **rest)
def start():
    print(run_study(study((1, 2)), output="results", measure=mine).status)
"""


def test_a_measure_in_the_main_script_needs_the_main_guard(tmp_path: Path) -> None:
    (tmp_path / "guarded.py").write_text(IN_MAIN + "if __name__ == '__main__':\n    start()\n")
    done = call([sys.executable, "guarded.py"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "completed\n", "")
    (tmp_path / "results").rename(tmp_path / "first")
    (tmp_path / "not_guarded.py").write_text(IN_MAIN + "start()\n")
    done = call([sys.executable, "not_guarded.py"], tmp_path)
    assert done.returncode == 1
    assert 'below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
    assert done.stderr.count("Traceback") == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("kind", ["command", "stdin"])
def test_a_measure_in_a_program_without_a_file_is_refused(tmp_path: Path, kind: str) -> None:
    code = IN_MAIN + "start()\n"
    arguments = {"command": ["-c", code], "stdin": ["-"]}[kind]
    done = call([sys.executable, *arguments], tmp_path, stdin=code)
    assert done.returncode == 1
    assert "define it in a module" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


SNAPSHOT = """
import json, locale, logging, multiprocessing, os, resource, signal, socket, sys, threading, warnings
from fakes import measures
from fakes.studies import study, model_folder
from llem_runner import resume_study, run_study
from llem_runner.events import RunStarted

def umask():
    value = os.umask(0)
    os.umask(value)
    return value

def snapshot():
    return {
        "streams": [id(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "hooks": [str(hook) for hook in (sys.excepthook, sys.unraisablehook, threading.excepthook)],
        "arguments": [sys.argv, sys.path, sys.warnoptions],
        "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "mask": sorted(map(str, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask(),
        "filters": [str(entry) for entry in warnings.filters],
        "logging": [str(logging.root.handlers), logging.root.level, logging.root.manager.disable],
        "start method": multiprocessing.get_start_method(allow_none=True),
        "children": str(multiprocessing.active_children()),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "limits": [resource.getrlimit(getattr(resource, name)) for name in dir(resource)
                   if name.startswith("RLIMIT_")],
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": sorted(os.sched_getaffinity(0)),
        "locale": locale.setlocale(locale.LC_ALL, None),
        "timeout": socket.getdefaulttimeout(),
        "tracing": [str(sys.gettrace()), str(sys.getprofile())],
        "recursion": sys.getrecursionlimit(),
    }

def raise_at_start(event):
    if isinstance(event, RunStarted):
        raise LookupError

def descriptors():
    return sorted(os.listdir("/proc/self/fd"))

if __name__ == "__main__":
    from llem_runner.executors import find_executor
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.umask(0o027)
    executor = find_executor(sys.argv[1])
    options = {"executor": executor, "output": "warm"}
    run_study(study((1,)), measure=measures.quick, **options)  # imports, caches
    before, n_before, different = snapshot(), len(descriptors()), {}
    for name, measure, on_event in (
        ("completed", measures.noisy, None),
        ("failed", measures.raises, None),
        ("stopped by an error", measures.quick, raise_at_start),
    ):
        try:
            run_study(study((1, 2)), measure=measure, on_event=on_event,
                      executor=executor, output=name)
        except LookupError:
            assert name == "stopped by an error"
        after = snapshot()
        different[name] = [key for key in before if before[key] != after[key]]
        different[name] += ["descriptors"] * (len(descriptors()) != n_before)
    print(json.dumps(different))
"""


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_a_study_changes_nothing_in_its_process(tmp_path: Path, executor: str) -> None:
    (tmp_path / "script.py").write_text(SNAPSHOT)
    done = call([sys.executable, "script.py", executor], tmp_path)
    assert done.returncode == 0, done.stderr
    different = json.loads(done.stdout.splitlines()[-1])
    assert different == {"completed": [], "failed": [], "stopped by an error": []}


THREADS = """
import sys, threading
from fakes import measures
from fakes.studies import study
from llem_runner import StudyError, resume_study, run_study
from llem_runner.events import StudyStarted
from llem_runner.executors import find_executor
streams = sys.stdin, sys.stdout, sys.stderr
statuses = {}
def work(i):
    result = run_study(study((1, 2)), output=f"results/{i}", measure=measures.noisy,
                       executor=find_executor(sys.argv[1]))
    statuses[i] = result.status
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert (sys.stdin, sys.stdout, sys.stderr) == streams
print("the streams work")
print(statuses[0], statuses[1], statuses[2], statuses[3], file=sys.stderr)
"""


@pytest.mark.parametrize(("executor", "n_lines"), [("local", 3), ("inline", 0)])
def test_studies_in_several_threads_keep_their_logs_apart(
    tmp_path: Path, executor: str, n_lines: int
) -> None:
    (tmp_path / "script.py").write_text(THREADS)
    done = call([sys.executable, "script.py", executor], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the streams work" in done.stdout.splitlines()
    assert done.stderr.splitlines()[-1] == "completed completed completed completed"
    logs = sorted((tmp_path / "results").glob("*/*/*/log.txt"))
    assert [len(log.read_text().splitlines()) for log in logs] == [n_lines] * 8


def test_a_module_in_the_working_directory_does_not_replace_one_of_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "llem_runner", "socket"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of another author')")
    monkeypatch.chdir(tmp_path)
    result = run_study(study((1, 2)), output=tmp_path / "results", measure=measures.quick)
    assert result.status == "completed"


def test_a_run_finds_the_modules_that_its_caller_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ma\udcefn").mkdir()  # a name that is not UTF-8
    (tmp_path / "ma\udcefn" / "my_measure.py").write_text("from fakes.measures import quick\n")
    monkeypatch.syspath_prepend(str(tmp_path / "ma\udcefn"))
    measure: Any = __import__("my_measure").quick
    result = run_study(study((1,)), output=tmp_path / "results", measure=measure)
    assert result.status == "completed"


def test_an_interpreter_that_is_gone_is_a_sentence_before_anything_is_written(
    tmp_path: Path,
) -> None:
    code = "import multiprocessing\nmultiprocessing.set_executable('/no/such/python')\n"
    code += RUN.format(lengths=(1, 2), output=str(tmp_path / "results"))
    done = call([sys.executable, "-c", code], tmp_path)
    assert done.returncode == 1
    assert "interpreter /no/such/python cannot be executed" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "results").exists()


def test_a_working_directory_that_was_removed_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "removed"
    folder.mkdir()
    code = "import os\nos.rmdir(os.getcwd())\n"
    code += RUN.format(lengths=(1, 2), output=str(tmp_path / "results"))
    done = call([sys.executable, "-c", code], folder)
    assert done.returncode == 1
    assert "working directory of this program cannot be used" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["caf\udce9", "a\0b"])
def test_a_folder_whose_name_is_not_utf_8_is_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match="expected names of folders in UTF-8"):
        run_study(study((1, 2)), output=f"{tmp_path}/{name}", measure=measures.quick)
    assert not list(tmp_path.glob("*caf*"))


def test_a_study_whose_folder_is_renamed_at_its_start_ends_with_a_sentence(tmp_path: Path) -> None:
    def rename(event: object) -> None:
        if isinstance(event, StudyStarted):
            event.folder.rename(tmp_path / "moved")

    with pytest.raises(StudyError, match="cannot be written: No such file or directory"):
        run_study(study((1, 2)), output=tmp_path / "out", measure=measures.quick, on_event=rename)
    assert list((tmp_path / "out").iterdir()) == []
    assert resume_study(tmp_path / "moved", measure=measures.quick).status == "completed"
