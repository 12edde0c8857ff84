"""Reads facts about the models of transformers from the source of the library, without importing it.

Importing it takes seconds and imports torch. A test compares every answer with the library.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

Defaults = Mapping[str, object]
_CAUSAL, _MASKED = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_MASKED_LM_MAPPING_NAMES"
_BASE = "MODEL_MAPPING_NAMES"


def causal_model_types() -> frozenset[str] | None:
    """Return each `model_type` that has a class for causal language models; None if unknown."""
    types = _tables().get(_CAUSAL)
    return frozenset(types) if types else None


@functools.cache
def needed_to_be_causal(model_type: str) -> str | None:
    """Return the key of config.json that makes an encoder causal; None for a type that always is.

    An encoder has a class for masked language models, or a base class that is called an encoder. If
    the key is not true, the class for causal language models reads later tokens too.
    """
    defaults = config_defaults(model_type)
    is_encoder = model_type in _tables().get(_MASKED, {}) or "Encoder" in _tables().get(
        _BASE, {}
    ).get(model_type, "")
    if not is_encoder or defaults.get("is_encoder_decoder"):
        return None
    return next((key for key in ("is_decoder", "causal") if defaults.get(key) is False), None)


@functools.cache
def config_defaults(model_type: str) -> Defaults:
    """Return the defaults of the library's configuration class for a type; empty if unknown.

    Only those that are written as constants, also where a method sets them.
    """
    folder = _model_folder(model_type)
    if folder is None:
        return MappingProxyType({})
    for file in sorted(folder.glob("configuration_*.py")):
        classes = {node.name: node for node in _statements(file) if isinstance(node, ast.ClassDef)}
        for node in classes.values():
            if dict(_constants(node)).get("model_type") == model_type:
                return MappingProxyType(_defaults(node, classes))
    return MappingProxyType({})


def is_unknown_option(name: str, model_type: str) -> bool:
    """Return whether no code that loads models of a type has a name in it, comments apart.

    Such an option of a loader cannot have an effect. False if the code is not known.
    """
    names = _names_in_code(model_type)
    return bool(names) and name not in names


@functools.cache
def _names_in_code(model_type: str) -> frozenset[str]:
    """Return the names and the one-word texts in the code that loads models of a type."""
    library, folder = _library(), _model_folder(model_type)
    if library is None or folder is None:
        return frozenset()
    loaders = ("modeling_utils.py", "configuration_utils.py", "models/auto/auto_factory.py")
    files = [*(library / file for file in loaders), *folder.glob("*.py")]
    nodes = (node for file in files for tree in _statements(file) for node in ast.walk(tree))
    return frozenset(filter(None, map(_name, nodes)))


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    for kind, field in ((ast.Name, "id"), (ast.Attribute, "attr"), (ast.arg | ast.keyword, "arg")):
        if isinstance(node, kind):
            name: str | None = getattr(node, field)
            return name
    return None


def _model_folder(model_type: str) -> Path | None:
    """Return the folder of a type: the longest name that the type begins with."""
    library, name = _library(), model_type.replace("-", "_")
    if library is None or not name.isidentifier():
        return None
    parts = name.split("_")
    for n_parts in range(len(parts), 0, -1):
        folder = library / "models" / "_".join(parts[:n_parts])
        if any(folder.glob("configuration_*.py")):
            return folder
    return None


def _defaults(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> dict[str, object]:
    defaults: dict[str, object] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes and base.id != node.name:
            defaults |= _defaults(classes[base.id], classes)
    defaults |= dict(_constants(node))
    for method in node.body:
        if isinstance(method, ast.FunctionDef):
            defaults |= dict(_set_by(method))
    return defaults


def _constants(node: ast.ClassDef) -> Iterator[tuple[str, object]]:
    """Yield the names in the body of a class that are constants."""
    for statement in node.body:
        target: ast.expr
        if isinstance(statement, ast.AnnAssign):
            target = statement.target
        elif isinstance(statement, ast.Assign):
            target = statement.targets[0]
        else:
            continue
        if isinstance(target, ast.Name) and isinstance(statement.value, ast.Constant):
            yield target.id, statement.value.value


def _set_by(method: ast.FunctionDef) -> Iterator[tuple[str, object]]:
    """Yield the defaults that a method sets: of its arguments, and of attributes, always."""
    arguments = method.args.args[len(method.args.args) - len(method.args.defaults) :]
    if method.name == "__init__":
        for argument, default in zip(arguments, method.args.defaults, strict=True):
            if isinstance(default, ast.Constant):
                yield argument.arg, default.value
    for statement in method.body if method.name in ("__init__", "__post_init__") else ():
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if isinstance(target, ast.Attribute) and isinstance(statement, ast.Assign):
            value = statement.value
            if isinstance(value, ast.Constant):
                yield target.attr, value.value


@functools.cache
def _tables() -> Mapping[str, Mapping[str, str]]:
    """Return the tables of model classes that are needed here: the class of each type."""
    library = _library()
    if library is None:
        return {}
    tables: dict[str, Mapping[str, str]] = {}
    for statement in _statements(library / "models" / "auto" / "modeling_auto.py"):
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        for target in targets:
            if isinstance(target, ast.Name) and target.id in (_CAUSAL, _MASKED, _BASE):
                tables[target.id] = dict(_pairs(statement))
    return tables


def _pairs(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield the pairs of texts in a table; if the second is a tuple, its first text."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            key, value = node.elts
            value = value.elts[0] if isinstance(value, ast.Tuple) and value.elts else value
            if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                yield str(key.value), str(value.value)


def _statements(file: Path) -> list[ast.stmt]:
    try:
        return ast.parse(file.read_text("utf-8")).body
    except (OSError, ValueError, SyntaxError):
        return []


@functools.cache
def _library() -> Path | None:
    try:
        package = importlib.util.find_spec("transformers")
    except (ImportError, ValueError):
        return None
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent
