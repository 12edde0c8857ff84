"""The standard streams of the calling process, if it was started without them (`2>&-`)."""

from __future__ import annotations

import os


def open_standard_streams() -> None:
    """Connect stdin, stdout and stderr with the null device where they are closed.

    Otherwise the next file that is opened gets the number of a stream, and what native libraries
    print goes into that file. They stay open, because another thread may rely on them by the time
    that this call of llem ends.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
