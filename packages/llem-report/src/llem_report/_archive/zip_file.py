"""Writes a zip file whose bytes depend on its content alone: names sorted, times fixed."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from llem_runner.run_files import opened_run_file

Content = bytes | Path
_BLOCK_BYTES = 2**20
_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX, _MODE = 3, 0o100644 << 16
_PACKED = (".parquet",)  # compressed already


class Packer:
    """Adds files to a zip file; each name is below one folder."""

    def __init__(self, file: BinaryIO, top: str) -> None:
        """Begin an archive.

        Args:
            file: to write to.
            top: name of the only folder at its top.
        """
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._top = top
        self.n_files, self.n_bytes = 0, 0

    def add(self, contents: Mapping[str, Content]) -> dict[str, str]:
        """Add files in the order of their names; return the SHA-256 of each.

        Raises:
            OSError: a file cannot be read or written.
            ForeignFileError: a file is no regular file.
        """
        return {name: self._add(name, contents[name]) for name in sorted(contents)}

    def close(self) -> None:
        """Write the end of the archive."""
        self._zip.close()

    def abandon(self) -> None:
        """Give up after an error: later, nothing tries to write the end to the closed file."""
        self._zip.fp = None

    def _add(self, name: str, content: Content) -> str:
        info = zipfile.ZipInfo(f"{self._top}/{name}", _TIME)
        info.create_system, info.external_attr = _UNIX, _MODE
        is_packed = name.endswith(_PACKED)
        info.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
        digest = hashlib.sha256()
        self.n_files += 1
        # The size is not known before a file is read, so space for a large one is always reserved.
        with self._zip.open(info, "w", force_zip64=True) as target:
            if isinstance(content, bytes):
                target.write(content)
                self.n_bytes += len(content)
                return hashlib.sha256(content).hexdigest()
            with opened_run_file(content) as source:
                while block := source.read(_BLOCK_BYTES):
                    digest.update(block)
                    target.write(block)
                    self.n_bytes += len(block)
        return digest.hexdigest()
