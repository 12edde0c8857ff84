"""Energy sources by name, found by entry points, and the first one that this machine can read.

A source is cumulative: each reading has the joules of a device since some fixed instant.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from llem_config.extensions import Extension, extensions
from llem_energy._errors import MeasurementError
from llem_energy._sources.protocol import (
    KINDS,
    EnergySource,
    Sample,
    SourceDiagnosis,
    SourceType,
    SourceUnavailable,
)

GROUP = "llem.energy_sources"
_PACKAGE = "llem-energy"
_ATTRIBUTES = ("name", "kind", "devices", "gain_share", "versions", "power_limit_w", "close")


def source_names() -> tuple[str, ...]:
    """Return the sources that installed packages provide, ours first."""
    declared = [extension for extension in extensions(GROUP) if extension.name != "none"]
    ours = sorted({item.name for item in declared if item.package == _PACKAGE})
    others = sorted({item.name for item in declared}.difference(ours))
    return (*ours, *others)


def source_type(name: str) -> SourceType:
    """Return what opens a source.

    Raises:
        SourceUnavailable: no installed package provides it, or its package cannot be used.
    """
    extension = _extension(name)
    try:
        return cast("SourceType", extension.load())
    except Exception as error:  # importing another package may raise anything
        raise SourceUnavailable(
            f"the package {extension.package}, which provides it, cannot be imported "
            f"({type(error).__name__}: {error}); install what it needs or reinstall it"
        ) from error


def open_source(
    names: Sequence[str], gpus: Sequence[int | str]
) -> tuple[EnergySource | None, list[str]]:
    """Return the first source of `names` that this machine can read, and why others cannot be read.

    Args:
        names: of `source_names`, or `none`, in order of preference.
        gpus: NVML indices or UUIDs of the GPUs to meter.
    """
    reasons: list[str] = []
    for name in names:
        if name == "none":
            reasons.append("the experiment requests no energy source")
            break
        try:
            return _open(name, gpus), reasons
        except MeasurementError as error:
            reasons.append(f"{name}: {error}")
    return None, reasons


class OpenSources(NamedTuple):
    """The meters of a measurement, and why others cannot be read."""

    source: EnergySource | None
    """Of what the model runs on."""
    host: EnergySource | None
    """Of the processor beside a GPU."""
    reasons: list[str]
    """Of the names that were tried for `source`."""
    host_reasons: list[str]


def open_sources(names: Sequence[str], gpus: Sequence[int | str], *, on_gpu: bool) -> OpenSources:
    """Return the first source that meters what the model runs on, and one of the processor beside it.

    Args:
        names: of `source_names`, or `none`, in order of preference.
        gpus: NVML indices or UUIDs of the GPUs to meter.
        on_gpu: whether the model runs on GPUs. A source of the processor then never replaces theirs.
    """
    source: EnergySource | None = None
    host: EnergySource | None = None
    reasons: list[str] = []
    host_reasons: list[str] = []
    for name in names:
        if name == "none":
            reasons.append("the experiment requests no energy source")
            break
        # A meter of the board includes the processor; one of the processor needs none beside it.
        if source is not None and (source.kind != "gpu" or host is not None):
            break
        try:
            opened = _open(name, gpus)
        except MeasurementError as error:
            (reasons if source is None else host_reasons).append(f"{name}: {error}")
            continue
        if opened.kind == "cpu" and host is None and (on_gpu or source is not None):
            host = opened
        elif source is None and not (opened.kind == "cpu" and on_gpu):
            source = opened
        else:
            opened.close()
    return OpenSources(source, host, reasons, host_reasons)


def missing_meters(
    names: Sequence[str], gpus: Sequence[int | str], *, on_gpu: bool = False
) -> list[str]:
    """Return why no source meters what the model runs on; [] if one does, or if `none` is among them.

    Args:
        names: as in `open_sources`.
        gpus: as in `open_sources`.
        on_gpu: as in `open_sources`.
    """
    opened = open_sources(names, gpus, on_gpu=on_gpu)
    for source in (opened.source, opened.host):
        if source is not None:
            source.close()
    if opened.source is not None or "none" in names:
        return []
    host = [] if opened.host is None else [f"{opened.host.name}: meters the processor only"]
    return [*opened.reasons, *host]


def diagnose_source(name: str) -> SourceDiagnosis:
    """Return what a source finds on this machine; a source that fails gives the reason."""
    try:
        diagnose = getattr(source_type(name), "diagnose", None)
        if diagnose is None:
            _open(name, ()).close()
            return SourceDiagnosis()
        diagnosis = diagnose()
    except MeasurementError as error:
        return SourceDiagnosis(reason=str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # another package may raise anything
        return _broken_diagnosis(name, f"{type(error).__name__}: {error}")
    if not isinstance(diagnosis, SourceDiagnosis):
        return _broken_diagnosis(name, f"expected a SourceDiagnosis, found {diagnosis!r}")
    return diagnosis


def _broken_diagnosis(name: str, problem: str) -> SourceDiagnosis:
    package = _extension(name).package
    return SourceDiagnosis(
        reason=f"diagnose() of the package {package}, which provides it, failed ({problem})"
    )


def _open(name: str, gpus: Sequence[int | str]) -> EnergySource:
    """Open a source and read it once, so that a broken one fails here."""
    opener = source_type(name)
    package = _extension(name).package
    with contextlib.ExitStack() as cleanup:
        try:
            source = opener(gpus)
            cleanup.callback(_close_broken, source)
            problem = _problem(source, name)
        except MeasurementError:
            raise
        except (Exception, SystemExit) as error:
            raise SourceUnavailable(
                f"the package {package}, which provides it, failed to open it "
                f"({type(error).__name__}: {error})"
            ) from error
        if problem is not None:
            raise SourceUnavailable(
                f"the package {package}, which provides it, is broken: {problem}"
            )
        n_gpus = _n_gpus(gpus)
        if source.kind == "gpu" and len(source.devices) < n_gpus:
            raise SourceUnavailable(
                f"it meters {len(source.devices)} of the {n_gpus} GPUs, so that a total would lack the "
                "energy of the others"
            )
        cleanup.pop_all()
    return source


def _n_gpus(keys: Sequence[int | str]) -> int:
    """Return how many GPUs are named; one may be named by index and by UUID."""
    indices = {key for key in keys if isinstance(key, int)}
    return max(len(indices), len({*keys} - indices))


def _close_broken(source: Any) -> None:
    with contextlib.suppress(Exception):  # it may lack `close`
        source.close()


def _problem(source: Any, name: str) -> str | None:
    """Return what an open source does wrong; None if it keeps the protocol."""
    missing = [attribute for attribute in _ATTRIBUTES if not hasattr(source, attribute)]
    if missing:
        return f"its source has no {', '.join(missing)}"
    if source.name != name:
        return f"expected a source named {name}, found {source.name!r}"
    if source.kind not in KINDS:
        return f"expected one of {', '.join(KINDS)} as its kind, found {source.kind!r}"
    samples = source.read()
    if not isinstance(samples, list | tuple):
        return f"expected a tuple of Sample from read(), found {samples!r}"
    others = [sample for sample in samples if not isinstance(sample, Sample)]
    if others:
        return f"expected a tuple of Sample from read(), found {others[0]!r} in it"
    if tuple(sample.device for sample in samples) != tuple(source.devices):
        return "read() must return one sample per device, in the order of `devices`"
    return None


def _extension(name: str) -> Extension:
    """Return the extension of a source. No package can take over a name of llem."""
    declared = extensions(GROUP, name)
    packages = sorted({extension.package for extension in declared})
    if len(packages) > 1:
        raise SourceUnavailable(
            f"the packages {' and '.join(packages)} both provide it; uninstall one of them"
        )
    if not declared:
        raise SourceUnavailable("no installed package provides it; install the package that does")
    return declared[0]
