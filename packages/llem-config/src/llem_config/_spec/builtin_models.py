"""The names of the models that llem contains, so that a misspelt one is a mistake in the file."""

from __future__ import annotations

import difflib

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

PREFIX = "builtin:"
BUILTIN_MODELS = ("llama-1b", "llama-8b", "olmoe-7b", "qwen-0.5b", "tiny-llama", "tiny-moe")
"""Their architectures are files of llem-energy."""


def _is_known(model: str | None) -> str | None:
    """Return a model.

    Raises:
        PydanticCustomError: there is no builtin model of that name.
    """
    if model is None or not model.startswith(PREFIX):
        return model
    name = model.removeprefix(PREFIX)
    if name in BUILTIN_MODELS:
        return model
    near = difflib.get_close_matches(name.lower(), BUILTIN_MODELS, n=1)
    hint = f"; did you mean '{PREFIX}{near[0]}'?" if near else ""
    names = ", ".join(BUILTIN_MODELS)
    raise PydanticCustomError(
        "llem_builtin",
        "expected one of the builtin models {names}, found {name}{hint}",
        {"names": names, "name": repr(name[:100]), "hint": hint},
    )


KNOWN_BUILTIN = AfterValidator(_is_known)
"""In the metadata of a field whose value may be `builtin:NAME`."""
