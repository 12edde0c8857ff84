"""`describe_methods`: what a study did, for the section on methods of a paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llem_config import StudyConfig
from llem_report._analysis.analyse import analysis_of
from llem_report._analysis.wording import size_words
from llem_report._methods.admissions import admissions
from llem_report._methods.records import MethodRow, Methods
from llem_report._methods.run_facts import RunFacts
from llem_report._methods.sentences import sentences
from llem_report._page.conditions import Conditions, ResultConditions
from llem_report._study_data.read import read_study_data
from llem_report._study_data.study_data import StudyData
from llem_report.records import Analysis
from llem_runner import StudyError, read_study

if TYPE_CHECKING:
    from llem_energy import ExperimentResult

_ROWS = (
    "GPUs", "NVIDIA driver", "AMD driver", "CPU", "system", "Python", "model", "draft model", "adapter",
    "data set", "chat template", "weights", "tokens",
)  # fmt: skip
_ENERGY_ROWS = ("meter", "estimator", "counter", "gain error", "baseline", "host")
_PACKAGES = ("torch", "transformers", "vllm", "tensorrt-llm", "accelerate", "bitsandbytes")


class _Visitor:
    """Takes each result once, for the facts and for the conditions."""

    def __init__(self) -> None:
        self.facts, self.conditions = RunFacts(), ResultConditions()

    def __call__(self, result: ExperimentResult) -> None:
        self.facts(result)
        self.conditions(result)


def describe_methods(folder: str | Path) -> Methods:
    """Return what a study did, from its files alone; nothing is filled in that they do not say.

    Args:
        folder: of the study, in any state.

    Raises:
        ReportError: as `analyse`.
    """
    visitor = _Visitor()
    data = read_study_data(folder, visit=visitor)
    analysis = analysis_of(data)
    conditions = visitor.conditions.of(data)
    study = _study(Path(folder))
    found = sentences(data, analysis, study, visitor.facts)
    return Methods(
        study_name=data.name,
        study_design_hash=data.study_design_hash,
        finding=analysis.finding,
        what=found.what,
        on_what=found.on_what,
        how=found.how,
        how_sure=found.how_sure,
        admissions=admissions(data, analysis, conditions, visitor.facts),
        rows=tuple(_rows(data, analysis, study, visitor.facts)),
        bibliography=_bibliography(data, analysis, conditions),
    )


def _study(folder: Path) -> StudyConfig | None:
    try:
        return read_study(folder)
    except StudyError:  # one of the problems of the data
        return None


def _rows(
    data: StudyData, analysis: Analysis, study: StudyConfig | None, facts: RunFacts
) -> Iterator[MethodRow]:
    for name in _ROWS:
        yield from _row(name, *facts.listed(name))
    yield from _row("llem", *(f"{name} {each}" for name, each in data.manifest.versions.items()))
    commits = dict.fromkeys(_commits(data))
    yield from _row("commit of llem", *commits)
    for name in _PACKAGES:
        yield from _row(name, *facts.listed(f"package {name}"))
    if study is not None:
        for name in ("n", "max_input_tokens", "max_output_tokens"):
            values = dict.fromkeys(str(getattr(config, name)) for config in study.experiments)
            yield from _row({"n": "prompts of a pass"}.get(name, name), ", ".join(values))
    yield from _row("configurations", str(analysis.n_points))
    yield from _row(
        "runs", f"{analysis.n_runs_used} with the figure of {analysis.n_runs_planned} planned"
    )
    if n_others := sum(run.other_machine is not None for run in data.runs):
        yield from _row("runs on another kind of machine", f"{n_others}, not compared")
    yield from _row("cycles", str(data.n_cycles))
    yield from _row("blocks", str(len({run.block for run in data.runs if run.used})))
    if data.execution is not None:
        order = data.execution.cycle_order
        seed = f", seed {data.execution.shuffle_seed}" if order == "shuffled" else ""
        yield from _row("order", f"{order}{seed}")
    yield from _row("warm-up passes", facts.warm_up)
    yield from _row("window", facts.window)
    for name in _ENERGY_ROWS:
        yield from _row(name, *facts.listed(name))
    yield from _row("error bound of a run", facts.bound or "")
    yield from _row("figure", f"{data.figure.title}, {data.figure.unit}")


def _row(name: str, *values: str) -> Iterator[MethodRow]:
    kept = tuple(value for value in values if value)
    if kept:
        yield MethodRow(name=name, values=kept)


def _commits(data: StudyData) -> Iterator[str]:
    for start in data.manifest.starts:
        changed = {True: ", with changed files", False: "", None: ", changes unknown"}
        if start.code.commit:
            yield f"{start.code.commit}{changed[start.code.is_changed]}"


def _bibliography(data: StudyData, analysis: Analysis, conditions: Conditions) -> str:
    machine = f" on {conditions.machine}" if conditions.machine else ""
    versions = data.manifest.versions.get("llem-runner", "unknown")
    size = size_words("configuration", analysis.n_points, data.n_cycles, analysis.n_runs_planned)
    return f"Study “{data.name}” (design {data.study_design_hash}): {size}, measured on {conditions.date}{machine} with llem {versions}."
