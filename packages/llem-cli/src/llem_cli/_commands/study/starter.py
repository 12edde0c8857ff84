"""Chooses a first study for a model and this machine: one that is expected to run.

The backend proposes studies. The checks of `study plan` decide: the first proposal that nothing is
known against is taken, with the batch sizes that fit the memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from llem_cli._commands.study.folder import usage_error
from llem_config import ExperimentConfig
from llem_config.overrides import merge, override
from llem_energy.models import gigabytes
from llem_energy.preflight import (
    FirstStudy,
    Machine,
    MemoryNeed,
    PreflightReport,
    check,
    context_tokens,
    first_studies,
    half_precision,
    memory_need,
)

BACKEND = "pytorch"
_MEMORY_SHARE = 0.9  # of the device; the estimate leaves out the library's own memory
_GPU_TOKENS = ((512, 128), (256, 64), (64, 32), (16, 8))
"""Lengths of prompts and outputs; the first that the context length allows is taken."""
_CPU_TOKENS = _GPU_TOKENS[2:]
_MIN_PROMPTS = 16


@dataclass(frozen=True, slots=True)
class Starter:
    """A first study: the fields of its points, and what to know about it."""

    proposal: FirstStudy
    """What it is made from."""
    fields: Mapping[str, Any]
    """Of all points besides those of the proposal, with dotted keys."""
    precisions: tuple[str, ...]
    """At least one; more are an axis of the sweep."""
    batch_sizes: tuple[int, ...]
    """Those of the proposal that fit."""
    memory: str | None
    """The estimate for the largest batch and the memory of the device; None if it is unknown."""
    notes: tuple[str, ...]
    """Sentences about the machine and the choice."""


def choose(model: str, machine: Machine) -> Starter:
    """Return a study of a model that is expected to run on a machine.

    Args:
        model: from the working directory.
        machine: where it will run.

    Raises:
        ConfigError: no proposal can run here; the sentence has the reason of the first one.
    """
    reasons: list[str] = []
    for proposal in first_studies(BACKEND, machine):
        for precisions in _precisions(proposal, machine):
            for weights in ({}, {"weights": "random"}):
                found = _fitting(proposal, {"model": model, **weights}, precisions, machine)
                if isinstance(found, Starter):
                    return found
                reasons.append(found)
    why = reasons[0] if reasons else f"the backend {BACKEND} proposes none"
    raise usage_error("", f"{model}: no study of this model can run here: {why}")


def _precisions(proposal: FirstStudy, machine: Machine) -> list[tuple[str, ...]]:
    """Return lists of precisions, the preferred one first."""
    if proposal.on_gpu:
        return [(half_precision(machine.visible_gpus) or "fp16",)]
    half = half_precision(())
    # The last one needs half the memory, although a CPU without it computes it slowly.
    return [("fp32", half) if half else ("fp32",), ("bf16",)]


def _fitting(
    proposal: FirstStudy, fields: Mapping[str, Any], precisions: Sequence[str], machine: Machine
) -> Starter | str:
    """Return the study with the batch sizes that fit, or why none does."""
    batches = proposal.batch_sizes
    fields = {**fields, "n": max(*batches, _MIN_PROMPTS)}
    try:
        config = _point(proposal, fields, precisions[0], batches[0])
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])
    if problems := _problems(check([config], machine)):
        return problems[0]
    fields |= _lengths(context_tokens(config), _GPU_TOKENS if proposal.on_gpu else _CPU_TOKENS)
    needs = {
        batch: memory_need(_point(proposal, fields, precisions[0], batch), machine)
        for batch in batches
    }
    fit = tuple(batch for batch, need in needs.items() if _fits(need))
    if not fit:
        return f"{_in_words(needs[batches[0]]) or 'it does not fit'} at batch size {batches[0]}"
    points = [_point(proposal, fields, name, batch) for name in precisions for batch in fit]
    report = check(points, machine)
    if problems := _problems(report):
        return problems[0]
    return Starter(
        proposal=proposal,
        fields=fields,
        precisions=tuple(precisions),
        batch_sizes=fit,
        memory=_in_words(needs[fit[-1]]),
        notes=tuple(finding.message for finding in report.warnings),
    )


def _point(
    proposal: FirstStudy, fields: Mapping[str, Any], precision: str, n_together: int
) -> ExperimentConfig:
    """Return one point.

    Raises:
        ValidationError: the fields are wrong, for example the name of a builtin model.
    """
    data: dict[str, Any] = {"backend": BACKEND, "precision": precision}
    for key, value in {**proposal.fields, **fields, proposal.batch_axis: n_together}.items():
        data = merge(data, override(key, value))
    return ExperimentConfig.model_validate(data)


def _problems(report: PreflightReport) -> list[str]:
    return [finding.message for finding in (*report.problems, *report.expected_failures)]


def _lengths(n_context: int | None, choices: Sequence[tuple[int, int]]) -> dict[str, int]:
    """Return the first lengths that fit a context length, or else the shortest."""
    fitting = [pair for pair in choices if n_context is None or sum(pair) <= n_context]
    n_input, n_output = fitting[0] if fitting else choices[-1]
    return {"max_input_tokens": n_input, "max_output_tokens": n_output}


def _fits(need: MemoryNeed) -> bool:
    if need.needed_bytes is None or need.device_bytes is None:
        return True
    return need.needed_bytes <= _MEMORY_SHARE * need.device_bytes


def _in_words(need: MemoryNeed) -> str | None:
    if need.needed_bytes is None or need.device_bytes is None:
        return None
    needed, device = gigabytes(need.needed_bytes), gigabytes(need.device_bytes)
    return f"it needs about {needed} of {device} of memory"
