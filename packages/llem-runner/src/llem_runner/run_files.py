"""Read the files of runs, which a study that was packed has in zip files.

    from llem_runner.run_files import opened_run_file
    with opened_run_file(folder / entry.result_file, max_bytes=10**6) as file:
        content = file.read()

The path of a file is the same whether it was packed or not.
"""

from llem_runner._errors import TemporaryFolderError
from llem_runner._storage.run_files import (
    has_run_file,
    is_packed_run,
    list_as_unpacked,
    opened_run_file,
    pack_that_has,
)

__all__ = [
    "TemporaryFolderError",
    "has_run_file",
    "is_packed_run",
    "list_as_unpacked",
    "opened_run_file",
    "pack_that_has",
]
