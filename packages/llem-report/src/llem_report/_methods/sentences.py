"""The sentences of a paragraph on methods, from what was done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from llem_config import ExecutionConfig, StudyConfig
from llem_report._methods.run_facts import RunFacts
from llem_report._study_data.study_data import StudyData
from llem_report.records import Analysis
from llem_runner.repeats import untold_difference

_MAX_LEVELS = 8
_PACKAGES = ("torch", "transformers", "vllm", "tensorrt-llm", "accelerate", "bitsandbytes")


class Sentences(NamedTuple):
    """The sentences by what they answer."""

    what: tuple[str, ...]
    on_what: tuple[str, ...] = ()
    how: tuple[str, ...] = ()
    how_sure: tuple[str, ...] = ()


def sentences(
    data: StudyData, analysis: Analysis, study: StudyConfig | None, facts: RunFacts
) -> Sentences:
    """Return the sentences: what, on what, how, how sure.

    Args:
        data: of the study.
        analysis: of the data.
        study: as it was resolved; None if this cannot be read.
        facts: of the results.
    """
    what = [_what(data, analysis, study, facts)]
    if study is not None and study.experiments:
        what += _workload(study, facts)
    if not facts.n_runs:
        return Sentences((*what, "No run has a result."))
    return Sentences(
        tuple(what),
        (_machine(facts), _software(data, facts)),
        (*_design(data), _window(study, facts), *_energy(facts)),
        (*_bounds(facts), *_statistics(data, analysis)),
    )


def _what(data: StudyData, analysis: Analysis, study: StudyConfig | None, facts: RunFacts) -> str:
    figure, n_points = data.figure, analysis.n_points
    models = facts.listed("model") or tuple(
        dict.fromkeys(config.model for config in (study.experiments if study else ()))
    )
    noun = "model" if len(models) < 2 else "models"
    of_models = f" of the {noun} {_and(models)}" if models else ""
    if n_points == 1:
        return (
            f"The study {data.name} measured the {figure.title} ({figure.unit}) of one "
            f"configuration{of_models}."
        )
    choices = "; ".join(
        f"{factor.key} ({', '.join(_first(factor.levels))})" for factor in data.factors
    )
    differ = f", which differ in {choices}" if choices else ""
    return (
        f"The study {data.name} measured the {figure.title} ({figure.unit}) of {n_points} "
        f"configurations{of_models}{differ}."
    )


def _first(levels: Sequence[str]) -> list[str]:
    more = len(levels) - _MAX_LEVELS
    return [*levels[:_MAX_LEVELS], *([f"and {more} more"] if more > 0 else [])]


def _and(texts: Sequence[str]) -> str:
    if not texts:
        return "unknown"
    return texts[0] if len(texts) == 1 else f"{'; '.join(texts[:-1])} and {texts[-1]}"


def _workload(study: StudyConfig, facts: RunFacts) -> Iterator[str]:
    configs = study.experiments
    n = _range(config.n for config in configs)
    sources = list(dict.fromkeys(config.dataset.source for config in configs))
    kind = facts.only("tokens")
    what = "random token ids" if kind == "random ids" else f"prompts of {_and(sources)}"
    prompts = f"{n} prompts" if n != "1" else "1 prompt"
    ends = (
        "every output had the maximum length"
        if facts.only("ends") == "forced"
        else "an output could end earlier"
    )
    yield (
        f"The workload of a pass was {prompts} ({what}) of at most "
        f"{_range(config.max_input_tokens for config in configs)} input tokens, with at most "
        f"{_range(config.max_output_tokens for config in configs)} output tokens each; {ends}."
    )
    if facts.only("weights") == "random":
        yield "The weights of the model were random numbers, not trained."


def _range(values: Iterator[Any]) -> str:
    """Return one value, or the lowest and the highest."""
    found = sorted({value for value in values if value is not None})
    if not found:
        return "an unlimited number of"
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _machine(facts: RunFacts) -> str:
    gpus, cpu = facts.listed("GPUs"), _and(facts.listed("CPU"))
    drivers = [
        f"{name} {_and(facts.listed(name))}"
        for name in ("NVIDIA driver", "AMD driver")
        if facts.listed(name)
    ]
    system = _and(facts.listed("system"))
    if gpus:
        driver = f", {', '.join(drivers)}" if drivers else ""
        return f"It ran on {_and(gpus)}{driver}, in a machine with {cpu}, {system}."
    return f"It ran on the processor, without a metered GPU: {cpu}, {system}."


def _software(data: StudyData, facts: RunFacts) -> str:
    packages = [
        f"{name} {_and(versions)}"
        for name in _PACKAGES
        if (versions := facts.listed(f"package {name}"))
    ]
    llem = data.manifest.versions.get("llem-runner", "unknown")
    return (
        f"The software was llem {llem}{_commit(data)}, Python {_and(facts.listed('Python'))}"
        f"{''.join(', ' + package for package in packages)}."
    )


def _commit(data: StudyData) -> str:
    commits = list(dict.fromkeys(s.code.commit for s in data.manifest.starts if s.code.commit))
    if not commits:
        return ""
    is_changed = any(start.code.is_changed for start in data.manifest.starts)
    changed = ", with changed files" if is_changed else ""
    return f" (commit {_and([each[:12] for each in commits])}{changed})"


def _design(data: StudyData) -> Iterator[str]:
    execution = data.execution
    if execution is None:
        return
    executors = {entry.executor for entry in data.manifest.entries if entry.executor}
    process = "each in a new process" if executors == {"local"} else "in the process of llem"
    extensions = data.manifest.extensions
    n_first = extensions[0].first_cycle - 1 if extensions else data.n_cycles
    those = "Every configuration" if not extensions else "Each of the first configurations"
    yield (
        f"{those} was planned once in each of {n_first} cycles, {process}, "
        f"{_order(execution)}{_gaps(execution)}."
    )
    last_cycle = max((entry.cycle for entry in data.manifest.entries), default=0)
    ends = [*(each.first_cycle - 1 for each in extensions[1:]), last_cycle]
    for each, end in zip(extensions, ends, strict=False):
        yield (
            f"On {each.started_at[:10]}, {_count(len(each.new_points), 'configuration')} "
            f"{'was' if len(each.new_points) == 1 else 'were'} added in cycles {each.first_cycle} to "
            f"{each.last_cycle}, in which {len(each.anchors)} of the earlier ones ran again to connect both."
        )
        if end > each.last_cycle:
            n = end - each.last_cycle
            later = f"cycle {end}" if n == 1 else f"each of the cycles {end - n + 1} to {end}"
            yield f"Every configuration so far was then planned once in {later}."
    n_starts = len({entry.session for entry in data.manifest.entries if entry.session})
    if n_starts > 1:
        yield (
            f"The runs were made in {n_starts} starts of the study; what one start ran of one cycle "
            "is a block, and differences between blocks are removed."
        )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _order(execution: ExecutionConfig) -> str:
    match execution.cycle_order:
        case "shuffled":
            return f"in another random order in each cycle (seed {execution.shuffle_seed})"
        case "interleaved":
            return "in the same order in each cycle"
        case _:
            return "all cycles of a configuration one after the other"


def _gaps(execution: ExecutionConfig) -> str:
    gaps = (execution.config_gap_seconds or 0.0, execution.cycle_gap_seconds or 0.0)
    if not any(gaps):
        return ", without gaps"
    return f", with gaps of {gaps[0]:g} s between runs and {gaps[1]:g} s between cycles"


def _window(study: StudyConfig | None, facts: RunFacts) -> str:
    n_warmup = facts.warm_up
    if n_warmup == "0":
        warm_up = "There was no warm-up. Whole"
    else:
        passes = "pass that does not count" if n_warmup == "1" else "passes that do not count"
        warm_up = f"Each run was warmed up with {n_warmup} {passes}"
        checked = facts.n_converged + facts.n_not_converged
        if checked:
            warm_up += f", and was steady then in {facts.n_converged} of {checked} runs"
        warm_up += "; after it, whole"
    at_least = sorted({c.energy.min_window_seconds for c in study.experiments}) if study else []
    least = f" of at least {at_least[0]:g} s" if len(at_least) == 1 and at_least[0] else ""
    return (
        f"{warm_up} passes were repeated for a measured window{least}, which lasted {facts.window}."
    )


def _energy(facts: RunFacts) -> Iterator[str]:
    if not facts.n_with_energy:
        yield "No energy was measured."
        return
    yield (
        f"The energy is the total of all metered devices in the window, idle power included, by "
        f"{_and(facts.listed('meter'))} ({_and(facts.listed('estimator'))})."
    )
    if facts.listed("host"):
        yield f"The processor beside the GPUs was {_and(facts.listed('host'))}."


def _bounds(facts: RunFacts) -> Iterator[str]:
    bound = facts.bound
    if bound is not None:
        yield (
            f"Its maximum error from the ends of the window and from sampling was {bound} of the energy "
            f"(counter: {_and(facts.listed('counter'))}); the gain error of the sensor comes on top: "
            f"{_and(facts.listed('gain error'))}."
        )


def _statistics(data: StudyData, analysis: Analysis) -> Iterator[str]:
    if analysis.detectable_ratio is not None:
        yield untold_difference(analysis.detectable_ratio, "configurations")
    if any(point.ci95_low is not None for point in analysis.points):
        yield (
            "The figure of a configuration is the geometric mean of its runs, with a 95 % interval "
            "by Student's t on logarithms."
        )
        if data.manifest.extensions:
            yield (
                "If configurations did not run in the same cycles, their figures are multiplied by one "
                "factor each, so that the ratio of two is that of the cycles in which both ran."
            )
    if analysis.reason is None and analysis.n_points > 1:
        yield analysis.method
