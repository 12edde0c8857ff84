"""Use llem with the files, on the machine and under the disturbances of a hostile stranger.

    uv run python benchmarks/hostile_campaign.py [--short] [--kind K] [--case I] [--seed N]

Each kind runs a number of cases: real processes, pipes, locks and files, with a stand-in for the measurement. It
is a fault if llem ends in a traceback or "error in llem itself", hangs, uses 0.8 GB of memory, prints a
control character, changes or creates a file outside the study's folder, loses or changes a completed
result, exits with a code that is not documented, or leaves a process or a temporary file.

Prints kind, tries and faults, and exits with code 1 after any fault. A fault is printed with the
arguments that reproduce it. Started by root, it runs a second time as an ordinary user.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import itertools
import multiprocessing
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
_PATHS = [str(ROOT), str(ROOT / "tests")]  # benchmarks and stand-ins are not installed
sys.path[:0] = _PATHS
os.environ["PYTHONPATH"] = os.pathsep.join([*_PATHS, os.environ.get("PYTHONPATH", "")]).rstrip(":")

from benchmarks.hostile import (  # noqa: E402
    callers,
    disks,
    environments,
    folders,
    inputs,
    kills,
    texts,
    users,
)
from benchmarks.hostile.machine import (  # noqa: E402
    as_ordinary_user,
    in_own_mounts,
    make_python_reachable,
)
from benchmarks.hostile.place import FaultFound, Kind, new_place  # noqa: E402
from benchmarks.hostile.process import adopt_orphans  # noqa: E402

KINDS: tuple[Kind, ...] = (
    *(*kills.KINDS, *disks.KINDS, *users.KINDS, *folders.KINDS, *inputs.KINDS, *texts.KINDS),
    *(*environments.KINDS, *callers.KINDS),
)
_IMPORTED = (
    *("asyncio", "platformdirs", "pydantic_settings", "fakes.measures", "llem_cli._app"),
    *(f"llem_cli._commands.{name}" for name in ("study.plan", "study.resume", "study.show")),
    *(f"llem_energy._backends.pytorch.{name}" for name in ("facts", "model_kind")),
)
_MAX_SHOWN = 20  # faults of one kind


class Tried(NamedTuple):
    """What some cases of a kind did."""

    n_tries: int
    faults: tuple[tuple[int, str], ...]
    """Number of the case, and what happened."""


def try_cases(name: str, seed: int, numbers: Sequence[int]) -> Tried:
    """Run some cases of a kind in this process."""
    (kind,) = (kind for kind in KINDS if kind.name == name)
    n_tries, faults = 0, []
    with tempfile.TemporaryDirectory(prefix="hostile-") as parent:
        Path(parent).chmod(0o755)
        for number in numbers:
            rng = random.Random(f"{seed}:{name}:{number}")  # not for cryptography
            n_tries += 1
            try:
                with new_place(Path(parent)) as place:
                    n_tries += kind.run(place, rng, number) - 1
            except (FaultFound, AssertionError) as fault:
                faults.append((number, str(fault)))
            except Exception:  # noqa: BLE001  # a fault of the campaign, or of llem in this process
                faults.append((number, traceback.format_exc()))
    return Tried(n_tries, tuple(faults))


def _prepare() -> None:
    """Import what the cases need once, so that forked processes have it."""
    adopt_orphans()
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # a forked process then shares the memory


def campaign(kinds: Sequence[Kind], seed: int, *, short: bool, n_processes: int) -> bool:
    """Run all cases, print the table, and return whether there was no fault."""
    spawn = multiprocessing.get_context("spawn")
    print(f"{'kind':<24}{'tries':>8}{'faults':>8}{'seconds':>9}", flush=True)
    n_tries = n_faults = 0
    # Kinds share processes, each of which imports llem first. Those that read broken inputs do it in
    # the process itself, which then has torch.
    for _, group in itertools.groupby(kinds, key=lambda kind: kind in inputs.KINDS):
        with ProcessPoolExecutor(n_processes, mp_context=spawn, initializer=_prepare) as pool:
            for kind in group:
                start_s = time.monotonic()
                n_cases = kind.n_short if short else kind.n_full
                parts = [range(first, n_cases, n_processes) for first in range(n_processes)]
                tasks = zip(*((kind.name, seed, part) for part in parts), strict=True)
                tried = list(pool.map(try_cases, *tasks))
                faults = sorted(fault for part in tried for fault in part.faults)
                n_kind = sum(part.n_tries for part in tried)
                seconds = time.monotonic() - start_s
                print(f"{kind.name:<24}{n_kind:>8}{len(faults):>8}{seconds:>9.0f}", flush=True)
                _show(kind.name, seed, faults)
                n_tries, n_faults = n_tries + n_kind, n_faults + len(faults)
    user = "root" if os.geteuid() == 0 else "an ordinary user"
    print(f"{'all, as ' + user:<24}{n_tries:>8}{n_faults:>8}", flush=True)
    return n_faults == 0


def _show(kind: str, seed: int, faults: Sequence[tuple[int, str]]) -> None:
    for number, problem in faults[:_MAX_SHOWN]:
        print(f"  --kind {kind} --case {number} --seed {seed}: {problem!s}")
    if len(faults) > _MAX_SHOWN:
        print(f"  ... and {len(faults) - _MAX_SHOWN} more")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = [kind.name for kind in KINDS]
    parser.add_argument("--short", action="store_true", help="a minute instead of half an hour")
    parser.add_argument("--kind", choices=names, action="append", help="repeatable; default: all")
    parser.add_argument("--case", type=int, help="one case of a kind")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--only-this-user", action="store_true", help="not as an ordinary user too")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if (code := in_own_mounts(given)) is not None:
        return code
    kinds = [kind for kind in KINDS if options.kind is None or kind.name in options.kind]
    ordinary = [kind for kind in kinds if not kind.only_root]
    if os.geteuid() == 0:
        make_python_reachable()
    else:
        kinds = ordinary
    if options.case is not None:
        _prepare()
        tried = try_cases(kinds[0].name, options.seed, [options.case])
        _show(kinds[0].name, options.seed, tried.faults)
        return 1 if tried.faults else 0
    is_good = campaign(kinds, options.seed, short=options.short, n_processes=options.processes)
    if os.geteuid() == 0 and ordinary and not options.only_this_user:
        is_good = as_ordinary_user(given) == 0 and is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
