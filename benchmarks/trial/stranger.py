"""A stranger with the archive of a study, who asks and compares each answer with what was scripted.

The stranger has llem, an empty home directory, no GPU and not the backend that the study ran on.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.trial.author import Truth

_NAME = "study.zip"
_MAX_ANSWER = 150
_WIDENED = 2.0
"""A 95 % interval misses the truth in 1 of 20 studies, so one of twice its width is compared."""
_NEAR = 0.05
"""The scripted runs spread by 2 %. Three of them that agree by chance have a much shorter interval, so a figure
that is this near to the truth is right too."""


@dataclass(frozen=True)
class Answer:
    """What a command answered to a question."""

    question: str
    command: str
    text: str
    is_right: bool


class Stranger:
    """Works in an empty folder that has only the archive."""

    def __init__(self, folder: Path, archive: Path) -> None:
        """Take the archive into the empty folder `folder`."""
        self.folder = folder
        (folder / "home").mkdir(parents=True)
        (folder / _NAME).write_bytes(archive.read_bytes())

    def llem(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `llem-cli` in a new process."""
        return self._run([sys.executable, "-m", "llem_cli", *arguments])

    def _run(
        self, command: list[str], folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        # Wide, so that a name in a table is in one line.
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "COLUMNS": "250"}
        return subprocess.run(
            command, cwd=folder or self.folder, env=env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def _json(self, *arguments: str) -> dict[str, Any]:
        done = self.llem(*arguments, "--json")
        if done.returncode:
            raise RuntimeError(done.stderr)
        data: dict[str, Any] = json.loads(done.stdout)
        return data

    def answers(self, truth: Truth) -> Iterator[Answer]:
        """Yield the answer to each question, compared with what was really done."""
        yield from self._of_methods(truth)
        yield from self._of_results(truth)
        yield from self._of_tables(truth)
        yield self._report()
        yield from self._of_files(truth)

    def _of_methods(self, truth: Truth) -> Iterator[Answer]:
        command = f"study methods {_NAME}"
        methods = self._json("study", "methods", _NAME)

        def answer(question: str, part: str, *words: str) -> Answer:
            text = " ".join(methods[part])
            return Answer(question, command, text, all(word in text for word in words))

        n_points = len(truth.all_levels)
        levels = ", ".join(sorted(truth.all_levels, key=int))
        yield answer(
            "What was measured?", "what", truth.model, f"{n_points} configurations", f"({levels})",
            "energy per output token",
        )  # fmt: skip
        yield answer("On what?", "on_what", truth.gpu, "Python", "llem")
        yield answer(
            "How?", "how", f"each of {truth.n_cycles} cycles", truth.process, "random order", "nvml"
        )
        yield answer("How sure is it?", "how_sure", "95 %", "error")
        if truth.added:
            first = truth.n_cycles + 1
            yield answer(
                "What was added later?", "how", f"added in cycles {first} to {2 * truth.n_cycles}",
                "ran again to connect both",
            )  # fmt: skip

    def _of_results(self, truth: Truth) -> Iterator[Answer]:
        command = f"study show {_NAME}"
        shown = self._json("study", "show", _NAME)
        (factor,) = shown["analysis"]["factors"]
        effect = factor["effect"]
        text = (
            f"{factor['key']}: {factor['worst']} needs {effect['ratio']:.2f} x the energy of "
            f"{factor['best']} (95 %: {effect['ci95_low']:.2f} to {effect['ci95_high']:.2f}); "
            f"scripted: {truth.ratio:.2f}"
        )
        yield Answer(
            "Which choice matters, and how much?", command, text,
            agrees(effect["ratio"], effect["ci95_low"], effect["ci95_high"], truth.ratio)
            and factor["key"] == "scripted.batch_size",
        )  # fmt: skip
        summary = shown["result"]["summary"]
        text = f"{summary['completed']} of {summary['planned']} runs completed, {summary['failed']} failed"
        yield Answer(
            "Did all runs work?",
            command,
            text,
            text.startswith(f"{truth.n_runs} of {truth.n_runs} "),
        )

    def _of_tables(self, truth: Truth) -> Iterator[Answer]:
        points = self._table("points")
        found = {row["label"].rpartition("=")[2]: row for row in points}
        texts, are_right = [], [set(found) == set(truth.all_levels)]
        for level in truth.all_levels:
            row, true_j = found.get(level, {}), truth.energy_j(level)
            value, low, high = (
                float(row.get(column) or "nan") for column in ("value", "ci95_low", "ci95_high")
            )
            texts.append(f"{level}: {value:.3f} J (scripted: {true_j:.3f})")
            are_right.append(agrees(value, low, high, true_j))
        command = f"study export {_NAME} points.csv --table points"
        yield Answer(
            "What does each point need per token?", command, "; ".join(texts), all(are_right)
        )
        runs = self._table("runs")
        shares = [float(run["energy_bound_j"]) / float(run["energy_total_j"]) for run in runs]
        text = f"{len(runs)} runs, each with a bound of its error, at most {max(shares):.1%}"
        yield Answer(
            "How large may the error of a run be?", f"study export {_NAME} runs.csv", text,
            len(runs) == truth.n_runs and all(0 < share < 1 for share in shares),
        )  # fmt: skip

    def _table(self, name: str) -> list[dict[str, str]]:
        file = self.folder / f"{name}.csv"
        done = self.llem("study", "export", _NAME, file.name, "--table", name)
        if done.returncode:
            raise RuntimeError(done.stderr)
        with file.open(newline="") as lines:
            return list(csv.DictReader(lines))

    def _report(self) -> Answer:
        done = self.llem("study", "report", _NAME, "--output", "report.html")
        page = self.folder / "report.html"
        html = page.read_text("utf-8") if page.is_file() else ""
        loads = re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=[\"']?http", html)
        text = " ".join(done.stdout.split())
        return Answer(
            "Is there a page with figures?", f"study report {_NAME} --output report.html", text,
            done.returncode == 0 and "<svg" in html and not loads,
        )  # fmt: skip

    def _of_files(self, truth: Truth) -> Iterator[Answer]:
        done = self.llem("study", "verify", _NAME)
        first = done.stdout.partition("\n")[0]
        yield Answer(
            "Are the files intact?", f"study verify {_NAME}", first,
            done.returncode == 0 and first.startswith("trial: intact"),
        )  # fmt: skip
        needs = " ".join(re.findall(r"^ ?no +.*", done.stdout, re.MULTILINE))
        yield Answer(
            "Could I measure it again here?", f"study verify {_NAME}", " ".join(needs.split()),
            truth.gpu in needs,
        )  # fmt: skip
        with zipfile.ZipFile(self.folder / _NAME) as packed:
            packed.extractall(self.folder / "unpacked")
        (root,) = (self.folder / "unpacked").iterdir()
        done = self._run(
            ["sha256sum", "--check", "--quiet", "manifest-sha256.txt", "tagmanifest-sha256.txt"],
            root,
        )
        yield Answer(
            "Are they intact, without llem?", "sha256sum --check --quiet ...", done.stdout or "no output",
            (done.returncode, done.stdout) == (0, ""),
        )  # fmt: skip
        yield from _of_texts(root, truth)


def _of_texts(root: Path, truth: Truth) -> Iterator[Answer]:
    """Yield what the texts in the unpacked archive answer."""
    readme = (root / "README.md").read_text("utf-8")
    sections = re.findall(r"^## (.*)$", readme, re.MULTILINE)
    yield Answer(
        "Does a person without llem find all that?", "README.md", "; ".join(sections),
        {"What was measured?", "On what?", "How?", "How sure is it?", "Are the files intact?"}
        <= set(sections),
    )  # fmt: skip
    cited = (root / "CITATION.cff").read_text("utf-8")
    family = truth.author.partition(",")[0]
    licence = re.search(r"^license: *(.*)$", cited, re.MULTILINE)
    text = f"by {truth.author if family in cited else 'unknown'}, {licence and licence[1]}"
    yield Answer(
        "Who made it, and may I use it?", "CITATION.cff", text,
        family in cited and truth.licence in text,
    )  # fmt: skip
    with (root / "codebook.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if "energy_per_output_token_j" in row.values()]
    text = "; ".join(filter(None, rows[0].values())) if rows else ""
    yield Answer("What does a column mean?", "codebook.csv", text, _has_unit(rows))


def _has_unit(rows: list[dict[str, str]]) -> bool:
    return bool(rows) and "J/token" in rows[0].values()


def agrees(value: float, low: float, high: float, truth: float) -> bool:
    """Return whether an interval of twice the width contains the truth, or the value is near it."""
    if not all(map(math.isfinite, (value, low, high))):
        return False
    least, most = value * (low / value) ** _WIDENED, value * (high / value) ** _WIDENED
    return least <= truth <= most or abs(value / truth - 1) <= _NEAR


def shortened(text: str) -> str:
    """Return an answer as a cell of a table."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= _MAX_ANSWER else f"{line[: _MAX_ANSWER - 3]}..."


def as_table(answers: Mapping[str, list[Answer]]) -> Iterator[str]:
    """Yield the lines of a table of the answers from each archive."""
    yield "| archive | question | command | answer | right? |"
    yield "| --- | --- | --- | --- | --- |"
    for archive, of_archive in answers.items():
        for each in of_archive:
            verdict = "yes" if each.is_right else "**no**"
            yield f"| {archive} | {each.question} | `{each.command}` | {shortened(each.text)} | {verdict} |"
