"""One task of `report_speed.py` in a process of its own, so that its time and memory are its own.

python -m benchmarks.report.tasks TASK [FOLDER [FILE]]
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path


def show_only(folder: str, _file: str) -> None:
    """Do what `study show` does apart from the ranking."""
    import llem_cli._commands.study.show  # noqa: F401 - what is measured
    from llem_runner import changed_files, read_manifest

    changed_files(folder, read_manifest(folder))


def read(folder: str, _file: str) -> None:
    """Read a study as one table."""
    from llem_report._study_data.read import read_study_data

    read_study_data(folder)


def show_ranking(folder: str, _file: str) -> None:
    """Do the same, and rank."""
    from llem_report import analyse

    show_only(folder, _file)
    if not analyse(folder).factors:
        raise ValueError(f"{folder}: expected a ranking, found none")


def analysis(folder: str, file: str) -> None:
    """Write the analysis as JSON, for plotly."""
    import msgspec

    from llem_report import analyse

    Path(file).write_bytes(msgspec.json.encode(analyse(folder)))


def page(folder: str, file: str) -> None:
    """Write the report."""
    _write_page(folder, file, static=False)


def static_page(folder: str, file: str) -> None:
    """Write the report without scripts."""
    _write_page(folder, file, static=True)


def _write_page(folder: str, file: str, *, static: bool) -> None:
    from llem_report import write_report

    write_report(folder, file, static=static)


def export_runs(folder: str, file: str) -> None:
    """Write the table of runs as Parquet."""
    from llem_report import export

    export(folder, file)


def yardstick(_folder: str, _file: str) -> None:
    """Work that is the same on every machine: objects, text and dictionaries of Python."""
    for _ in range(40):
        rows = [{"index": i, "name": f"run {i}", "values": [i / 7] * 5} for i in range(5000)]
        if len(json.loads(json.dumps(rows))) != len(rows):
            raise ValueError("JSON lost rows")


TASKS: dict[str, Callable[[str, str], None]] = {
    task.__name__: task
    for task in (
        *(analysis, page, static_page, export_runs),
        *(read, show_only, show_ranking, yardstick),
    )
}


def main() -> None:
    """Run a task; print its processor time in seconds and its peak of memory in bytes as JSON."""
    name, folder, file = (*sys.argv[1:], "", "")[:3]
    TASKS[name](folder, file)
    used = resource.getrusage(resource.RUSAGE_SELF)
    n_bytes = Path(file).stat().st_size if file else 0
    cost = {
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
        "n_bytes": n_bytes,
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
