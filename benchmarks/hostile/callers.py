"""Programs that call the library from threads, daemonic processes, deleted folders, closed streams."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.hostile.place import FaultFound, Kind, Place

_TIMEOUT_S = 120.0
_EXIT_S = 10.0  # for processes that the program has started
_HEAD = """
import json, multiprocessing, os, signal, sys, threading
from pathlib import Path
from fakes import measures
from fakes.studies import study
from llem_config import LlemError
from llem_runner import read_manifest, run_experiment, run_study

def work(n):
    try:
        result = run_study(study((n,)), output=OUTPUT / str(n), measure=measures.quick)
        return result.status
    except LlemError as error:
        assert "\\n" not in str(error), error
        return f"sentence: {error}"

OUTPUT = Path(sys.argv[1])
"""
_PROGRAMS = {
    "threads": """
if __name__ == "__main__":
    before, said = (sys.stdout, sys.stderr, sys.stdin, os.getcwd(), dict(os.environ)), []
    threads = [threading.Thread(target=lambda n=n: said.append(work(n))) for n in range(1, 4)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    assert said == ["completed"] * 3, said
    assert before == (sys.stdout, sys.stderr, sys.stdin, os.getcwd(), dict(os.environ))
    print("done")
""",
    "a thread beside the main thread": """
if __name__ == "__main__":
    before, said = signal.getsignal(signal.SIGINT), []
    thread = threading.Thread(target=lambda: said.append(work(1)))
    thread.start()
    said.append(work(2))
    thread.join()
    assert said == ["completed"] * 2, said
    assert signal.getsignal(signal.SIGINT) == before
    print("done")
""",
    "a daemonic process": """
def child(pipe):
    pipe.send(work(1))

if __name__ == "__main__":
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=child, args=(there,), daemon=True)
    process.start()
    assert here.poll(100), "no answer"
    said = here.recv()
    process.join()
    assert said == "completed" or said.startswith("sentence"), said
    assert said == "completed" or not list(OUTPUT.glob("*/*")), "a folder was made"
    print("done")
""",
    "a pool": """
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        said = pool.map(work, [1, 2])
    assert all(each == "completed" or each.startswith("sentence") for each in said), said
    print("done")
""",
    "a forked process": """
if __name__ == "__main__":
    pid = os.fork()
    if pid == 0:
        os._exit(0 if work(1) == "completed" else 1)
    assert os.waitpid(pid, 0)[1] == 0
    print("done")
""",
    "a script without a guard": """
said = work(1)
print("done")
""",
    "standard input": """
print("done", work(1))
""",
    "an event loop, as in a notebook": """
import asyncio

async def cell():
    return work(1)

if __name__ == "__main__":
    assert asyncio.run(cell()) == "completed"
    print("done")
""",
    "a frozen program": """
if __name__ == "__main__":
    sys.frozen = True
    said = work(1)
    assert said.startswith("sentence"), said
    assert not list(OUTPUT.glob("*/*")), "a folder was made"
    print("done")
""",
    "a deleted working directory": """
if __name__ == "__main__":
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")
    said = work(1)
    assert said == "completed" or said.startswith("sentence"), said
    print("done")
""",
    "an ignored SIGCHLD": """
if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    said = work(1)
    assert said == "completed" or said.startswith("sentence"), said
    print("done")
""",
    "a callback that raises": """
class Bad(Exception):
    pass

def on_event(event):
    raise Bad

if __name__ == "__main__":
    try:
        run_study(study((1,)), output=OUTPUT, measure=measures.quick, on_event=on_event)
    except (Bad, LlemError):
        pass
    for folder in OUTPUT.glob("*"):
        read_manifest(folder)
    print("done")
""",
    "closed streams": """
if __name__ == "__main__":
    for number in range(3):
        os.close(number)
    said = work(1)
    Path("said").write_text(said)
    os._exit(0 if said == "completed" else 1)
""",
}


def call_library(place: Place, rng: random.Random, index: int) -> int:
    """Run a program that calls the library in an unusual way."""
    del rng
    name = list(_PROGRAMS)[index % len(_PROGRAMS)]
    text = _HEAD + _PROGRAMS[name]
    file = place.work / "program.py"
    file.write_text(text)
    output = place.work / "results"
    arguments = ["-", output] if name == "standard input" else [file, output]
    before = place.snapshot(place.work)
    done = subprocess.run(
        [sys.executable, *arguments],
        input=text if name == "standard input" else "",
        cwd=place.work, env=place.environment(), capture_output=True, text=True, check=False,
        timeout=_TIMEOUT_S,
    )  # fmt: skip
    place.check(before, place.work)
    if done.returncode != 0 or (name != "closed streams" and "done" not in done.stdout):
        raise FaultFound(f"{name}: exit code {done.returncode}: {done.stdout} {done.stderr[-800:]}")
    if "Traceback" in done.stderr:
        raise FaultFound(f"{name}: {done.stderr[-800:]}")
    deadline_s = time.monotonic() + _EXIT_S
    while (left := _processes_in(place.work)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    if left:
        raise FaultFound(f"{name}: processes are left over: {left}")
    if left := sorted(path.name for path in place.scratch.iterdir()):
        raise FaultFound(f"{name}: temporary files are left over: {left}")
    return 1


def _processes_in(folder: Path) -> list[str]:
    """Return the processes that work in a folder."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                lines.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return lines


KINDS = (Kind("unusual caller", call_library, len(_PROGRAMS), 2 * len(_PROGRAMS)),)
