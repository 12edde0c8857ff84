"""Clusters by name, found through entry points."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from llem_config import LlemError
from llem_config.extensions import Extension, extensions
from llem_runner._errors import StudyError
from llem_runner._shards.cluster import Cluster
from llem_runner._shards.records import Place

_GROUP = "llem.clusters"
_log = logging.getLogger("llem")


def cluster_names() -> tuple[str, ...]:
    """Return the clusters that installed packages provide."""
    return tuple(sorted({extension.name for extension in extensions(_GROUP)}))


def find_cluster(name: str, options: Mapping[str, Any] | None = None) -> Cluster:
    """Return a cluster by its name.

    Args:
        name: under which an installed package provides it.
        options: settings that replace those of this machine for this cluster, by name.

    Raises:
        StudyError: no installed package provides it, or it cannot be imported.
    """
    declared = extensions(_GROUP, name)
    packages = sorted({extension.package for extension in declared})
    if len(packages) > 1:
        raise StudyError(
            f"--on: the packages {' and '.join(packages)} both provide the cluster {name!r}; "
            "uninstall one of them"
        )
    for extension in declared:
        return _load(extension, options)
    known = ", ".join(("none", *cluster_names()))
    raise StudyError(
        f"--on: expected one of {known}, found {name!r}; install the package that provides it, "
        f"such as llem-{name}"
    )


def find_place(environment: Mapping[str, str]) -> tuple[Cluster, Place] | None:
    """Return the cluster that has started this process, and where it runs; None if none has.

    A package that cannot be used is logged: it is probably not the one that has.

    Raises:
        StudyError: a cluster has, but this process cannot tell which GPUs are its own.
    """
    for extension in extensions(_GROUP):
        try:
            cluster = _load(extension, None)
        except LlemError as error:
            _log.warning("%s", error)
            continue
        place = cluster.here(environment)
        if place is not None:
            return cluster, place
    return None


def _load(extension: Extension, options: Mapping[str, Any] | None) -> Cluster:
    try:
        cluster: Cluster = extension.load()(options)
    except LlemError:  # one of ours, whose message says what to do
        raise
    except (Exception, SystemExit) as error:
        raise StudyError(
            f"the cluster {extension.name!r} of {extension.package} cannot be used: "
            f"{type(error).__name__}: {error}"
        ) from error
    return cluster
