"""Recognises files that are no study files: data sets, models, archives and text that is not UTF-8."""

from __future__ import annotations

from pathlib import Path

_DATA = "a study file names a data set as `dataset`"
_MODEL = "a study file names the folder of a model as `model`"
_BY_SUFFIX = {
    ".parquet": ("a Parquet file", _DATA),
    ".jsonl": ("a file of JSON lines", _DATA),
    ".csv": ("a CSV file", _DATA),
    ".safetensors": ("a file of weights", _MODEL),
    ".gguf": ("a GGUF file", _MODEL),
}
_BY_FIRST_BYTES = (
    (b"PAR1", "a Parquet file", _DATA),
    (b"GGUF", "a GGUF file", _MODEL),
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"\x1f\x8b", "gzip data", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "unpack it"),
    (b"\xfd7zXZ\x00", "xz data", "unpack it"),
    (b"BZh", "bzip2 data", "unpack it"),
    (b"\xff\xfe\x00\x00", "UTF-32 text", "save it as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "save it as UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
)


def other_content(path: Path, content: bytes) -> str | None:
    """Return what a file is and where it belongs if it cannot be YAML; else None.

    Args:
        path: of the file; its suffix counts.
        content: of the file, at least the first bytes.
    """
    for signature, kind, advice in _BY_FIRST_BYTES:
        if content.startswith(signature):
            return f"expected YAML in UTF-8, found {kind}; {advice}"
    if found := _BY_SUFFIX.get(path.suffix.lower()):
        kind, advice = found
        return f"expected YAML in UTF-8, found {kind}; {advice}"
    return None
