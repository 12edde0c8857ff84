"""`archive_study`: a study as one file for a repository of data, which a stranger can read and check."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from llem_config.foreign_files import ForeignFileError
from llem_report._analysis.subject import of_inference, subject_of
from llem_report._archive.authors import Author, parse_authors
from llem_report._archive.citation import citation_cff
from llem_report._archive.codebook import codebook_csv, codebook_markdown, codebook_rows
from llem_report._archive.contents import left_out, study_files
from llem_report._archive.licences import Licence, find_licence
from llem_report._archive.readme import readme
from llem_report._archive.zip_file import Content, Packer
from llem_report._errors import ArgumentError, ReportError
from llem_report._methods.methods import describe_methods
from llem_report._methods.records import Methods
from llem_report._page.report import read_report
from llem_report._tables.export import export
from llem_report._tables.pending_files import PendingFiles, refuse_existing
from llem_report._tables.targets import Target, check_place
from llem_runner import is_running, read_manifest, verify_study
from llem_runner.archives import (
    DECLARATION,
    DECLARATION_TEXT,
    INFO,
    MANIFEST,
    STUDY,
    TABLES,
    TAG_MANIFEST,
    digest_lines,
)
from llem_runner.progress import unseen_processes
from llem_runner.records import StudyManifest
from llem_runner.shards import is_merged


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    path: str
    sha256: str
    """Of the archive."""
    manifest_sha256: str
    """Of the study's manifest, which has the digests of its results."""
    n_files: int
    n_bytes: int
    """Size of the archive."""
    left_out: tuple[str, ...]
    """Paths in the folder that are not in the archive; of a whole folder, only its own."""
    notes: tuple[str, ...]
    """What the author should look at before publishing it, a sentence each."""


def archive_study(
    folder: str | Path,
    output: str | Path | None = None,
    *,
    licence: str | None = None,
    authors: Sequence[str] = (),
    title: str | None = None,
    force: bool = False,
) -> Archive:
    """Write the archive of a study; the same folder gives the same file.

    The archive is a bag (RFC 8493): `sha256sum` checks it without llem.

    Args:
        folder: of the study, in any state but running.
        output: a zip file; None: the name of the folder with `.zip`, beside it.
        licence: identifier of SPDX, or a file with the text; None: none.
        authors: such as `Doe, Jane <0000-0002-1825-0097>`, or the name of an institution.
        title: None makes one from the name of the study.
        force: replace an existing file.

    Raises:
        StudyError: no study is there.
        ArgumentError: the licence, an author or the name of the output is wrong.
        ReportError: it is running or not intact, has a password in it, or the archive exists or
            cannot be written; nothing was written then.
    """
    source = Path(folder)
    chosen, people = find_licence(licence), parse_authors(authors)
    manifest = read_manifest(source)
    path = Path(output) if output is not None else _beside(source)
    _check(source, path, manifest, force=force)
    files = study_files(source, manifest)
    found = verify_study(source, files_only=True)
    if found.verdict == "not intact":
        raise ReportError(
            f"{source} cannot be archived: {found.reason}; restore these files, or see `llem-cli study "
            f"verify {source}`"
        )
    if manifest.is_divided and not is_merged(source):
        raise ReportError(
            f"{source} has runs that ended after its manifest.json was merged: use `llem-cli study merge "
            f"{source}`, and archive it then"
        )
    with tempfile.TemporaryDirectory(prefix="llem-archive-") as scratch:
        made = _Made(source, Path(scratch), manifest, found.manifest_sha256)
        try:
            made.describe(files, chosen, people, title)
        except ReportError as error:
            if scratch not in str(error):
                raise
            raise ReportError(
                f"{error}; the archive is made in this folder for temporary files, so set TMPDIR to one "
                "with enough space"
            ) from error
        with PendingFiles(force=force) as pending:
            with pending.create(path) as file:
                packer = Packer(file, _top(source))
                _pack(packer, made, files)
            scratch_file = pending.written(path)
            sha256, n_bytes = _digest(scratch_file)
            pending.publish()
    return Archive(
        path=str(path),
        sha256=sha256,
        manifest_sha256=found.manifest_sha256,
        n_files=packer.n_files,
        n_bytes=n_bytes,
        left_out=tuple(left_out(source, files)),
        notes=(*_notes(manifest, chosen, people), *made.notes),
    )


