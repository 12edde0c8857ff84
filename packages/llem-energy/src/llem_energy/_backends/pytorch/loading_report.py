"""Compares the weights that a model runs with those in its files.

transformers only logs what it left out, made anew or did not tie. The label of the result would
then be wrong: it names a model that did not run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from llem_energy._errors import BackendError
from llem_energy._model_info.stored_weights import StoredTensor
from llem_energy._model_info.weight_counts import MAX_UNUSED_SHARE

# Constants that older versions of the library stored with the weights and now compute: rotary
# frequencies, position ids, and the causal mask, which is called a bias.
_CONSTANT = re.compile(r"(inv_freq|position_ids|masked_bias|attn\.bias|attention\.bias)$")


def loading_warnings(
    name: str,
    model: Any,
    report: Mapping[str, Any],
    stored: Mapping[str, StoredTensor],
    *,
    has_other_parts: bool,
) -> Iterator[str]:
    """Yield how the loaded weights differ from the files, as sentences for the result.

    Args:
        name: of the model, for the sentences.
        model: as loaded.
        report: the loading info of transformers.
        stored: the tensors in the files; empty if they are not safetensors.
        has_other_parts: the model has parts for images or sound, which a causal language model may
            leave out. Then unused weights are no reason to refuse.

    Raises:
        BackendError: weights are missing or have another shape, or a large share is not used.
    """
    if missing := sorted(report["missing_keys"]):
        # The library would draw them at random and only log it.
        raise BackendError(
            f"the files of model {name!r} lack {len(missing)} of its weights, e.g. {missing[0]}"
        )
    for key, in_file, expected in sorted(report.get("mismatched_keys") or ()):
        raise BackendError(
            f"the files of model {name!r} do not match its config.json: {key} has the shape "
            f"{tuple(in_file)}, expected {tuple(expected)}"
        )
    if errors := list(report.get("error_msgs") or ()):
        raise BackendError(f"the weights of model {name!r} cannot be used: {errors[0]}")
    unused = _without_constants(report["unexpected_keys"], stored)
    if unused:
        sentence = _unused(name, unused, model, stored)
        share = _n_unused(unused, model, stored) / max(_n_values(stored.values()), 1)
        if share >= MAX_UNUSED_SHARE and not has_other_parts:
            raise BackendError(f"{sentence}; correct its config.json")
        yield sentence
    if _is_untied(model):
        yield (
            f"config.json of model {name!r} ties the output layer to the embeddings, but its files "
            "hold different values for both, so both are in memory"
        )


def _without_constants(names: Iterable[str], stored: Mapping[str, StoredTensor]) -> list[str]:
    """Return the names of weights; a bias of attention is a mask if it has 4 dimensions."""

    def is_constant(name: str) -> bool:
        is_vector = name in stored and len(stored[name].shape) == 1
        return bool(_CONSTANT.search(name)) and not (name.endswith(".bias") and is_vector)

    return sorted(name for name in names if not is_constant(name))


def _n_values(tensors: Iterable[StoredTensor]) -> int:
    return sum(tensor.n_values for tensor in tensors)


def _n_unused(unused: Collection[str], model: Any, stored: Mapping[str, StoredTensor]) -> int:
    """Return the number of weights that are not used; 0 if it is unknown.

    The library renames and joins some tensors, so that their names are not those in the files.
    Then it is the number of weights that the model does not have.
    """
    if all(name in stored for name in unused):
        return _n_values(stored[name] for name in unused)
    if getattr(model.config, "quantization_config", None) is not None:
        return 0  # packed values cannot be compared
    n_loaded: int = sum(weight.numel() for weight in model.parameters())
    return max(0, _n_values(stored.values()) - n_loaded)


def _unused(
    name: str, unused: Collection[str], model: Any, stored: Mapping[str, StoredTensor]
) -> str:
    n_unused, n_stored = _n_unused(unused, model, stored), _n_values(stored.values())
    share = (
        f"{n_unused:,} of {n_stored:,} weights ({n_unused / n_stored:.1%})"
        if n_unused and n_stored
        else f"{len(unused)} tensors"
    )
    return f"{share} in the files of model {name!r} are not used, e.g. {min(unused)}"


def _is_untied(model: Any) -> bool:
    ties = getattr(model.config.get_text_config(), "tie_word_embeddings", False)
    output, inputs = model.get_output_embeddings(), model.get_input_embeddings()
    if not ties or output is None or inputs is None:
        return False
    return getattr(output, "weight", None) is not getattr(inputs, "weight", None)
