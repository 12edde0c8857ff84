"""Whether a model is a decoder that transformers can run alone, read without importing either.

Other models would run too, but only in part: an encoder-decoder without its encoder, an encoder
with a task that it was not trained for. The pre-flight checks call this in a process that does not
load torch, so this file must not load it either.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llem_config import ExperimentConfig
from llem_energy._backends.pytorch.section import section
from llem_energy._model_info.architecture import read_config
from llem_energy._model_info.model_ref import ModelRef

AUTO_CLASS = "AutoModelForCausalLM"
_TABLE = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
# Sizes that only a model with both parts has; older config.json files lack `is_encoder_decoder`.
_BOTH_PARTS = (
    ("encoder_layers", "decoder_layers"),
    ("num_encoder_layers", "num_decoder_layers"),
    ("num_layers", "num_decoder_layers"),
    ("encoder", "decoder"),
)
_OTHER_TASKS = (
    "ForMaskedLM", "ForPreTraining", "ForSequenceClassification", "ForTokenClassification",
    "ForQuestionAnswering", "ForMultipleChoice", "ForNextSentencePrediction",
)  # fmt: skip
ENCODER_DECODER = (
    "is an encoder-decoder model, of which only the decoder would run; use a decoder-only model"
)


NEEDS_CODE = (
    "needs the code that came with it; read that code, then set pytorch.trust_remote_code: true"
)


def not_causal(model_type: str) -> str:
    """Return why the library cannot run a model of this type, as the end of a sentence."""
    return (
        f"is of type {model_type}, which the installed transformers cannot run as a causal language "
        "model; use a model of another type, or a newer transformers"
    )


def kind_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield why the models of an experiment cannot be measured, as far as config.json shows it."""
    options = section(config)
    models = [ModelRef(config.model, options.revision)]
    if options.assistant_model:
        models.append(ModelRef(options.assistant_model))
    for model in models:
        data = read_config(model)
        reason = None if data is None else _reason(data, bool(options.trust_remote_code))
        if reason:
            yield f"model {model.name} {reason}"


def _reason(data: Mapping[str, Any], trusts_code: bool) -> str | None:
    if is_encoder_decoder(data):
        return ENCODER_DECODER
    names, code, model_type = (
        data.get(name) for name in ("architectures", "auto_map", "model_type")
    )
    architecture = str(names[0]) if isinstance(names, list) and names else ""
    if architecture.endswith(_OTHER_TASKS) and not data.get("is_decoder"):
        return f"is a {architecture}, which was not trained to continue text; use a causal model"
    has_code = isinstance(code, dict) and AUTO_CLASS in code
    known = causal_model_types()
    if not isinstance(model_type, str) or known is None or model_type in known:
        return None
    if has_code:
        return None if trusts_code else NEEDS_CODE
    return not_causal(model_type)


def is_encoder_decoder(data: Mapping[str, Any]) -> bool:
    """Return whether a config.json describes a model with an encoder and a decoder."""
    stated = data.get("is_encoder_decoder")
    if isinstance(stated, bool):
        return stated
    return any(all(data.get(name) for name in names) for names in _BOTH_PARTS)


@functools.cache
def causal_model_types() -> frozenset[str] | None:
    """Return each `model_type` that the installed transformers can run; None if unknown.

    They are read from the source of the library, because importing the table imports torch.
    """
    try:
        package = importlib.util.find_spec("transformers")
        if package is None or package.origin is None:
            return None
        file = Path(package.origin).parent / "models" / "auto" / "modeling_auto.py"
        statements = ast.parse(file.read_text("utf-8")).body
    except (OSError, ValueError, SyntaxError):
        return None
    for statement in statements:
        names = statement.targets if isinstance(statement, ast.Assign) else []
        if any(isinstance(name, ast.Name) and name.id == _TABLE for name in names):
            return _first_items(statement)
    return None


def _first_items(statement: ast.stmt) -> frozenset[str] | None:
    """Return the first item of each pair in a table of pairs."""
    pairs = [node.elts for node in ast.walk(statement) if isinstance(node, ast.Tuple)]
    keys = {pair[0].value for pair in pairs if isinstance(pair[0], ast.Constant)}
    return frozenset(str(key) for key in keys) or None
