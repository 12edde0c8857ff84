"""Which GPUs of a machine a study uses, and into how many shards each of its cycles is cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from llem_config import StudyConfig
from llem_energy.backends import facts_of
from llem_energy.preflight import Machine, find_machine
from llem_runner._errors import StudyError
from llem_runner._plan.shards import MIN_POINTS, precision_kept

Gpus = Literal["all"] | Sequence[int | str]
"""`all`, or the driver's numbers of some GPUs, or their UUIDs."""


def chosen_gpus(wanted: Gpus, machine: Machine) -> tuple[str, ...]:
    """Return the UUIDs of the GPUs that a study will use, each once.

    Args:
        wanted: by the user.
        machine: with the GPUs that this process may use.

    Raises:
        StudyError: there is none, or one that is named is not there or not given to this process.
    """
    if machine.gpu_problem is not None:
        raise StudyError(machine.gpu_problem)
    if machine.gpus and not machine.is_nvidia:
        raise StudyError(
            "gpus: expected GPUs of NVIDIA, found those of AMD, of which a run cannot be given one by its "
            "UUID; run this study without --gpus"
        )
    usable = machine.visible_gpus
    if wanted == "all":
        if not usable:
            raise StudyError(
                "gpus: expected at least one GPU that this process may use, found none; "
                "`llem-cli doctor` shows the reason"
            )
        return usable
    every = [gpu.uuid for gpu in machine.gpus]
    return tuple(dict.fromkeys(_named(name, every, usable) for name in wanted))


def _named(name: int | str, every: Sequence[str], usable: Sequence[str]) -> str:
    if isinstance(name, int):
        found = [every[name]] if 0 <= name < len(every) else []
    else:
        found = [uuid for uuid in every if uuid.startswith(name)] if name else []
    if len(found) == 1 and found[0] in usable:
        return found[0]
    raise StudyError(
        f"gpus: expected `all`, or numbers or UUIDs of GPUs that this process may use "
        f"({', '.join(usable) or 'there is none'}), found {name!r}"
    )


def check_gpus(wanted: Gpus) -> None:
    """Return if this process may use these GPUs; takes 0.2 s.

    Raises:
        StudyError: there is none, or one that is named is not there or not given to this process.
    """
    chosen_gpus(wanted, find_machine())


def check_points(study: StudyConfig) -> None:
    """Return if every point can run on one GPU.

    Raises:
        StudyError: a point may use several GPUs at once.
    """
    spread = [c for c in study.experiments if facts_of(c.backend).spreads_over_gpus(c)]
    if spread:
        raise StudyError(
            f"gpus: expected points that use one GPU each, found {len(spread)} of "
            f"{len(study.experiments)} points that spread a model over all visible GPUs, such as by "
            "`device_map`; run this study without --gpus, so that each run has all GPUs"
        )


def shards_per_cycle(n_points: int, n_cycles: int, n_gpus: int) -> int:
    """Return into how many shards to cut each cycle, so that the GPUs are soon done.

    More shards keep more GPUs busy until the end, but every cut costs precision. This minimises the
    duration of the study per precision.

    Args:
        n_points: of the study, at least 1.
        n_cycles: of the study.
        n_gpus: how many shards run at the same time.
    """
    most = n_points // MIN_POINTS if n_cycles > 1 else 1

    def cost(per_cycle: int) -> float:
        rounds = math.ceil(per_cycle * n_cycles / n_gpus)
        longest = math.ceil(n_points / per_cycle)
        return rounds * longest / precision_kept(n_points, n_cycles, per_cycle)

    return min(range(1, max(1, most) + 1), key=lambda n: (round(cost(n), 9), n))
