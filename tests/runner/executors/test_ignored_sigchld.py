"""A caller that ignores SIGCHLD, as some servers do (STU-04)."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import measures
from fakes.studies import experiment

from llem_runner import run_isolated
from llem_runner.executors import Failed, Finished, Measure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def ignored_sigchld() -> Iterator[None]:
    """A caller that ignores SIGCHLD: the kernel then discards the exit codes of its processes."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("ignored_sigchld")
@pytest.mark.parametrize("measure", [measures.killed, measures.exits])
def test_an_exit_code_that_the_kernel_discards_is_called_unknown(
    tmp_path: Path, measure: Measure
) -> None:
    failure = run_isolated(experiment(), measure=measure, log=tmp_path / "log", timeout_s=60)
    assert isinstance(failure, Failed), failure
    assert (failure.error_type, failure.reason) == ("ProcessDied", "exit_unknown")
    assert "its exit code is unknown, because this program ignores SIGCHLD" in failure.message
    assert "exit code 0" not in failure.message


@pytest.mark.usefixtures("ignored_sigchld")
def test_a_run_does_not_inherit_that_its_caller_ignores_sigchld(tmp_path: Path) -> None:
    outcome = run_isolated(
        experiment(),
        measure=measures.starts_a_program_that_fails,
        log=tmp_path / "log",
        timeout_s=60,
    )
    assert isinstance(outcome, Finished), outcome
    assert outcome.result.effective_config == {"exit_code": 3}
