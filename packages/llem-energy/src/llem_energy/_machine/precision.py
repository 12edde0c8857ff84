"""The floating-point type of 16 bits that the processors of this machine compute in hardware."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from llem_energy._sources.nvml_gpus import compute_capabilities

# CUDA C++ Programming Guide, "Features and Technical Specifications": bfloat16 from 8.0 on.
_BF16_CAPABILITY = (8, 0)
_BF16_FLAGS = frozenset(("avx512_bf16", "amx_bf16", "bf16"))  # of x86, and of Arm
_CPU_INFO = Path("/proc/cpuinfo")


def half_precision(gpus: Sequence[str]) -> Literal["bf16", "fp16"] | None:
    """Return the type of 16 bits that all GPUs, or without GPUs the CPU, compute in hardware.

    Args:
        gpus: UUIDs of the GPUs that a model may use; () for the CPU.

    Returns:
        None for a CPU that has none, and for GPUs that do not report what they are.
    """
    if not gpus:
        return "bf16" if _cpu_flags() & _BF16_FLAGS else None
    known = compute_capabilities()
    versions = [known[uuid] for uuid in gpus if uuid in known]
    if len(versions) < len(gpus):
        return None
    return "bf16" if min(versions) >= _BF16_CAPABILITY else "fp16"


def _cpu_flags() -> frozenset[str]:
    """Return the instruction sets of the first CPU; empty if the kernel does not list them."""
    try:
        lines = _CPU_INFO.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()
