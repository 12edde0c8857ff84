"""Which files in a study's folder are not, or no longer, what the study wrote."""

from __future__ import annotations

from pathlib import Path

from llem_runner._storage.attempts import damaged_attempts
from llem_runner._storage.input_files import changed_resolved, changed_study_file
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest
from llem_runner._storage.node_energy import damaged_node_energy
from llem_runner._storage.result_files import changed_results, changed_study_result


def changed_files(folder: str | Path, manifest: StudyManifest) -> tuple[str, ...]:
    """Return a sentence for each file that was changed after the study wrote it, or was cut off.

    Args:
        folder: of the study.
        manifest: of the folder; one of format 1 or 2 has no digests, so nothing is compared.

    Raises:
        StudyError: a file of an attempt at a divided study is damaged.
    """
    layout = Layout(Path(folder))
    files = (
        changed_resolved(layout, manifest),
        changed_study_file(layout, manifest),
        changed_study_result(layout, manifest),
    )
    cut_off = (
        (*damaged_attempts(folder), *damaged_node_energy(folder)) if manifest.is_divided else ()
    )
    return (*(line for line in files if line), *changed_results(layout, manifest), *cut_off)
