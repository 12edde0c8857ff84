"""Compile the fake AMD library; its traces and true energy are those of `fake_nvml`."""

from pathlib import Path

from fakes import fake_nvml

LIBRARY_NAME = "libamd_smi.so"
BUS_IDS = ("0000:c1:00.0", "0000:c2:00.0")  # of the first two GPUs of a trace


def build(folder: Path) -> Path:
    """Compile the fake into `folder` and return the folder that holds `libamd_smi.so`.

    Raises:
        FileNotFoundError: this machine has no C compiler.
        RuntimeError: the compiler rejects the sources.
    """
    source = Path(__file__).with_name("amd_library") / "amd_smi.c"
    return fake_nvml.build(folder, LIBRARY_NAME, [source])
