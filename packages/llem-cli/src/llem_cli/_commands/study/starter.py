"""Chooses a first study for a model and this machine: one that is expected to run.

The choice is made by the checks of `study plan`, not by rules of its own: of several candidates, the
first that nothing is known against.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from llem_cli._commands.study.folder import usage_error
from llem_config import ExperimentConfig
from llem_energy.models import MemoryEstimate, estimate_memory, gigabytes
from llem_energy.preflight import Machine, PreflightReport, check, context_tokens, half_precision

_MEMORY_SHARE = 0.9  # of the device; the estimate leaves out the library's own memory
_GPU_BATCHES, _CPU_BATCHES = (1, 8, 32), (1, 8)
_GPU_TOKENS = ((512, 128), (256, 64), (64, 32), (16, 8))
"""Lengths of prompts and outputs; the first that the context length allows is taken."""
_CPU_TOKENS = _GPU_TOKENS[2:]


@dataclass(frozen=True, slots=True)
class Starter:
    """A first study: the fields of its points, and what to know about it."""

    fields: Mapping[str, Any]
    """Of all points, with dotted keys."""
    precisions: tuple[str, ...]
    """At least one; more are an axis of the sweep."""
    batch_sizes: tuple[int, ...]
    """An axis of the sweep."""
    on_gpu: bool
    memory: str | None
    """The estimate for the largest batch and the memory of the device; None if it is unknown."""
    notes: tuple[str, ...]
    """Sentences about the machine and the choice."""


def choose(model: str, path: str, machine: Machine) -> Starter:
    """Return a study of a model that is expected to run on a machine.

    Args:
        model: as the study file names it.
        path: the same from the working directory.
        machine: where it will run.

    Raises:
        ConfigError: no candidate can run here; the sentence has the reason of the first one.
    """
    reasons: list[str] = []
    for fields, precisions in _candidates(machine):
        found = _fitting({"model": path, **fields}, precisions, machine)
        if isinstance(found, Starter):
            fields = {**found.fields, "model": model}
            return Starter(
                fields, found.precisions, found.batch_sizes, found.on_gpu, found.memory, found.notes
            )
        reasons.append(found)
    raise usage_error("", f"{model}: no study of this model can run here: {reasons[0]}")


def _candidates(machine: Machine) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Yield fields and precisions, the preferred ones first."""
    kinds: list[dict[str, Any]] = [{}, {"weights": "random"}]
    if machine.visible_gpus:
        half = half_precision(machine.visible_gpus)
        precisions = (half or "fp16",)
        for weights in kinds:
            yield {**weights, "pytorch.device": "cuda"}, precisions
        if len(machine.visible_gpus) > 1:
            yield {"pytorch.device": "cuda", "pytorch.device_map": "auto"}, precisions
        yield {"pytorch.device": "cuda", "pytorch.load_in_4bit": True}, precisions
    half = half_precision(())
    for weights in kinds:
        yield {**weights, "pytorch.device": "cpu"}, ("fp32", half) if half else ("fp32",)
        # Half the memory, although this CPU computes it slowly.
        yield {**weights, "pytorch.device": "cpu"}, ("bf16",)


def _fitting(
    fields: Mapping[str, Any], precisions: Sequence[str], machine: Machine
) -> Starter | str:
    """Return the study with the batch sizes that fit, or why none does."""
    on_gpu = fields["pytorch.device"] != "cpu"
    batches = _GPU_BATCHES if on_gpu else _CPU_BATCHES
    fields = {**fields, "n": max(batches)}
    try:
        config = _experiment(fields, precisions[0], batches[0])
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])
    report = check([config], machine)
    if problems := _problems(report):
        return problems[0]
    fields |= _lengths(context_tokens(config), _GPU_TOKENS if on_gpu else _CPU_TOKENS)
    device_bytes = machine.memory_bytes(
        "gpu" if on_gpu else "cpu",
        is_spread="pytorch.device_map" in fields,
        gpus=machine.visible_gpus,
    )
    sizes = {batch: estimate_memory(_experiment(fields, precisions[0], batch)) for batch in batches}
    fit = [batch for batch, size in sizes.items() if _fits(size, device_bytes)]
    if not fit:
        return f"{_memory(sizes[batches[0]], device_bytes)} at batch size 1"
    size = sizes[fit[-1]]
    experiments = [_experiment(fields, name, batch) for name in precisions for batch in fit]
    report = check(experiments, machine)
    if problems := _problems(report):
        return problems[0]
    return Starter(
        fields={**fields, "n": max(fit[-1], 16)},
        precisions=tuple(precisions),
        batch_sizes=tuple(fit),
        on_gpu=on_gpu,
        memory=None if size is None or device_bytes is None else _memory(size, device_bytes),
        notes=tuple(finding.message for finding in report.warnings),
    )


def _problems(report: PreflightReport) -> list[str]:
    return [finding.message for finding in (*report.problems, *report.expected_failures)]


def _experiment(fields: Mapping[str, Any], precision: str, batch_size: int) -> ExperimentConfig:
    """Return one point.

    Raises:
        ValidationError: the fields are wrong, for example the name of a builtin model.
    """
    data: dict[str, Any] = {"precision": precision, "pytorch": {"batch_size": batch_size}}
    for key, value in fields.items():
        section, _, name = key.rpartition(".")
        (data.setdefault(section, {}) if section else data)[name] = value
    return ExperimentConfig.model_validate(data)


def _lengths(n_context: int | None, choices: Sequence[tuple[int, int]]) -> dict[str, int]:
    """Return the first lengths that fit a context length, or else the shortest."""
    fitting = [pair for pair in choices if n_context is None or sum(pair) <= n_context]
    n_input, n_output = fitting[0] if fitting else choices[-1]
    return {"max_input_tokens": n_input, "max_output_tokens": n_output}


def _fits(size: MemoryEstimate | None, device_bytes: int | None) -> bool:
    if size is None or device_bytes is None:
        return True
    return size.total_bytes <= _MEMORY_SHARE * device_bytes


def _memory(size: MemoryEstimate | None, device_bytes: int | None) -> str:
    needed = "an unknown amount" if size is None else gigabytes(size.total_bytes)
    return f"it needs about {needed} of {gigabytes(device_bytes or 0)} of memory"
