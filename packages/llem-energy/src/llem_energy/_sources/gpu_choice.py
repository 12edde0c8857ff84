"""Which NVIDIA GPUs a process may use, by UUID; arithmetic on names only.

A number in CUDA_VISIBLE_DEVICES is a place in a list that depends on the reader: on the control group of
a job, and on the order in which CUDA counts boards. A UUID means one board everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from llem_config.text import shortened

VISIBLE, ORDER, BY_BUS = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "PCI_BUS_ID"
_NO_DEVICE_FILES = "NoDevFiles"  # of a batch system, for a job without a GPU
_END = "-1"  # CUDA ignores what follows
_MAX_DIGITS = 9


class ShownGpu(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU that the driver shows to this process."""

    uuid: str
    """UUID."""
    name: str | None = None
    """Name of the product; None: not reported."""
    minor: int | None = None
    """The number in the name of its device file; the same in every control group."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster says about the GPUs of a job."""

    gpus: tuple[str, ...] | None = None
    """UUIDs or minor numbers; None: the cluster does not tell."""
    whole_machine: bool = False
    """Whether no other job can be on the machine."""


class GpuChoice(msgspec.Struct, frozen=True):
    """The GPUs that a process may use."""

    uuids: tuple[str, ...] = ()
    """In the order of CUDA_VISIBLE_DEVICES, else in the driver's. With a problem: every GPU that may
    be meant."""
    problem: str | None = None
    """Why it cannot be told which GPUs these are; one sentence."""
    is_limited: bool = False
    """Whether a cluster or CUDA_VISIBLE_DEVICES has chosen them."""


class _Unclear(Exception):  # noqa: N818  # becomes a sentence
    """It cannot be told which GPUs are meant."""


def choose_gpus(
    shown: Sequence[ShownGpu], environment: Mapping[str, str], grant: Grant | None = None
) -> GpuChoice:
    """Return the GPUs that a process may use.

    Args:
        shown: the GPUs of the driver, in its order, which is that of the PCI bus.
        environment: with CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, if they are set.
        grant: of the cluster that started this process; None if none has.
    """
    variable = environment.get(VISIBLE)
    is_limited = variable is not None or grant is not None
    try:
        uuids = _chosen(shown, variable, environment.get(ORDER) == BY_BUS, grant)
    except _Unclear as unclear:
        every = () if variable == _NO_DEVICE_FILES else tuple(gpu.uuid for gpu in shown)
        return GpuChoice(every, str(unclear), is_limited)
    return GpuChoice(uuids, is_limited=is_limited)


def _chosen(
    shown: Sequence[ShownGpu], variable: str | None, is_by_bus: bool, grant: Grant | None
) -> tuple[str, ...]:
    if variable == _NO_DEVICE_FILES:
        raise _Unclear(
            f"the cluster has given this job no GPU ({VISIBLE}={variable}); ask it for one"
        )
    names = _names(variable)
    if names and all(name.startswith("MIG-") for name in names):
        return tuple(dict.fromkeys(names))
    granted = None if grant is None or grant.gpus is None else _granted(shown, grant.gpus)
    if names is None:
        if granted is not None:
            return tuple(gpu.uuid for gpu in granted)
        if grant is not None and not grant.whole_machine and len(shown) > 1:
            raise _Unclear(
                f"cannot tell which of {len(shown)} GPUs is this job's: neither the cluster nor "
                f"{VISIBLE} names it; set {VISIBLE} to its UUID"
            )
        return tuple(gpu.uuid for gpu in shown)
    if all(name.startswith(("GPU-", "MIG-")) for name in names):
        return _by_uuid(shown if granted is None else granted, names)
    if granted is not None and grant is not None and len(granted) < len(shown):
        if {*names} == {str(gpu.minor) for gpu in granted}:  # as a cluster numbers them
            return tuple(gpu.uuid for gpu in granted)
        numbered = _by_number(shown, names, is_by_bus)
        if not {*numbered} <= {gpu.uuid for gpu in granted}:
            raise _Unclear(
                f"cannot tell which of {len(shown)} GPUs is this job's: the cluster gives "
                f"{', '.join(grant.gpus or ())}, but {VISIBLE}={variable} is "
                f"{', '.join(numbered)}; set {VISIBLE} to UUIDs"
            )
        return numbered
    return _by_number(shown if granted is None else granted, names, is_by_bus)


def _names(variable: str | None) -> list[str] | None:
    if variable is None:
        return None
    names = [name.strip() for name in variable.split(",") if name.strip()]
    return names[: names.index(_END)] if _END in names else names


def _granted(shown: Sequence[ShownGpu], granted: Sequence[str]) -> Sequence[ShownGpu]:
    """Return the GPUs of a grant; where a control group hides all others, these are all GPUs."""
    if len({*granted}) == len(shown) and not any(name.startswith("GPU-") for name in granted):
        return shown
    found = [gpu for gpu in shown if gpu.uuid in granted or str(gpu.minor) in granted]
    if len(found) != len({*granted}):
        raise _Unclear(
            f"cannot tell which of {len(shown)} GPUs is this job's: the cluster gives "
            f"{', '.join(granted)}, and the driver shows {len(found)} of them; check the devices of "
            "this machine with `nvidia-smi`"
        )
    return found


def _by_uuid(shown: Sequence[ShownGpu], names: Sequence[str]) -> tuple[str, ...]:
    """Return full UUIDs; CUDA accepts their beginnings. Names of MIG instances stay."""
    return tuple(
        name if name.startswith("MIG-") else _the_one(shown, name) for name in dict.fromkeys(names)
    )


def _the_one(shown: Sequence[ShownGpu], name: str) -> str:
    uuids = [gpu.uuid for gpu in shown if gpu.uuid.startswith(name)]
    if name in uuids:
        return name
    if len(uuids) != 1:
        raise _Unclear(
            f"{VISIBLE} names {name}, which is {len(uuids)} of the {len(shown)} GPUs that this "
            "process may use; name one of them by its whole UUID"
        )
    return uuids[0]


def _by_number(shown: Sequence[ShownGpu], names: Sequence[str], is_by_bus: bool) -> tuple[str, ...]:
    variable = shortened(",".join(names), 200)
    if not all(_is_number(name) and int(name) < len(shown) for name in names):
        raise _Unclear(
            f"{VISIBLE}={variable}: expected numbers below {len(shown)}, the number of GPUs that "
            "this process may use, or UUIDs; `nvidia-smi -L` lists them"
        )
    # CUDA puts the fastest board first, so its numbers are the driver's only for equal boards.
    if not is_by_bus and len(shown) > 1 and len({gpu.name for gpu in shown}) > 1:
        raise _Unclear(
            f"cannot tell which of {len(shown)} GPUs {VISIBLE}={variable} is, because CUDA numbers "
            f"unequal boards in its own order; set {ORDER}={BY_BUS}, or name UUIDs"
        )
    return tuple(shown[int(name)].uuid for name in dict.fromkeys(names))


def _is_number(name: str) -> bool:
    """Return whether this is a number that `int` reads; it refuses superscripts and very long ones."""
    return name.isascii() and name.isdigit() and len(name) <= _MAX_DIGITS
