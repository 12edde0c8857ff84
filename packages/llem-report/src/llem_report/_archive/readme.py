"""`README.md` of an archive: for a person who has never seen llem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llem_config.text import one_line, visible
from llem_report._archive.authors import Author
from llem_report._archive.licences import Licence
from llem_report._figures.scales import number, ratio_with_interval
from llem_report._methods.records import Methods
from llem_report.records import Analysis

_MAX_POINTS = 50
_MAX_LABEL = 120
_TERMS = (
    "(A run measures one configuration once; a cycle has one run of each; a pass processes all prompts "
    "once; the window is the stretch of time that counts. A configuration is also called a point.)",
)
_CONTENT = (
    ("README.md", "this page"),
    ("report.html", "the results with figures; open it in a browser, it loads nothing"),
    ("data/tables/*.csv", "the results as tables: one row per configuration, per run, per request"),
    ("codebook.csv, codebook.md", "what every column of the tables means, with its unit"),
    ("data/study/", "the study as it was measured: every setting, every result, every reading"),
    ("data/study/study_resolved.json", "every configuration with all its settings"),
    ("data/study/manifest.json", "every run, and the SHA-256 of its result"),
    ("CITATION.cff, LICENCE.txt", "how to cite this data, and what you may do with it"),
    ("manifest-sha256.txt, tagmanifest-sha256.txt", "the SHA-256 of every file"),
)


def readme(
    methods: Methods,
    analysis: Analysis,
    authors: Sequence[Author],
    licence: Licence,
    *,
    title: str,
    manifest_sha256: str,
    left_out: Sequence[str],
) -> str:
    """Return the page.

    Args:
        methods: of the study.
        analysis: of the study.
        authors: of the archive.
        licence: of the archive.
        title: of the archive.
        manifest_sha256: SHA-256 of the study's manifest.
        left_out: paths in the folder of the study that are not in the archive.
    """
    lines = [
        f"# {_plain(title)}",
        "",
        "llem measures the energy and the speed of inference with large language models (LLM). This is one",
        "of its studies. What it found:",
        "",
        f"> {_plain(methods.finding)}",
        "",
        *_section("What was measured?", methods.what),
        *_section("On what?", methods.on_what),
        *_section("How?", (*methods.how, *_TERMS)),
        *_section("How sure is it?", methods.how_sure),
        *_admissions(methods),
        *_results(analysis),
        *_intact(manifest_sha256),
        *_content(left_out),
        *_citation(methods, authors, licence),
    ]
    return "\n".join(lines) + "\n"


def _section(heading: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield from (f"## {heading}", "", " ".join(map(_plain, sentences)), "")


def _admissions(methods: Methods) -> Iterator[str]:
    yield from ("## What should you know before you use the figures?", "")
    if not methods.admissions:
        yield from ("Nothing is missing, flagged or changed, as far as the files tell.", "")
        return
    yield from (f"- {_plain(sentence)}" for sentence in methods.admissions)
    yield ""


def _results(analysis: Analysis) -> Iterator[str]:
    better = "lower" if analysis.lower_is_better else "higher"
    yield from (
        "## Results",
        "",
        f"{_plain(analysis.figure)} in {analysis.unit}; {better} is better. The interval is that of 95 %. "
        "A missing figure is empty, never 0.",
        "",
        f"| configuration | runs | {analysis.unit} | 95 % interval | ratio to the best (95 % interval) |",
        "| --- | --- | --- | --- | --- |",
    )
    for point in analysis.points[:_MAX_POINTS]:
        low, high, over = point.ci95_low, point.ci95_high, point.ratio_to_best
        interval = "" if low is None or high is None else f"{number(low)} to {number(high)}"
        ratio = (
            "" if over is None else ratio_with_interval(over.ratio, over.ci95_low, over.ci95_high)
        )
        value = "" if point.value is None else number(point.value)
        runs = f"{point.n_runs} of {point.n_planned}"
        label = _plain(point.label, _MAX_LABEL)
        yield f"| {label} | {runs} | {value} | {interval} | {ratio} |"
    more = len(analysis.points) - _MAX_POINTS
    if more > 0:
        yield from ("", f"{more} more configurations are in data/tables/points.csv.")
    yield ""


def _intact(manifest_sha256: str) -> Iterator[str]:
    yield from (
        "## Are the files intact?",
        "",
        "In the unpacked folder, `sha256sum` prints a line for each file that was changed, and nothing if",
        "all are intact:",
        "",
        "```sh",
        "sha256sum --check --quiet manifest-sha256.txt tagmanifest-sha256.txt",
        "```",
        "",
        "With llem, `llem-cli study verify ARCHIVE.zip` also says what differs on your machine. The",
        f"SHA-256 of `data/study/manifest.json` is `{manifest_sha256}`. If a paper states this number, it",
        "proves that no result was replaced, because the manifest has the SHA-256 of every result.",
        "",
    )


def _content(left_out: Sequence[str]) -> Iterator[str]:
    yield from ("## What is in here?", "", "| file | content |", "| --- | --- |")
    yield from (f"| {name} | {content} |" for name, content in _CONTENT)
    yield ""
    if left_out:
        yield from (
            f"Not in here, but in the folder of the study: {', '.join(map(_plain, left_out[:20]))}.",
            "",
        )
    yield from (
        "`llem-cli study show`, `report`, `export`, `methods` and `verify` take the zip file itself.",
        "",
    )


def _citation(methods: Methods, authors: Sequence[Author], licence: Licence) -> Iterator[str]:
    by = ", ".join(author.shown for author in authors)
    yield from (
        "## Licence and citation",
        "",
        _plain(licence.sentence),
        "",
        _plain(f"{by}. {methods.bibliography}" if by else methods.bibliography),
    )


def _plain(text: str, max_characters: int = 20_000) -> str:
    """Return text that Markdown shows as it is, in one line."""
    shown = visible(one_line(text, max_characters))
    for mark in "\\`*_{}[]<>#|":
        shown = shown.replace(mark, f"\\{mark}")
    return shown
