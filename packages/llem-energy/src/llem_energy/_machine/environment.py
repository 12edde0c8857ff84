"""Properties of machine and software that can affect a measurement. Starts no process."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llem_config.credentials import struck_out
from llem_energy._host.host_reading import n_usable_cpus
from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._metering.boot import boot_id
from llem_energy._sources.amd_gpu import amd_versions, snapshot_amd_gpus
from llem_energy._sources.nvml_gpu import driver_versions
from llem_energy._sources.nvml_gpus import snapshot_gpus

_PACKAGES = (
    "accelerate", "bitsandbytes", "flash-attn", "kernels", "llem-config", "llem-energy", "numpy",
    "nvidia-ml-py", "optimum-quanto", "peft", "pyarrow", "safetensors", "tokenizers", "torch",
    "transformers", "triton",
)  # fmt: skip
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "OMP_NUM_THREADS",
    "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
    "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
)  # fmt: skip


def snapshot_environment(own_pids: Collection[int]) -> EnvironmentSnapshot:
    """Return what can be found without starting a process or using the network.

    Args:
        own_pids: the processes of the run, which are not counted as others on a GPU.
    """
    driver, nvml, cuda_driver = driver_versions()
    amd_driver, amd_smi = amd_versions()
    return EnvironmentSnapshot(
        python=platform.python_version(),
        platform=_platform(),
        cpu_model=_cpu_model(),
        n_cpus=n_usable_cpus(),
        memory_bytes=installed_memory_bytes(),
        cpu_governor=_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        load_average_1min=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        driver=driver,
        nvml=nvml,
        gpus=(*snapshot_gpus(own_pids), *snapshot_amd_gpus()),
        packages={name: text for name in _PACKAGES if (text := installed_version(name))},
        environment={
            name: struck_out(os.environ[name]) for name in _VARIABLES if name in os.environ
        },
        cuda_driver=cuda_driver,
        amd_driver=amd_driver,
        amd_smi=amd_smi,
        boot_id=boot_id(),
        host=platform.node() or None,
    )


def _platform() -> str:
    # `platform.platform` starts `uname -p` in a shell, which takes time and is not documented.
    libc = "".join(platform.libc_ver())
    parts = [platform.system(), platform.release(), platform.machine(), libc]
    return "-".join(part for part in parts if part)


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8").strip() or None
    except OSError:
        return None


def installed_version(package: str) -> str | None:
    """Return the version of a package without importing it; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    for line in (_text("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine() or None


def installed_memory_bytes() -> int | None:
    """Return the memory of this machine; None if the system does not report it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
