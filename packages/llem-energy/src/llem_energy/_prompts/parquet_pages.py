"""The sizes of the pages of a Parquet file, read from the headers of the pages.

A reader allocates what the header of a page says. The sizes in the footer are sums, and may be wrong:
a file of 50 kB can hold a page of gigabytes.

Source: the Parquet format, `parquet.thrift` (`PageHeader`), and the compact protocol of Thrift.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

_DICTIONARY = 2  # PageType
_MAX_HEADER_BYTES = 2**24  # the statistics may repeat two values
_MAX_NESTED = 8
_STOP = 0
_BOOLEANS, _INTEGERS = (1, 2), (4, 5, 6)


class Page(NamedTuple):
    """One page of a column."""

    n_bytes: int
    """In memory, without compression."""
    n_stored_bytes: int
    is_dictionary: bool


class _Malformed(Exception):  # noqa: N818
    """These bytes are no header of a page."""


def pages(file: BinaryIO, chunk: Any) -> Iterator[Page]:
    """Yield the pages of a column in a row group, up to the first that no reader could read.

    Args:
        file: the Parquet file.
        chunk: `pyarrow.parquet.ColumnChunkMetaData` of the column.
    """
    position = chunk.data_page_offset
    if chunk.dictionary_page_offset:
        position = min(position, chunk.dictionary_page_offset)
    end = position + chunk.total_compressed_size
    while 0 <= position < end:
        file.seek(position)
        header = _Header(file)
        try:
            numbers = header.struct()
            kind, n_bytes, n_stored = (numbers[field] for field in (1, 2, 3))
        except (_Malformed, KeyError):
            return
        if n_stored < 0:
            return
        yield Page(n_bytes, n_stored, kind == _DICTIONARY)
        position += header.n_read + n_stored


class _Header:
    """Reads a struct of the compact protocol of Thrift."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.n_read = 0

    def struct(self, depth: int = 0) -> dict[int, int]:
        """Read a struct, and return its whole numbers by the number of their fields."""
        if depth > _MAX_NESTED:
            raise _Malformed
        numbers: dict[int, int] = {}
        field = 0
        while (head := self._byte()) & 0x0F != _STOP:
            field = field + (head >> 4) if head >> 4 else self._integer()
            kind = head & 0x0F
            if kind in _INTEGERS:
                numbers[field] = self._integer()
            elif kind not in _BOOLEANS:  # the kind of these is their value
                self._skip(kind, depth + 1)
        return numbers

    def _skip(self, kind: int, depth: int) -> None:
        match kind:
            case _ if kind in _INTEGERS:
                self._varint()
            case 1 | 2 | 3:  # true, false, byte
                self._bytes(1)
            case 7:  # double
                self._bytes(8)
            case 8:  # binary
                self._bytes(self._varint())
            case 9 | 10:  # list, set
                head = self._byte()
                n = head >> 4 if head >> 4 != 0xF else self._varint()
                self._items([head & 0x0F], n, depth)
            case 11:  # map
                if n := self._varint():
                    kinds = self._byte()
                    self._items([kinds >> 4, kinds & 0x0F], n, depth)
            case 12:  # struct
                self.struct(depth)
            case _:
                raise _Malformed

    def _items(self, kinds: list[int], n: int, depth: int) -> None:
        if depth > _MAX_NESTED or n > _MAX_HEADER_BYTES:
            raise _Malformed
        for _ in range(n):
            for kind in kinds:
                self._skip(kind, depth + 1)

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise _Malformed

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, n: int) -> bytes:
        self.n_read += n
        if self.n_read > _MAX_HEADER_BYTES:
            raise _Malformed
        content = self._file.read(n)
        if len(content) < n:
            raise _Malformed
        return content
