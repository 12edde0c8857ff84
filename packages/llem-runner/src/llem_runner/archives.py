"""Open the folder or the archive of a study, and name what is in an archive.

    from llem_runner.archives import open_study
    with open_study("my-study.zip") as opened:
        manifest = read_manifest(opened.folder)

`llem_report.archive` makes an archive.
"""

from llem_runner._archives.bag import (
    DECLARATION,
    DECLARATION_TEXT,
    INFO,
    MANIFEST,
    STUDY,
    TABLES,
    TAG_MANIFEST,
    digest_lines,
)
from llem_runner._archives.checked_file import CheckedFile
from llem_runner._archives.opening import OpenedStudy, is_archive
from llem_runner._verification.opening import open_study

__all__ = [
    "DECLARATION",
    "DECLARATION_TEXT",
    "INFO",
    "MANIFEST",
    "STUDY",
    "TABLES",
    "TAG_MANIFEST",
    "CheckedFile",
    "OpenedStudy",
    "digest_lines",
    "is_archive",
    "open_study",
]
