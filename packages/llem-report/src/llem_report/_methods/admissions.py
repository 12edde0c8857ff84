"""What a paper must say beside the figures of a study, because the intervals do not hold it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from llem_config.text import one_line, similar
from llem_report._methods.run_facts import RunFacts
from llem_report._page.conditions import Conditions
from llem_report._study_data.study_data import StudyData
from llem_report.records import Analysis
from llem_runner.records import caveat_of_looks

_MAX_SENTENCES = 8  # of one kind
_MAX_CHARACTERS = 400


def admissions(
    data: StudyData, analysis: Analysis, conditions: Conditions, facts: RunFacts
) -> tuple[str, ...]:
    """Return the sentences, each once, the most important first."""
    found = (
        *_runs(data, analysis),
        *_energy(facts),
        *_quality(data, analysis, facts),
        *_study(data, analysis),
        *conditions.left_out,
        *analysis.caveats,
        *analysis.left_out,
        *data.problems,
        *_first(_counted(_other_warnings(data, facts))),
    )
    return tuple(dict.fromkeys(one_line(sentence, _MAX_CHARACTERS) for sentence in found))


def _runs(data: StudyData, analysis: Analysis) -> Iterator[str]:
    if data.status != "completed":
        yield f"the study is {data.status}"
    lacking = [run for run in data.runs if not run.used and run.other_machine is None]
    without = len(lacking)
    if without:
        states = Counter(run.status for run in lacking)
        text = ", ".join(f"{n} {state}" for state, n in states.most_common())
        yield f"{without} of {analysis.n_runs_planned} planned runs have no figure ({text})"
    if analysis.reason:
        yield f"no conclusion about the choices: {analysis.reason}"


def _energy(facts: RunFacts) -> Iterator[str]:
    missing = facts.n_runs - facts.n_with_energy
    if facts.n_runs and missing:
        yield f"energy is missing in {missing} of {facts.n_runs} runs; it is missing there, not 0"
    for value in ("unverified", "late", "filtered", "part-time", "unclear"):
        n = facts.values.get("counter", Counter())[value]
        if n:
            yield (
                f"the energy counter was {value} in {n} of {facts.n_runs} runs; the error bound holds "
                "for a counter that is exact at its updates"
            )
    if facts.values.get("host", Counter())["not metered"]:
        yield "the energy is that of the GPUs alone: the processor and its memory were not metered"


def _quality(data: StudyData, analysis: Analysis, facts: RunFacts) -> Iterator[str]:
    flagged = sum(point.n_flagged for point in analysis.points)
    if flagged:
        yield f"the figure is flagged in {flagged} of {analysis.n_runs_used} runs: it may be wrong by more than its error"
    yield from _first(_counted(_reasons(data), "flagged because "))
    outliers = [run.index for run in analysis.runs if run.is_outlier]
    if outliers:
        yield f"outliers, which are not left out: runs {', '.join(map(str, outliers))}"
    if facts.n_not_converged:
        yield f"the warm-up did not become steady in {facts.n_not_converged} of {facts.n_runs} runs"


def _reasons(data: StudyData) -> Counter[str]:
    """Return why the compared figure is flagged, with the number of runs."""
    flagged = [run for run in data.runs if run.quality == "flagged"]
    return Counter(reason for run in flagged for reason in dict.fromkeys(run.reasons))


def _other_warnings(data: StudyData, facts: RunFacts) -> Counter[str]:
    reasons = _reasons(data)
    return Counter({text: n for text, n in facts.warnings.items() if text not in reasons})


def _study(data: StudyData, analysis: Analysis) -> Iterator[str]:
    manifest = data.manifest
    if (sentence := caveat_of_looks(manifest.looks)) is not None:
        yield sentence
    if data.n_cycles < 3 and analysis.n_runs_used:
        yield f"fewer than 3 cycles allow no intervals; found {data.n_cycles}"
    if any(start.code.is_changed for start in manifest.starts):
        yield "files of llem were changed against its commit when the study ran"
    if len({start.host for start in manifest.starts}) > 1:
        yield "the starts of the study ran on different machines"
    if manifest.shards:
        parts = "attempts at its shards" if manifest.is_divided else "folders"
        yield f"merged from {len(manifest.shards)} {parts}"


def _counted(counts: Counter[str], prefix: str = "") -> Iterator[str]:
    for text, n, is_merged in similar(counts):
        # A run can have several that differ only in numbers, such as one for each GPU.
        times = "times" if is_merged else "run" if n == 1 else "runs"
        yield f"{n} {times}: {prefix}{text}"


def _first(sentences: Iterable[str]) -> Iterator[str]:
    kept = list(sentences)
    yield from kept[:_MAX_SENTENCES]
    if len(kept) > _MAX_SENTENCES:
        yield f"and {len(kept) - _MAX_SENTENCES} more of this kind; the results list all"
