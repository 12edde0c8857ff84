"""Recognises which kind of file a data set is, by its name and its first bytes."""

from __future__ import annotations

import stat
from pathlib import Path

from llem_energy._errors import DatasetError

SUFFIXES = (".jsonl", ".csv", ".parquet")
READ = "llem reads .jsonl, .csv and .parquet files"

_OTHER_SUFFIXES = frozenset(
    {
        *(".json", ".json5", ".jsonlines", ".ndjson", ".tsv", ".txt", ".md", ".xml", ".html"),
        *(".htm", ".yaml", ".yml", ".xls", ".xlsx", ".pq", ".arrow", ".feather", ".avro", ".orc"),
        *(".npy", ".npz", ".pkl", ".pickle", ".db", ".sqlite"),
        *(".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar", ".tar"),
    }
)
_ADVICE = {
    ".json": "write one JSON object per line to a .jsonl file",
    ".ndjson": "rename it to .jsonl",
    ".jsonlines": "rename it to .jsonl",
    ".pq": "rename it to .parquet",
    ".tsv": "convert it to .csv with commas",
    ".txt": "write a .csv file with the column prompt, or a .jsonl file",
    ".gz": "decompress it",
    ".bz2": "decompress it",
    ".xz": "decompress it",
    ".zst": "decompress it",
    ".zip": "decompress it",
}
_CONTENTS = (
    (b"\xff\xfe\x00\x00", "UTF-32 text", "convert it to UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "convert it to UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "convert it to UTF-8 (`iconv -f UTF-16 -t UTF-8`)"),
    (b"\xfe\xff", "UTF-16 text", "convert it to UTF-8 (`iconv -f UTF-16 -t UTF-8`)"),
    (b"\x1f\x8b", "gzip data", "decompress it"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "decompress it"),
    (b"\xfd7zXZ\x00", "xz data", "decompress it"),
    (b"BZh", "bzip2 data", "decompress it"),
    (b"PK\x03\x04", "a zip archive or an Excel file", "export it as .csv or decompress it"),
    (b"PAR1", "a Parquet file", "rename it to .parquet"),
)
_LFS = b"version https://git-lfs.github.com/spec/"


def unreadable(where: object, error: OSError) -> str:
    """Return that a file cannot be read, why, and what to do."""
    reason = error.strerror or error
    advice = "; correct the path" if isinstance(error, FileNotFoundError) else ""
    return f"{where}: cannot be read: {reason}{advice}"


def data_file(source: str) -> Path | None:
    """Return the file that a source names; None for a folder or a hub id.

    Raises:
        DatasetError: it names a file of a kind that is not read, or no valid path.
    """
    if "\0" in source:
        raise DatasetError(f"{source!r}: is not a valid path: it contains a null character")
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            return None
        exists = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DatasetError(f"{source}: is not a valid path: {reason}") from error
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return path
    if exists:
        kind = f"a {path.suffix} file" if suffix else "a file without a suffix"
    elif suffix in _OTHER_SUFFIXES:
        kind = f"named like a {path.suffix} file, and does not exist"
    else:
        return None
    advice = _ADVICE.get(suffix)
    raise DatasetError(f"{source}: {READ}, but this is {kind}" + (f"; {advice}" if advice else ""))


def require_kind(path: Path) -> None:
    """Check that a file has the content that its name promises.

    Raises:
        DatasetError: it has not, or it is no regular file.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe may block forever
        raise DatasetError(f"{path}: expected a regular file, found a pipe or a device")
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(_LFS):
        raise DatasetError(
            f"{path}: expected the data, found a Git LFS pointer; run `git lfs pull`"
        )
    if path.suffix.lower() == ".parquet":
        if not start.startswith((b"PAR1", b"PARE")):
            raise DatasetError(f"{path}: damaged: expected a Parquet file, found other content")
        return
    for signature, kind, advice in _CONTENTS:
        if start.startswith(signature):
            raise DatasetError(f"{path}: expected UTF-8 text, found {kind}; {advice}")
    if start[:4].count(0) >= 2:  # ASCII characters in two or four bytes
        raise DatasetError(
            f"{path}: expected UTF-8 text, found UTF-16 or UTF-32 text; convert it to UTF-8"
        )
