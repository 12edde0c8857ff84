"""Backends by name, found through entry points."""

from __future__ import annotations

from importlib.metadata import entry_points

from llem_config import ExperimentConfig
from llem_energy._backends.protocol import Backend
from llem_energy._errors import BackendError

GROUP = "llem.backends"
NEEDS = "llem.needs"


def backend_names() -> tuple[str, ...]:
    """Return the backends that installed packages offer."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def backend_package(name: str) -> str:
    """Return the installed package that offers a backend; its extra of that name completes it."""
    packages = [point.dist.name for point in entry_points(group=GROUP, name=name) if point.dist]
    return packages[0] if packages else "llem-energy"


def find_backend(config: ExperimentConfig) -> Backend:
    """Return a new backend for an experiment; nothing is loaded yet.

    Raises:
        BackendError: no installed package offers it, or its library is missing.
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
    known = ", ".join(backend_names()) or "none"
    raise BackendError(f"no installed package offers the backend {config.backend}; found: {known}")


def preload(config: ExperimentConfig) -> None:
    """Import everything the experiment will need, without touching GPU or model.

    A worker calls this while the gap before its run still passes. It may ignore whatever this
    raises: the run will meet the same again.
    """
    for point in entry_points(group=GROUP, name=config.backend):
        factory = point.load()
        warm = getattr(factory, "preload", None)
        if warm is not None:
            warm(config)
    import pyarrow as pa
    import pyarrow.parquet

    # The first array looks for pandas, which takes a second to import where it is installed.
    pa.array([0])
