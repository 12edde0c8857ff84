"""The GPUs that a cluster has given to this process, by UUID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llem_energy.preflight import Grant, choose_gpus, shown_gpus
from llem_runner._errors import StudyError


def granted_gpus(names: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the UUIDs of the GPUs of a job; () if the driver shows none.

    A job on the processor may have GPUs too, e.g. with its whole node, and need no driver. A point
    that needs a GPU is refused by the check of the machine.

    Args:
        names: as the cluster names them: UUIDs, or the numbers of their device files.
        environment: of the process; CUDA_VISIBLE_DEVICES may leave out some.

    Raises:
        StudyError: it cannot be told which GPUs these are, or the job has none.
    """
    shown = shown_gpus()
    if not shown:
        return ()
    choice = choose_gpus(shown, environment, Grant(gpus=tuple(names)))
    if choice.problem is not None:
        raise StudyError(choice.problem)
    return choice.uuids
