"""Does a study say which of its figures cannot be believed, and why? Exits with code 1 if not.

    uv run python benchmarks/doubtful_study.py [--keep PARENT]

Two studies of two points x two cycles run on the scripted driver of `tests/fakes`: one with an exact
energy counter, one with a counter that is 250 ms late. In the windows of one point of each, a
neighbour draws 150 W on the same GPU. Real are the command line, the processes, the meter and the
files. What else this machine does is hidden from llem, because it would be one more reason. Where it
disturbs the scripted GPU all the same, the reason is in a column of its own.
"""

from __future__ import annotations

import argparse
import html
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes import fake_nvml
from fakes.disturbed_backend import DISTURBED_BATCH_SIZE
from fakes.fake_nvml import FakeGpu
from fakes.scripted_study import ScriptedStudy, results_of

LATE = "the energy counter"
"""In both sentences about a counter that lags: on a busy machine, it is not always told from a board that
needs time to fall to idle power."""
SHARED = "other process"
_BACKEND = "fakes.disturbed_backend:DisturbedBackend"
_WINDOW_S = 8.0  # in shorter ones the bound is a reason too
_IDLE_S = 4.0  # in a shorter time, a busy machine changes idle power
_DELAYS_S = {"exact": 0.0, "250 ms late": 0.25}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the runs of one point say of their figures."""

    counter: str
    has_neighbour: bool
    flagged: Mapping[str, tuple[str, ...]]
    """The reasons of each figure."""
    ok: tuple[str, ...]
    missing: tuple[str, ...]
    by_run: tuple[Mapping[str, tuple[str, ...]], ...]
    """The reasons of each figure that is not missing, run by run; none of one that is ok."""

    def is_right(self) -> bool:
        """Return whether, in each run, exactly the spoilt figures name what has spoilt them."""
        return all(
            "energy_total_j" in run
            and all(_causes(reasons) == self._spoilt_by(name) for name, reasons in run.items())
            for run in self.by_run
        )

    def _spoilt_by(self, name: str) -> set[str]:
        """Return what makes a figure wrong: times are right, and the integral needs no counter."""
        if not name.startswith("energy"):
            return set()
        is_late = self.counter != "exact" and name != "energy_integrated_j"
        return ({LATE} if is_late else set()) | ({SHARED} if self.has_neighbour else set())


def _causes(reasons: Iterable[str]) -> set[str]:
    """Return the known causes among reasons."""
    return {cause for each in reasons for cause in (LATE, SHARED) if cause in each}


def verdicts(counter: str, results: Iterable[dict[str, Any]]) -> Iterator[Verdict]:
    """Yield a verdict for each point of a study."""
    by_size: dict[int, list[dict[str, Any]]] = {}
    for result in results:
        by_size.setdefault(result["config"]["scripted"]["batch_size"], []).append(result)
    for size, runs in sorted(by_size.items()):
        statuses: dict[str, set[str]] = {}
        reasons: dict[str, list[str]] = {}
        for run in runs:
            for name, quality in run["figures"].items():
                statuses.setdefault(name, set()).add(quality["status"])
                reasons.setdefault(name, []).extend(quality["reasons"])
        yield Verdict(
            counter,
            size == DISTURBED_BATCH_SIZE,
            {n: tuple(dict.fromkeys(reasons[n])) for n, s in statuses.items() if "flagged" in s},
            tuple(name for name, status in statuses.items() if status == {"ok"}),
            tuple(name for name, status in statuses.items() if "missing" in status),
            tuple(
                {
                    name: tuple(quality["reasons"]) if quality["status"] == "flagged" else ()
                    for name, quality in run["figures"].items()
                    if quality["status"] != "missing"
                }
                for run in runs
            ),
        )


def study_with(counter: str, parent: Path, library: Path) -> ScriptedStudy:
    """Write a study on a GPU with this counter into a new folder of `parent`."""
    folder = parent / counter.replace(" ", "-")
    folder.mkdir(parents=True)
    gpu = FakeGpu(
        uuid="GPU-scripted", points=((0.0, 25.0),), counter_phase_s=0.037,
        counter_delay_s=_DELAYS_S[counter], idle_w=60.0,
    )  # fmt: skip
    study = ScriptedStudy(
        folder, library, gpu, batch_sizes=(1, DISTURBED_BATCH_SIZE), backend=_BACKEND
    )
    study.timeout_s = 1800.0
    path = folder / "study.yaml"
    text = path.read_text("utf-8")
    text = re.sub(r"(min_window_seconds): [\d.]+", rf"\1: {_WINDOW_S}", text)
    path.write_text(re.sub(r"(duration_seconds): [\d.]+", rf"\1: {_IDLE_S}", text))
    return study


def shown(study: ScriptedStudy, folder: Path) -> Iterator[str]:
    """Yield what `study show` and the report say of figures that cannot be believed."""
    marks = ("flagged in", "energy counter", LATE, SHARED)
    for line in study.llem("study", "show", folder).splitlines():
        if any(mark in line for mark in marks):
            yield f"show: {line.strip()}"
    study.llem("study", "report", folder)
    page = html.unescape((folder / "report.html").read_text("utf-8"))
    for cell in re.findall(r">([^<>]+)<", page):
        # Not the data of the figures.
        if "{" not in cell and any(mark in cell for mark in marks):
            yield f"report: {' '.join(cell.split())}"


def main() -> int:
    """Print the table; return 1 if a figure is flagged wrongly, or not flagged."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="folder in which the studies are kept")
    keep = parser.parse_args().keep
    print(f"{platform.machine()}, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        parent = (keep or Path(scratch)).resolve()
        (Path(scratch) / "proc").mkdir()
        os.environ |= {
            "LLEM_PROC": str(Path(scratch) / "proc"),
            "LLEM_CACHE": str(Path(scratch) / "cache" / "calibrations.json"),
            "XDG_CONFIG_HOME": str(Path(scratch) / "settings"),
        }
        library = fake_nvml.build(Path(scratch) / "driver")
        found: list[Verdict] = []
        lines: list[str] = []
        for counter in _DELAYS_S:
            study = study_with(counter, parent, library)
            folder = study.run()
            found += verdicts(counter, results_of(folder))
            lines += [f"{counter}: {line}" for line in dict.fromkeys(shown(study, folder))]
    header = "counter", "neighbour", "flagged", "why", "other reasons", "ok", "missing", "right"
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
    for each in found:
        reasons = dict.fromkeys(r for of_one in each.flagged.values() for r in of_one)
        known = [reason for reason in reasons if _causes([reason])]
        others = [reason for reason in reasons if not _causes([reason])]
        cells = (
            each.counter, "in the window" if each.has_neighbour else "none",
            ", ".join(each.flagged) or "-", "; ".join(known) or "-", "; ".join(others) or "-",
            ", ".join(each.ok) or "-", ", ".join(each.missing) or "-",
            "yes" if each.is_right() else "**no**",
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |")
    print("\nWhat `study show` and the report of the study say:\n", *lines, sep="\n")
    is_right = len(found) == 4 and all(each.is_right() for each in found)
    print(f"\n{sum(each.is_right() for each in found)} of {len(found)} points are right")
    return int(not is_right)


if __name__ == "__main__":
    sys.exit(main())
