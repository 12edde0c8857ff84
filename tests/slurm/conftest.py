"""A real Slurm for the tests of a file; skipped where there is none, unless CI asks for it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm.daemons import missing
from slurm.loopback import Loopback, started

# Read at once: no test sees a variable of llem.
REQUIRED = bool(os.environ.get("LLEM_REQUIRE_SLURM"))


def check_possible(*, accounting: bool = False) -> None:
    """Skip the test if no Slurm can be started here; fail it where one is required."""
    if reason := missing(accounting=accounting):
        if REQUIRED:
            pytest.fail(f"LLEM_REQUIRE_SLURM is set, but no Slurm can be started: {reason}")
        pytest.skip(reason)


@pytest.fixture(scope="session")
def unconfigured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """Submit without a slurm.conf while other tests run, because Slurm takes a minute to say so."""
    check_possible()
    folder = tmp_path_factory.mktemp("unconfigured")
    code = (
        "import sys; from pathlib import Path; from llem_slurm import Slurm; from slurm.plans import plan_of; "
        "Slurm({'python': '/bin/true', 'max_array': 9}).submit(plan_of(Path(sys.argv[1]), 2), [1, 2])"
    )
    names = {"PYTHONPATH": str(Path(__file__).parents[1]), "SLURM_CONF": f"{folder}/absent.conf"}
    with subprocess.Popen(
        [sys.executable, "-c", code, folder],
        env={**os.environ, **names},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def plain_slurm(unconfigured: object) -> Iterator[Loopback]:
    """Yield a Slurm without accounting, with two nodes."""
    check_possible()
    with started() as slurm:
        yield slurm


@pytest.fixture(scope="module")
def accounted_slurm(unconfigured: object) -> Iterator[Loopback]:
    """Yield a Slurm with accounting, limits and, where this machine has them, control groups."""
    check_possible(accounting=True)
    with started(accounting=True) as slurm:
        yield slurm


@pytest.fixture
def on_slurm(plain_slurm: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Let this process reach the Slurm without accounting; its queue is empty before and after."""
    yield from reached(plain_slurm, monkeypatch)


@pytest.fixture
def on_accounted(accounted_slurm: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Let this process reach the Slurm with accounting; its queue is empty before and after."""
    yield from reached(accounted_slurm, monkeypatch)


def reached(slurm: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Let this process reach a Slurm; its queue is empty before and after."""
    for name in [name for name in os.environ if name.startswith(("SLURM", "SBATCH"))]:
        monkeypatch.delenv(name)
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm.environment[name])
    yield slurm
    slurm.empty()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the empty folder of a study."""
    made = tmp_path / f"study_20260131T120000Z_{secrets.token_hex(3)}"
    made.mkdir()
    return made
