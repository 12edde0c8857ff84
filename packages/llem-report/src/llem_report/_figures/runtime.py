"""The JavaScript of Vega for a page, kept in the user's cache folder.

Putting it together takes a third of the time of a report, and gives the same script until the
libraries change. It is not an error if the file is missing, damaged or cannot be written.
"""

from __future__ import annotations

import contextlib
import hashlib
from importlib.metadata import version
from pathlib import Path

from llem_config.foreign_files import ForeignFileError, read_bytes, replace_file
from llem_config.settings import cache_folder
from llem_report._figures.rendering import VEGA_LITE, renderer

_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_MAX_BYTES = 2**24


def runtime() -> str:
    """Return the JavaScript of Vega, Vega-Lite and Vega-Embed for one `script` element."""
    folder = cache_folder()
    path = folder and folder / f"vega-{version('vl-convert-python')}-{VEGA_LITE}.js"
    if path is not None and (script := _kept(path)) is not None:
        return script
    script = str(renderer().javascript_bundle(_SNIPPET, vl_version=VEGA_LITE))
    if path is not None:
        _keep(path, script)
    return script


def _kept(path: Path) -> str | None:
    """Return the script in a file; None if it is not what was written there."""
    try:
        digest, _, script = read_bytes(path, max_bytes=_MAX_BYTES).partition(b"\n")
    except ForeignFileError:
        return None
    is_whole = hashlib.sha256(script).hexdigest().encode() == digest
    return script.decode("utf-8") if is_whole else None


def _keep(path: Path, script: str) -> None:
    content = script.encode()
    digest = hashlib.sha256(content).hexdigest().encode()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, digest + b"\n" + content)
