"""Problems of a machine, each one sentence that ends with the next step. Reads only the report."""

from __future__ import annotations

from collections.abc import Iterator

from llem_config.settings import Settings, settings_path
from llem_energy._host.host_load import HostLoad
from llem_energy._host.load_limits import other_load_problem
from llem_energy._machine.doctor_report import DiagnosedGpu, Diagnosis
from llem_energy._metering.calibration import Calibration

_SLOW_CALL = 0.1  # of a counter's period; the time of a slower reading is too uncertain


def problems(diagnosis: Diagnosis, settings: Settings) -> tuple[str, ...]:
    """Return one sentence for each problem that calibrations, settings of GPUs and load show.

    What a source itself reports is not repeated.
    """
    return tuple(
        (
            *(sentence for gpu in diagnosis.gpus for sentence in _of_gpu(gpu)),
            *_of_settings(diagnosis, settings),
            *_of_counters(diagnosis),
            *_of_load(diagnosis.load),
            *_if_nothing_is_measurable(diagnosis),
        )
    )


def _of_gpu(gpu: DiagnosedGpu) -> Iterator[str]:
    yield from _of_meter(gpu)
    name = f"GPU {gpu.index}"
    if gpu.virtualization not in (None, "none", "passthrough"):
        yield (
            f"{name} is shared by a hypervisor ({gpu.virtualization}), so its energy may be "
            "missing or include that of other users; measure on a whole GPU, passed through or on "
            "bare metal"
        )
    if gpu.persistence_mode is False:
        yield (
            f"persistence mode of {name} is off, so the driver resets its state when no process "
            f"uses it; `sudo nvidia-smi -i {gpu.index} -pm 1` turns it on"
        )
    if gpu.other_pids:
        pids = ", ".join(str(pid) for pid in gpu.other_pids)
        yield (
            f"{name} is used by other processes ({pids}), whose energy would be counted as the "
            "experiment's; stop them, or use another GPU"
        )


def _of_meter(gpu: DiagnosedGpu) -> Iterator[str]:
    name, calibration = f"GPU {gpu.index}", gpu.calibration
    if gpu.mig:
        yield (
            f"{name} is split by MIG, and NVML does not report the energy of a single instance; "
            f"`sudo nvidia-smi -i {gpu.index} -mig 0` turns MIG off"
        )
    elif gpu.refusal is not None:
        yield f"{name} cannot be measured: {gpu.refusal}; use another GPU or a newer driver"
    elif gpu.counter_problem is not None:
        yield (
            f"the energy counter of {name} cannot be read ({gpu.counter_problem}), so its energy "
            "will be an integral of power without a bound; GPUs older than Volta have no counter, "
            "for any other GPU see what `nvidia-smi` reports"
        )
    elif calibration is not None:
        yield from _of_calibration(name, calibration)


def _of_calibration(name: str, calibration: Calibration) -> Iterator[str]:
    if calibration.counter_period_s is None:
        yield (
            f"the energy counter of {name} moved {calibration.n_updates} times in "
            f"{calibration.duration_s:.1f} s, too rarely to be trusted; "
            "check the GPU with `nvidia-smi` or reload its driver"
        )
    elif calibration.call_p99_s > _SLOW_CALL * calibration.counter_period_s:
        yield (
            f"a read of {name} takes up to {calibration.call_p99_s * 1e3:.3g} ms, more than a "
            "tenth of its counter's period; stop other load on this machine"
        )


def _of_settings(diagnosis: Diagnosis, settings: Settings) -> Iterator[str]:
    present = {key for gpu in diagnosis.gpus for key in (gpu.index, gpu.uuid)}
    for key in settings.devices.gpus:
        if key not in present:
            yield (
                f"the setting devices.gpus names GPU {key}, which this machine does not have; "
                f"change it in {settings_path()} or LLEM_DEVICES__GPUS"
            )


def _of_counters(diagnosis: Diagnosis) -> Iterator[str]:
    """Report counters that do not move, of any source; those of GPUs have their own sentence."""
    gpus = {gpu.uuid for gpu in diagnosis.gpus}
    for calibration in (c for source in diagnosis.sources for c in source.calibration):
        if calibration.device not in gpus and calibration.counter_period_s is None:
            yield (
                f"the energy counter of {calibration.device} did not move in "
                f"{calibration.duration_s:.1f} s, as in many virtual machines; "
                "do not use its energy, and measure on bare metal"
            )


def _of_load(load: HostLoad | None) -> Iterator[str]:
    problem = other_load_problem(load, on_gpu=False) if load is not None else None
    if problem is not None:
        yield (
            f"{problem} just now, so time and energy of a model on the CPU would be flagged; "
            "stop them, or use another machine"
        )


def _if_nothing_is_measurable(diagnosis: Diagnosis) -> Iterator[str]:
    if not diagnosis.measurable:
        yield (
            "no energy can be measured on this machine, only time and tokens; "
            "solve a problem above, or measure on another machine"
        )
