"""How close the data of a measurement are to those of a service: weights, tokens, template, ends.

The power of a GPU depends on the values that it multiplies. Random values change energy by up to
40 % in published measurements of the same matrix product (arXiv 2409.18324).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from llem_config import ExperimentConfig
from llem_energy._estimation.figures import ErrorBudget

_DEPENDS = "power depends on the values, by up to 40 % in published measurements (arXiv 2409.18324)"


class DataRealism(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model computed with."""

    weights: Literal["trained", "random"]
    """`trained`: read from files; llem cannot know whether they were trained."""
    tokens: Literal["text", "random ids"]
    """`text`: the prompts of a data set."""
    chat_template: bool
    """Whether a chat template made the prompts."""
    ends: Literal["own", "forced"]
    """`forced`: every output has `max_output_tokens`, because end tokens are ignored or come later."""

    @property
    def random_parts(self) -> str:
        """Return what is random, as the beginning of a sentence; empty if nothing is."""
        match self.weights, self.tokens:
            case "random", "random ids":
                return "weights and tokens are random"
            case "random", _:
                return "the weights are random"
            case _, "random ids":
                return "the tokens are random"
        return ""

    def warnings(self, *, has_energy: bool) -> Iterator[str]:
        """Yield what a reader must know before using the figures.

        Args:
            has_energy: whether any energy was measured.
        """
        if not self.random_parts:
            return
        if has_energy:
            yield (
                f"{self.random_parts}: {_DEPENDS}, so these joules are those of random data; do "
                "not publish them as the model's"
            )
        else:
            yield (
                f"{self.random_parts}: {_DEPENDS}, and speed with it where a power limit slows the "
                "device; do not publish this speed as the model's"
            )

    def in_budget(self, budget: ErrorBudget | None) -> ErrorBudget | None:
        """Return an error budget with the error of the data."""
        if budget is None:
            return None
        share = None if self.random_parts else 0.0
        reason = f"unknown: {self.random_parts}, and {_DEPENDS}" if self.random_parts else None
        return msgspec.structs.replace(budget, data_share=share, data_reason=reason)


def data_realism(config: ExperimentConfig, *, has_template: bool) -> DataRealism:
    """Return what the data of an experiment are.

    Args:
        config: the experiment.
        has_template: whether a chat template made the prompts.
    """
    decoder = config.decoder
    is_forced = decoder.ignore_eos or (decoder.min_new_tokens or 0) >= config.max_output_tokens
    return DataRealism(
        weights="random" if config.weights == "random" else "trained",
        tokens="random ids" if config.dataset.source == "synthetic" else "text",
        chat_template=has_template,
        ends="forced" if is_forced else "own",
    )


_PACKING = re.compile(r".*(quant|\dbit).*")  # options of any backend


def number_types(config: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Return the precision of an experiment, and its options that store weights in fewer bits.

    Args:
        config: the experiment as plain data.
    """
    sections = (section for section in config.values() if isinstance(section, Mapping))
    packed = {
        f"{name}: {value}"
        for section in sections
        for name, value in _options(section)
        if value and _PACKING.fullmatch(name)
    }
    return (config.get("precision"), *sorted(packed))


def _options(section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the options of a section, and those in mappings that it passes on to a library."""
    for name, value in section.items():
        yield name, value
        if isinstance(value, Mapping):
            yield from value.items()


def random_data_caveat(configs: Iterable[Mapping[str, Any]]) -> str | None:
    """Return a sentence if random weights may change the ratios in joules of compared points.

    Args:
        configs: the experiments of the points as plain data, with defaults.
    """
    compared = list(configs)
    precisions = {number_types(config) for config in compared}
    if len(precisions) < 2 or all(config.get("weights") != "random" for config in compared):
        return None
    return (
        f"the weights are random and the points differ in precision: {_DEPENDS}, and differently "
        "in each precision, so the ratios in joules are those of random data"
    )
