"""What a running study does now, read from its folder by another process; nothing is changed there.

    from llem_runner import read_manifest
    from llem_runner.progress import find_run_folder, read_live
    entry = next(e for e in read_manifest(folder).entries if e.status == "running")
    reading = read_live(find_run_folder(folder, entry))

`llem_runner.plan.time_left_s` estimates how long the study will still take. `unseen_processes` returns
what may be running the study on machines that cannot be seen from here.
"""

from llem_runner._storage.live_reading import find_run_folder, read_live
from llem_runner._storage.manifest_reader import manifest_signature
from llem_runner._storage.running import UnseenProcess, unseen_processes

__all__ = [
    "UnseenProcess",
    "find_run_folder",
    "manifest_signature",
    "read_live",
    "unseen_processes",
]
