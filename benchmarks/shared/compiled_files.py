"""The same condition for both sides of a benchmark that starts processes: compiled Python files.

Where Python keeps no compiled files, as with PYTHONDONTWRITEBYTECODE, each process compiles its
imports again, which takes longer than everything else that is compared.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

_STARTED = "BENCHMARK_KEEPS_COMPILED_FILES"


def keep_compiled_files() -> None:
    """Continue in a new process whose children keep compiled files in an empty temporary folder.

    The first process of each side fills the folder, so it is slow on both sides. This process ends
    with the exit code of the new one and removes the folder.
    """
    if os.environ.get(_STARTED):
        print("Python files: both sides keep them compiled in a folder that is empty at the start")
        return
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {_STARTED: "1", "PYTHONPYCACHEPREFIX": folder}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, *sys.argv]
        code = subprocess.run(command, env=env, check=False).returncode
    raise SystemExit(code)
