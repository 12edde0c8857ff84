"""Can a stranger with the archive of a study say what was measured, and its author add a level?

    uv run python benchmarks/archive_trial.py [--small]

An author measures a study on the scripted driver of `tests/fakes`, whose true energy is known, and
archives it. A stranger with an empty home directory, without a GPU and without the backend of the study
asks the archive in new processes; each answer is compared with what was scripted. Then one byte is
changed in one file of each kind, and `study verify` must name the file. The author adds a level to the
folder and archives it again, and the second archive goes through the same trial. Exits with code 1 if
an answer is wrong or a change is not named.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from benchmarks.trial.author import Author
from benchmarks.trial.stranger import Answer, Stranger, as_table
from benchmarks.trial.tampering import Change, change_each_kind


def trial(
    parent: Path, levels: tuple[str, ...], n_cycles: int
) -> tuple[dict[str, list[Answer]], dict[str, list[Change]]]:
    """Return the answers and the changes of both archives.

    Args:
        parent: an empty folder.
        levels: batch sizes of the study; the last one is added later.
        n_cycles: of the study, and of the level that is added.
    """
    for name in ("author", "first", "second"):
        (parent / name).mkdir()
    author = Author(parent / "author", levels[:-1], n_cycles)
    author.measure()
    answers, changes = {}, {}
    for name in ("first", "second"):
        if name == "second":
            author.add_level(levels[-1])
        archive = author.archive(parent / f"{name}.zip")
        answers[name] = list(Stranger(parent / name / "place", archive).answers(author.truth))
        changes[name] = list(change_each_kind(archive, parent / name))
    return answers, changes


def main() -> int:
    """Print the tables; return 1 if an answer is wrong or a change is not named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="two points and three cycles")
    is_small = parser.parse_args().small
    levels, n_cycles = (("1", "16", "64"), 3) if is_small else (("1", "4", "16", "64"), 5)
    with tempfile.TemporaryDirectory() as parent:
        answers, changes = trial(Path(parent), levels, n_cycles)
    print(f"{platform.machine()}, Python {platform.python_version()}\n")
    print("\n".join(as_table(answers)))
    print(
        "\n| archive | file with one byte changed | `study verify` | named? |\n| --- | --- | --- | --- |"
    )
    for archive, of_archive in changes.items():
        for each in of_archive:
            verdict = "yes" if each.is_named else "**no**"
            print(f"| {archive} | `{each.kind}` | {each.verdict} | {verdict} |")
    every = [each for of_archive in answers.values() for each in of_archive]
    changed = [each for of_archive in changes.values() for each in of_archive]
    n_right, n_named = sum(each.is_right for each in every), sum(c.is_named for c in changed)
    print(
        f"\n{n_right} of {len(every)} answers are right; {n_named} of {len(changed)} changes are named"
    )
    return int(n_right < len(every) or n_named < len(changed))


if __name__ == "__main__":
    sys.exit(main())