class _Made:
    """The files that are made for the archive."""

    def __init__(
        self, source: Path, scratch: Path, manifest: StudyManifest, manifest_sha256: str
    ) -> None:
        self.source, self.scratch, self.manifest = source, scratch, manifest
        self.manifest_sha256 = manifest_sha256
        self.tables: dict[str, Content] = {}
        self.tags: dict[str, Content] = {}
        self.notes: tuple[str, ...] = ()

    def describe(
        self,
        files: dict[str, Path],
        licence: Licence,
        authors: Sequence[Author],
        title: str | None,
    ) -> None:
        """Make tables, report, codebook and texts."""
        tables = self.scratch / "tables"
        self.notes = export(self.source, f"{tables}/", format="csv", croissant=True).notes
        self.tables = {f"{TABLES}/{path.name}": path for path in tables.iterdir()}
        methods = describe_methods(self.source)
        report = read_report(self.source)
        report.write(self.scratch / "report.html")
        rows = codebook_rows(tables)
        subject = subject_of(report.analysis)
        name = title or f"{self.manifest.study_name}: {of_inference(subject)}"
        page = readme(
            methods,
            report.analysis,
            authors,
            licence,
            title=name,
            manifest_sha256=self.manifest_sha256,
            left_out=tuple(left_out(self.source, files)),
        )
        citation = citation_cff(
            methods, authors, licence, title=name, subject=subject, date=self._date
        )
        self.tags = {
            "README.md": page.encode(),
            "report.html": self.scratch / "report.html",
            "codebook.csv": codebook_csv(rows).encode(),
            "codebook.md": codebook_markdown(rows).encode(),
            "CITATION.cff": citation.encode(),
            "LICENCE.txt": licence.text.encode(),
            DECLARATION: DECLARATION_TEXT.encode(),
        }
        self._methods = methods

    @property
    def _date(self) -> str:
        return (self.manifest.ended_at or self.manifest.started_at)[:10]

    def info(self, n_bytes: int, n_files: int) -> bytes:
        """Return `bag-info.txt`; no line depends on when or where the archive is made."""
        methods: Methods = self._methods
        lines = {
            "External-Identifier": methods.study_design_hash,
            "External-Description": " ".join(methods.finding.split()),
            "Bagging-Date": self._date,
            "Bag-Software-Agent": f"llem-report {version('llem-report')}",
            "Payload-Oxum": f"{n_bytes}.{n_files}",
        }
        return "".join(f"{name}: {value}\n" for name, value in lines.items()).encode()


def _pack(packer: Packer, made: _Made, files: dict[str, Path]) -> None:
    try:
        study: dict[str, Content] = {f"{STUDY}/{name}": path for name, path in files.items()}
        payload = packer.add(study | made.tables)
        info = made.info(packer.n_bytes, packer.n_files)
        listed = digest_lines(payload).encode()
        tags = packer.add(made.tags | {INFO: info, MANIFEST: listed})
        packer.add({TAG_MANIFEST: digest_lines(tags).encode()})
        packer.close()
    except ForeignFileError as error:  # it was replaced since it was checked
        packer.abandon()
        raise ReportError(f"the archive cannot be written: {error}; nothing was written") from error
    except BaseException:
        packer.abandon()
        raise


def _beside(folder: Path) -> Path:
    full = folder.resolve()
    return full.parent / f"{full.name}.zip"


def _top(folder: Path) -> str:
    """Return the name of the folder at the top of the archive, whatever the archive is called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-.") or "study"


def _check_name(path: Path) -> None:
    """Do nothing if a path can be the name of an archive.

    Raises:
        ArgumentError: it has another ending, or no file can have this name.
    """
    if path.suffix.lower() != ".zip":
        raise ArgumentError(f"{path}: expected the name of a file that ends with .zip")
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    except (OSError, ValueError) as error:  # too long a name; a NUL in it
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ArgumentError(f"{str(path)!r} cannot be the name of a file: {reason}") from error


def _check(folder: Path, path: Path, manifest: StudyManifest, *, force: bool) -> None:
    _check_name(path)
    if manifest.is_divided and manifest.status == "running":
        unseen = unseen_processes(folder)
        who = f" ({unseen[0]})" if unseen else ""
        flag = " --even-if-running" if unseen else ""
        raise ReportError(
            f"{folder} has an attempt at a shard that has not ended, as far as its files say{who}: wait until "
            f"it ends, or use `llem-cli study resume {folder}{flag}` if its process was killed, and archive it "
            "then"
        )
    if not manifest.is_divided and is_running(folder):
        raise ReportError(
            f"{folder} is running, so its files are still changing; archive it when it has ended"
        )
    check_place(folder, Target(path, "csv"))
    refuse_existing(path, force=force)


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


def _notes(manifest: StudyManifest, licence: Licence, authors: Sequence[Author]) -> Iterator[str]:
    hosts = dict.fromkeys([manifest.host, *(start.host for start in manifest.starts)])
    yield (
        f"the archive names the machine {', '.join(hosts)}, the folder {manifest.directory} and the "
        "command lines, because a change would break the digests; read data/study/manifest.json before "
        "you publish it"
    )
    if not authors:
        yield "no author is named: --author 'Family, Given'"
    if licence.spdx is None and licence.text.startswith("No licence"):
        yield "no licence is chosen, so others may not use it: --licence CC-BY-4.0"
