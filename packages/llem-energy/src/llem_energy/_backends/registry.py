"""Finds backends and their facts by name, through entry points."""

from __future__ import annotations

import functools
from importlib.metadata import entry_points

from llem_config import ExperimentConfig
from llem_energy._backends.facts import BackendFacts
from llem_energy._backends.protocol import Backend
from llem_energy._errors import BackendError

GROUP = "llem.backends"
FACTS_GROUP = "llem.backend_facts"


def backend_names() -> tuple[str, ...]:
    """Return the names of the backends that installed packages provide."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def backend_package(name: str) -> str:
    """Return the installed package that provides a backend; its extra of that name completes it."""
    packages = [point.dist.name for point in entry_points(group=GROUP, name=name) if point.dist]
    return packages[0] if packages else "llem-energy"


def find_backend(config: ExperimentConfig) -> Backend:
    """Return a new backend for an experiment; nothing is loaded yet.

    Raises:
        BackendError: no installed package provides it, or its library is missing.
    """
    for point in entry_points(group=GROUP, name=config.backend):
        try:
            factory = point.load()
        except ImportError as error:
            package = backend_package(config.backend)
            raise BackendError(
                f"the {config.backend} backend needs {error.name}; "
                f"install it with `pip install '{package}[{config.backend}]'`"
            ) from error
        backend: Backend = factory(config)
        return backend
    raise BackendError(missing_backend_problem(config.backend))


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
    for point in entry_points(group=FACTS_GROUP, name=backend):
        try:
            facts = point.load()()
        except Exception as error:  # whatever the import of another package may raise
            raise BackendError(_unusable(backend, f"{type(error).__name__}: {error}")) from error
        if not isinstance(facts, BackendFacts):
            found = type(facts).__name__
            raise BackendError(_unusable(backend, f"expected BackendFacts, found {found}"))
        return facts
    return BackendFacts()


def _unusable(backend: str, problem: str) -> str:
    package = backend_package(backend)
    return f"the facts of the backend {backend} (package {package}) cannot be used: {problem}"


def preload(config: ExperimentConfig) -> None:
    """Import everything that the experiment will need, without touching GPU or model.

    A child process calls this during the gap before its run. The caller may ignore every error:
    the run itself will meet it again.
    """
    config = config.with_full_paths()
    for point in entry_points(group=GROUP, name=config.backend):
        factory = point.load()
        backend_preload = getattr(factory, "preload", None)
        if backend_preload is not None:
            backend_preload(config)
    import pyarrow as pa
    import pyarrow.parquet

    # The first array looks for pandas, whose import takes a second where it is installed.
    pa.array([0])
