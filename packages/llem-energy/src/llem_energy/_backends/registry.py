"""Finds backends and their facts by name, through entry points."""

from __future__ import annotations

import functools

from llem_config import ExperimentConfig
from llem_config.extensions import Extension, extensions
from llem_energy._backends.checked_facts import CheckedFacts
from llem_energy._backends.facts import BackendFacts
from llem_energy._backends.protocol import Backend
from llem_energy._errors import BackendError

GROUP = "llem.backends"
FACTS_GROUP = "llem.backend_facts"


def backend_names() -> tuple[str, ...]:
    """Return the names of the backends that installed packages provide."""
    return tuple(sorted({extension.name for extension in extensions(GROUP)}))


def backend_package(name: str) -> str:
    """Return the installed package that provides a backend; its extra of that name completes it."""
    packages = [extension.package for extension in extensions(GROUP, name)]
    return packages[0] if packages else "llem-energy"


def _extension(name: str) -> Extension:
    """Return the extension that provides a backend.

    Raises:
        BackendError: no installed package provides it, or several do.
    """
    declared = extensions(GROUP, name)
    packages = sorted({extension.package for extension in declared})
    if len(packages) > 1:
        raise BackendError(
            f"the packages {' and '.join(packages)} both provide the backend {name}; "
            "uninstall one of them"
        )
    if not declared:
        raise BackendError(missing_backend_problem(name))
    return declared[0]


def find_backend(config: ExperimentConfig) -> Backend:
    """Return a new backend for an experiment; nothing is loaded yet.

    Raises:
        BackendError: no installed package provides it, or its library is missing.
    """
    extension = _extension(config.backend)
    try:
        factory = extension.load()
    except ImportError as error:
        raise BackendError(
            f"the {config.backend} backend needs {error.name}; "
            f"install it with `pip install '{extension.package}[{config.backend}]'`"
        ) from error
    except Exception as error:
        raise BackendError(
            f"the backend {config.backend} (package {extension.package}) cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    backend: Backend = factory(config)
    return backend


def process_ids(backend: Backend) -> tuple[int, ...]:
    """Return the processes that work for a backend and that it has not started itself.

    The method `process_ids` of a backend is optional; see `Backend`.
    """
    method = getattr(backend, "process_ids", None)
    return () if method is None else tuple(method())


def missing_backend_problem(name: str) -> str:
    """Return the sentence about a backend that no installed package provides."""
    names = ", ".join(backend_names()) or "none"
    return f"no installed package provides the backend {name}; installed: {names}"


@functools.cache  # called for every point of a study
def facts_of(backend: str) -> BackendFacts:
    """Return the facts of a backend; every fact is unknown if its package provides none.

    Raises:
        BackendError: the class of the facts cannot be imported or used.
    """
    declared = extensions(FACTS_GROUP, backend)
    packages = sorted({extension.package for extension in declared})
    if len(packages) > 1:
        raise BackendError(_unusable(backend, " and ".join(packages), "both declare them"))
    for extension in declared:
        package = extension.package
        try:
            facts = extension.load()()
        except (Exception, SystemExit) as error:  # whatever another package may raise
            problem = f"{type(error).__name__}: {error}"
            raise BackendError(_unusable(backend, package, problem)) from error
        if not isinstance(facts, BackendFacts):
            problem = f"expected BackendFacts, found {type(facts).__name__}"
            raise BackendError(_unusable(backend, package, problem))
        return CheckedFacts(facts, functools.partial(_unusable, backend, package))
    return BackendFacts()


def _unusable(backend: str, package: str, problem: str) -> str:
    return f"the facts of the backend {backend} (package {package}) cannot be used: {problem}"


def preload(config: ExperimentConfig) -> None:
    """Import everything that the experiment will need, without touching GPU or model.

    A child process calls this during the gap before its run. The caller may ignore every error:
    the run itself will meet it again.
    """
    config = config.with_full_paths()
    backend_preload = getattr(_extension(config.backend).load(), "preload", None)
    if backend_preload is not None:
        backend_preload(config)
    import pyarrow as pa
    import pyarrow.parquet

    # The first array looks for pandas, whose import takes a second where it is installed.
    pa.array([0])
