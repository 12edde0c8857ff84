"""The docstrings of a struct's fields, from its source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache

import msgspec


@cache
def field_docstrings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the docstring below each field of a struct, on one line; fields without one are absent.

    Python does not keep these docstrings, so they are read from the source file.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(struct)))
    except (OSError, TypeError):  # installed without sources
        return {}
    (definition,) = tree.body
    if not isinstance(definition, ast.ClassDef):
        return {}
    found = {}
    for node, below in zip(definition.body, definition.body[1:], strict=False):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        match below:
            case ast.Expr(value=ast.Constant(value=str(text))):
                found[node.target.id] = " ".join(text.split())
    return found
