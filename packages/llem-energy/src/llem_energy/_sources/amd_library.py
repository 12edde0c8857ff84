"""AMD's library libamd_smi.so, loaded by ctypes. Only this file knows its functions and units.

Only functions are called whose arguments are the same in ROCm 6.0 to 7.0: most write plain
numbers. Of the others the first member is read, which did not move, from a buffer that is larger
than any version of the struct. Source: AMD SMI C API reference, headers of ROCm 6.0, 6.2, 6.4, 7.0.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

from llem_energy._errors import GpuError

_AMD_GPUS = 2  # flag of amdsmi_init
_TYPE_GPU = 1  # processor_type_t
_STRUCT_BYTES = 8192
_UUID_BYTES = 64
_NAMES = ("libamd_smi.so", "libamd_smi.so.26", "libamd_smi.so.25", "libamd_smi.so.24")
_GROUPS = "add this user to the groups `render` and `video`, and log in again"
_NO_DRIVER = "the kernel module amdgpu is not loaded; make `amd-smi list` work first"
_REASONS = {
    2: "this GPU or driver does not support it",
    10: f"this user may not use the GPU; {_GROUPS}",
    14: f"a file of the driver cannot be read; {_GROUPS}",
    32: "the library is not initialised",
    34: _NO_DRIVER,
    51: _NO_DRIVER,
}
_FUNCTIONS = (
    "init", "get_socket_handles", "get_processor_handles", "get_processor_type",
    "get_energy_count", "get_gpu_device_uuid", "get_gpu_bdf_id",
)  # fmt: skip


@functools.cache
def library() -> ctypes.CDLL:
    """Load and initialise the library, once per process.

    It is never shut down: the versions do not agree on counting its users, and torch may be another
    user in the same process.

    Raises:
        GpuError: the library is missing or too old, or the driver is not loaded or denies access.
    """
    loaded = _load()
    for function in _FUNCTIONS:
        if not hasattr(loaded, f"amdsmi_{function}"):
            raise GpuError(
                f"AMD's library {loaded._name} is too old: expected the function "
                f"amdsmi_{function}, found none; install amd-smi-lib of ROCm 6.0 or later"
            )
    code = loaded.amdsmi_init(ctypes.c_uint64(_AMD_GPUS))
    if code != 0:
        raise GpuError(f"AMD's driver cannot be used: {reason(code)}")
    return loaded


def _load() -> ctypes.CDLL:
    root = os.environ.get("ROCM_PATH") or os.environ.get("ROCM_HOME")
    folders = [f"{folder}/lib/{_NAMES[0]}" for folder in (root, "/opt/rocm") if folder]
    for place in (*_NAMES, *folders):
        try:
            return ctypes.CDLL(place)
        except OSError:
            continue
    raise GpuError(
        "AMD's library libamd_smi.so cannot be loaded; if this machine has an AMD GPU, install "
        "amd-smi-lib of its ROCm or set ROCM_PATH to the folder of ROCm"
    )


def reason(code: int) -> str:
    """Return what a status code of the library means, with the next step where there is one."""
    return _REASONS.get(code, f"status {code} of the library")


def call(function: str, *arguments: Any) -> None:
    """Call a function of the library.

    Raises:
        GpuError: it is missing, or returns an error.
    """
    target: Callable[..., int] | None = getattr(library(), f"amdsmi_{function}", None)
    if target is None:
        raise GpuError(f"the library has no amdsmi_{function}")
    code = target(*arguments)
    if code != 0:
        raise GpuError(reason(code))


def processors() -> list[ctypes.c_void_p]:
    """Return the handle of every GPU, in the order of `amd-smi list`.

    Raises:
        GpuError: see `library` and `call`.
    """
    found: list[ctypes.c_void_p] = []
    for socket in _handles("get_socket_handles"):
        for handle in _handles("get_processor_handles", socket):
            kind = ctypes.c_uint32()
            call("get_processor_type", handle, ctypes.byref(kind))
            if kind.value == _TYPE_GPU:
                found.append(handle)
    return found


def _handles(function: str, *before: Any) -> list[ctypes.c_void_p]:
    count = ctypes.c_uint32()
    call(function, *before, ctypes.byref(count), None)
    if count.value == 0:
        return []
    handles = (ctypes.c_void_p * count.value)()
    call(function, *before, ctypes.byref(count), handles)
    return [ctypes.c_void_p(handle) for handle in handles[: count.value]]


def energy_count(handle: ctypes.c_void_p) -> tuple[int, float]:
    """Return the energy counter of a GPU, and the microjoules of one count as the library has it."""
    count, unit_uj, stamp = ctypes.c_uint64(), ctypes.c_float(), ctypes.c_uint64()
    numbers = (ctypes.byref(count), ctypes.byref(unit_uj), ctypes.byref(stamp))
    call("get_energy_count", handle, *numbers)
    return count.value, unit_uj.value


def uuid(handle: ctypes.c_void_p) -> str:
    """Return the UUID of a GPU."""
    size, text = ctypes.c_uint32(_UUID_BYTES), ctypes.create_string_buffer(_UUID_BYTES)
    call("get_gpu_device_uuid", handle, ctypes.byref(size), text)
    return text.value.decode(errors="replace")


def bus_id(handle: ctypes.c_void_p) -> str:
    """Return the place of a GPU on the PCI bus, such as `0000:c1:00.0`."""
    number = ctypes.c_uint64()
    call("get_gpu_bdf_id", handle, ctypes.byref(number))
    # Domain in the upper half, then bus, device and function; bits 28 to 31 are the partition.
    domain, bits = number.value >> 32, number.value
    return f"{domain:04x}:{bits >> 8 & 0xFF:02x}:{bits >> 3 & 0x1F:02x}.{bits & 7:x}"


def number(kind: Any, function: str, handle: ctypes.c_void_p, *before: int) -> int | None:
    """Return the number that a function writes, or the first one of its struct; None if it fails.

    Args:
        kind: ctypes type of the number.
        function: without `amdsmi_`.
        handle: of the GPU.
        before: what it takes between the handle and the pointer.
    """
    buffer = ctypes.create_string_buffer(_STRUCT_BYTES)
    try:
        call(function, handle, *before, buffer)
    except GpuError:
        return None
    value = int(kind.from_buffer(buffer).value)
    absent = value in (0xFFFF, 0xFFFFFFFF, 2**64 - 1)  # how the library marks an absent value
    return None if absent else value


def name(handle: ctypes.c_void_p) -> str:
    """Return the name of a GPU in the market; `AMD GPU` if the driver has none."""
    buffer = ctypes.create_string_buffer(_STRUCT_BYTES)
    try:
        call("get_gpu_asic_info", handle, buffer)
    except GpuError:
        return "AMD GPU"
    return buffer.value.decode(errors="replace") or "AMD GPU"


def version() -> str | None:
    """Return the version of the library."""
    buffer = (ctypes.c_uint32 * 64)()
    try:
        call("get_lib_version", buffer)
    except GpuError:
        return None
    return ".".join(map(str, buffer[:3]))
