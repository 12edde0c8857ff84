"""What is wrong with a machine, in sentences that end with the next step. Looks at nothing."""

from __future__ import annotations

from collections.abc import Iterator

from llem_config import Settings, settings_path
from llem_energy._machine.doctor_report import DiagnosedGpu, Diagnosis

_SLOW_CALL = 0.1  # of a counter's period; a sample that took longer says too little of its time


def problems(found: Diagnosis, settings: Settings) -> tuple[str, ...]:
    """Return a sentence for everything that keeps measurements from being as good as they can."""
    return tuple(
        (
            *_of_driver(found),
            *(f"{gpu}; reset it or reboot the machine" for gpu in found.silent_gpus),
            *(sentence for gpu in found.gpus for sentence in _of_gpu(gpu)),
            *_of_settings(found, settings),
            *_of_domains(found),
            *_of_all(found),
        )
    )


def _of_driver(found: Diagnosis) -> Iterator[str]:
    reasons = {source.name: source.reason for source in found.sources}
    if reasons["nvml"] is not None and not found.gpus and not found.silent_gpus:
        yield (
            f"no GPU can be measured: {reasons['nvml']}; "
            "if this machine has an NVIDIA GPU, make `nvidia-smi` work first"
        )


def _of_gpu(gpu: DiagnosedGpu) -> Iterator[str]:
    yield from _of_meter(gpu)
    name = f"GPU {gpu.index}"
    if gpu.virtualization not in (None, "none", "passthrough"):
        yield (
            f"{name} is shared by a hypervisor ({gpu.virtualization}), so its energy may be missing "
            "or that of others too; measure on a whole GPU, passed through or on bare metal"
        )
    if gpu.persistence_mode is False:
        yield (
            f"{name} has no persistence mode, so its driver state is lost whenever nobody uses it; "
            f"`sudo nvidia-smi -i {gpu.index} -pm 1` keeps it"
        )
    if gpu.other_pids:
        pids = ", ".join(str(pid) for pid in gpu.other_pids)
        yield (
            f"{name} is used by other processes ({pids}), whose energy would count as the "
            "experiment's; stop them, or measure another GPU"
        )


def _of_meter(gpu: DiagnosedGpu) -> Iterator[str]:
    name, seen = f"GPU {gpu.index}", gpu.calibration
    if gpu.mig:
        yield (
            f"{name} is split by MIG, and NVML has no energy of a single instance; "
            f"`sudo nvidia-smi -i {gpu.index} -mig 0` makes it whole again"
        )
    elif gpu.refusal is not None:
        yield f"{name} cannot be measured: {gpu.refusal}; use another GPU or a newer driver"
    elif gpu.counter_problem is not None:
        yield (
            f"the energy counter of {name} cannot be read ({gpu.counter_problem}), so its energy is "
            "an integral of power without a bound; GPUs before Volta have no counter, with any "
            "other `nvidia-smi` should show what is wrong"
        )
    elif seen is not None and seen.counter_period_s is None:
        yield (
            f"the energy counter of {name} moved {seen.n_updates} times in {seen.duration_s:.1f} s, "
            "too little to trust it; look at the GPU with `nvidia-smi`, reload its driver"
        )
    elif seen is not None and seen.call_p99_s > _SLOW_CALL * (seen.counter_period_s or 0.0):
        yield (
            f"a read of {name} takes up to {seen.call_p99_s * 1e3:.3g} ms, more than a tenth of its "
            "counter's period; look for other load on this machine"
        )


def _of_settings(found: Diagnosis, settings: Settings) -> Iterator[str]:
    known = {key for gpu in found.gpus for key in (gpu.index, gpu.uuid)}
    for key in settings.devices.gpus:
        if key not in known:
            yield (
                f"the setting devices.gpus names GPU {key}, which is not there; "
                f"change it in {settings_path()} or LLEM_DEVICES__GPUS"
            )


def _of_domains(found: Diagnosis) -> Iterator[str]:
    closed = [domain for domain in found.domains if not domain.readable]
    if closed:
        names = ", ".join(domain.name for domain in closed)
        yield (
            f"the energy of the processor may not be read by this user ({names}); "
            f"`{closed[0].permission_command}` allows it until the next boot"
        )
    for domain in found.domains:
        seen = domain.calibration
        if seen is not None and seen.counter_period_s is None:
            yield (
                f"the energy counter of {domain.name} did not move in {seen.duration_s:.1f} s, as in "
                "many virtual machines; take no energy from it, and measure on bare metal"
            )


def _of_all(found: Diagnosis) -> Iterator[str]:
    if not found.measurable:
        yield (
            "no energy can be measured on this machine, only time and tokens; "
            "solve a problem above, or measure on another machine"
        )
