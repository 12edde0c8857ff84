"""A processor whose energy registers follow a script, as the energy plugin of a real slurmd reads them.

    python scripted_rapl.py FOLDER WATTS

Register 0x606 has the unit, 0x611 counts the package and 0x619 the memory (Intel, Software Developer's
Manual, volume 4). The kernel shows them as /dev/cpu/N/msr, a file that is read at the number of a register;
FOLDER takes the place of /dev/cpu. The package draws WATTS, the memory a fifth of it.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path

_UNITS = 0xA0E03  # energy in 1/2^14 J
_PER_J = 2**14
_WRAP = 2**32


def main(folder: Path, power_w: float) -> None:
    """Count until this process is killed."""
    for cpu in range(os.cpu_count() or 1):
        (folder / str(cpu)).mkdir(parents=True)
    files = [os.open(each / "msr", os.O_RDWR | os.O_CREAT) for each in sorted(folder.iterdir())]
    for file in files:
        os.pwrite(file, struct.pack("<Q", _UNITS), 0x606)
    start_s = time.monotonic()
    while True:
        energy_j = power_w * (time.monotonic() - start_s)
        for file in files:
            for register, share in ((0x611, 1.0), (0x619, 0.2)):
                count = int(energy_j * share * _PER_J) % _WRAP
                os.pwrite(file, struct.pack("<Q", count), register)
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
