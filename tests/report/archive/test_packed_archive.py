"""What is written from a packed study if its packs hold a password, or cannot be copied."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

import pytest
from fakes.packed_studies import complete_study

from llem_report import ReportError, archive_study, export
from llem_runner._storage import temporary_copies
from llem_runner.run_files import TemporaryFolderError
from llem_runner.shards import merge_study, pack_study

PASSWORD = "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH"


def test_a_password_in_a_packed_log_is_found_and_the_pack_is_named(tmp_path: Path) -> None:
    folder = complete_study(tmp_path / "out")
    merge_study(folder)
    attempt = folder / "shards/0002/a01"
    log = sorted(attempt.glob("*/log.txt"))[0]
    log.write_text(f"one line\nHF_TOKEN={PASSWORD}\n")
    with pytest.raises(ReportError) as loose:
        archive_study(folder, tmp_path / "a.zip")
    assert str(loose.value).startswith(f"{log}, line 2: expected no password, found ")
    assert str(loose.value).endswith("so revoke it, then remove this line")
    pack_study(folder)
    with pytest.raises(ReportError) as packed:
        archive_study(folder, tmp_path / "a.zip")
    pack = attempt / "runs.zip"
    assert str(packed.value).startswith(f"{log.parent.name}/log.txt in {pack}, line 2: ")
    assert 'then unpack runs.zip as "Few files" in docs/clusters.md says' in str(packed.value)
    assert PASSWORD not in str(packed.value)
    with zipfile.ZipFile(pack) as content:
        content.extractall(attempt)
    pack.unlink()
    log.write_text("one line\n")
    pack_study(folder)
    archive_study(folder, tmp_path / "a.zip")


def test_a_full_folder_for_temporary_files_is_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = complete_study(tmp_path / "out")
    merge_study(folder)
    pack_study(folder)

    def full() -> BinaryIO:
        return Path("/dev/full").open("r+b")

    monkeypatch.setattr(temporary_copies, "_new_file", full)
    with pytest.raises(TemporaryFolderError, match="is full: No space left on device"):
        archive_study(folder, tmp_path / "a.zip")
    with pytest.raises(TemporaryFolderError, match="is full: No space left on device"):
        export(folder, tmp_path / "samples.csv", table="samples")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
