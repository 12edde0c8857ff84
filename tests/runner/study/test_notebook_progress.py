"""`run_study(progress=True)` in a notebook: one output of the cell, in a real IPython shell."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.measures import BAD_N, fails_at_bad_n, reports_its_stages
from fakes.studies import study
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.terminal.interactiveshell import TerminalInteractiveShell

from llem_runner import run_study
from llem_runner._study.notebook_progress import NotebookProgress, notebook_display
from llem_runner.events import Note


def shell_of(kind: type[InteractiveShell]) -> Iterator[InteractiveShell]:
    kind.clear_instance()
    shell = kind.instance()
    try:
        yield shell
    finally:
        # IPython keeps the history of a shell in a database, which has a thread.
        shell.history_manager.end_session()  # type: ignore[union-attr]
        kind.clear_instance()


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """Return a shell of IPython outside a terminal, which keeps what cells display."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for shell in shell_of(InteractiveShell):
        publisher: Any = CapturingDisplayPublisher
        shell.display_pub = publisher(parent=shell)
        yield shell


def outputs(shell: InteractiveShell) -> list[dict[str, Any]]:
    publisher: Any = shell.display_pub
    found: list[dict[str, Any]] = publisher.outputs
    return found


def page_text(output: dict[str, Any]) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", output["data"]["text/html"]))


def test_a_cell_has_one_output_that_is_changed(
    notebook: InteractiveShell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.user_ns |= {
        "run_study": run_study, "study": study((1,), n_cycles=2), "measure": reports_its_stages,
        "folder": tmp_path / "results",
    }  # fmt: skip
    shell: Any = notebook
    done = shell.run_cell(
        "result = run_study(study, output=folder, measure=measure, progress=True)"
    )
    done.raise_error()
    assert capsys.readouterr().err == ""
    first, *later = outputs(notebook)
    assert first["update"] is False
    assert all(output["update"] for output in later)
    assert len({output["transient"]["display_id"] for output in (first, *later)}) == 1
    texts = [output["data"]["text/plain"] for output in (first, *later)]
    assert any(re.search(r"run 1 .*: load since \d\d:\d\d:\d\d$", text, re.M) for text in texts)
    assert any(re.search(r"run 2 .*: load since .*, about 1 s$", text, re.M) for text in texts)
    last = page_text(later[-1])
    assert len(re.findall(r"tokens/s, .* J/token", last)) == 2
    assert "2 of 2 runs" in last
    assert last.rstrip().endswith("completed")
    assert '<progress value="2" max="2">' in later[-1]["data"]["text/html"]


def test_a_failed_run_stays_visible(notebook: InteractiveShell, tmp_path: Path) -> None:
    run_study(study((1, BAD_N)), output=tmp_path / "r", measure=fails_at_bad_n, progress=True)
    last = page_text(outputs(notebook)[-1])
    assert "failed: " in last
    assert "resume_study(" in last


def test_text_of_other_people_is_not_html() -> None:
    progress = NotebookProgress()
    progress.add(Note("<script>x</script>"), "note: <script>x</script>")
    assert "<script>" not in progress._repr_html_()
    assert "&lt;script&gt;" in progress._repr_html_()


def test_a_long_study_keeps_its_last_lines() -> None:
    progress = NotebookProgress()
    for n in range(500):
        progress.add(Note(str(n)), f"note: {n}")
    lines = repr(progress).splitlines()
    assert lines[0] == "(480 earlier lines)"
    assert lines[1:] == [f"note: {n}" for n in range(480, 500)]


def test_ipython_in_a_terminal_and_plain_python_get_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notebook_display() is None
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for _ in shell_of(TerminalInteractiveShell):
        assert notebook_display() is None
