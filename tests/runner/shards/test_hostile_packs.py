"""Packs from strangers and from bad disks: one sentence, and no step out of the folder."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.packed_studies import complete_study, files_below

from llem_config.foreign_files import ForeignFileError
from llem_runner import StudyError, read_manifest, verify_study
from llem_runner._storage.pack_reading import pack_problem
from llem_runner._storage.packing import pack_runs
from llem_runner._storage.run_files import list_as_unpacked, opened_run_file, read_run_file
from llem_runner.shards import damaged_attempts, merge_study, pack_study

PACK = "shards/0003/a01/runs.zip"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = complete_study(tmp_path_factory.mktemp("made"))
    pack_study(folder)
    merge_study(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "in" / made.name))


def first_result(folder: Path) -> str:
    entries = read_manifest(folder).entries
    return next(str(e.result_file) for e in entries if (e.result_file or "").startswith(PACK[:15]))


def n_elsewhere(folder: Path) -> int:
    """Return how many runs have a result that is not in the pack."""
    files = [entry.result_file for entry in read_manifest(folder).entries if entry.result_file]
    return sum(not file.startswith(PACK[:15]) for file in files)


def rewritten(pack: Path, change: Callable[[zipfile.ZipFile], None]) -> None:
    with zipfile.ZipFile(pack, "a") as content:
        change(content)


def with_name(name: str, mode: int = stat.S_IFREG | 0o644) -> Callable[[Path], None]:
    def change(pack: Path) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        rewritten(pack, lambda content: content.writestr(info, "/etc/passwd"))

    return change


def with_another_of_the_same_name(pack: Path) -> None:
    def add(content: zipfile.ZipFile) -> None:
        with pytest.warns(UserWarning, match="Duplicate name"):
            content.writestr(content.namelist()[0], "another")

    rewritten(pack, add)


def declared_huge(pack: Path) -> None:
    """Let the list of names say that a file has 3 GiB."""
    content = bytearray(pack.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = (3 * 2**30).to_bytes(4, "little")
    pack.write_bytes(content)


def encrypted(pack: Path) -> None:
    content = bytearray(pack.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    pack.write_bytes(content)


def by_lzma(pack: Path) -> None:
    run = "0001_c1_x_01234567"
    info = zipfile.ZipInfo(f"{run}/log.txt")
    info.compress_type = zipfile.ZIP_LZMA
    rewritten(pack, lambda content: content.writestr(info, "text"))


def link(pack: Path) -> None:
    pack.rename(pack.parents[4] / "elsewhere.zip")
    pack.symlink_to(pack.parents[4] / "elsewhere.zip")


def pipe(pack: Path) -> None:
    pack.unlink()
    os.mkfifo(pack)


def empty_folder(pack: Path) -> None:
    pack.unlink()
    pack.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "traversal": with_name("../../../../escaped.txt"),
    "absolute": with_name("/tmp/escaped.txt"),
    "backslash": with_name("0001_c1_x_01234567\\..\\..\\log.txt"),
    "dots as run": with_name("../log.txt"),
    "folder of a run above": with_name("0001_c1_x_01234567/../../log.txt"),
    "link": with_name("0001_c1_x_01234567/log.txt", stat.S_IFLNK | 0o777),
    "device": with_name("0001_c1_x_01234567/log.txt", stat.S_IFCHR | 0o666),
    "other name": with_name("0001_c1_x_01234567/.bashrc"),
    "unseen characters": with_name("0001_c1_x_01234567/log.txt\x1b[31m"),
    "twice": with_another_of_the_same_name,
    "declared huge": declared_huge,
    "encrypted": encrypted,
    "other method": by_lzma,
    "truncated": lambda pack: os.truncate(pack, pack.stat().st_size - 30),
    "half": lambda pack: os.truncate(pack, pack.stat().st_size // 2),
    "empty": lambda pack: os.truncate(pack, 0),
    "no zip": lambda pack: pack.write_text("PK of nothing"),
    "linked": link,
    "pipe": pipe,
    "folder": empty_folder,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_bad_pack_gives_one_sentence_and_nothing_leaves_the_folder(
    folder: Path, tmp_path: Path, name: str
) -> None:
    result, n_left = first_result(folder), n_elsewhere(folder)
    DAMAGES[name](folder / PACK)
    outside = files_below(tmp_path)
    with pytest.raises(ForeignFileError) as caught:
        read_run_file(folder / result, max_bytes=10**6)
    sentence = str(caught.value)
    assert sentence.startswith(str(folder / PACK))
    assert "\n" not in sentence
    assert all(char.isprintable() for char in sentence)
    (damage,) = damaged_attempts(folder)
    assert sentence in damage
    with pytest.raises(StudyError, match=r"runs\.zip"):
        pack_one_more(folder)
    # The other shards count all the same; the runs in the pack are not done.
    assert merge_study(folder, write=False).summary.completed == n_left
    found = verify_study(folder, files_only=True)
    states = {file.name: file.state for file in found.files}
    assert found.verdict == "not intact"
    assert states[PACK] == "changed"
    assert states[result] == "changed"
    assert PACK.rpartition("/")[2] in [
        path.name for path in list_as_unpacked((folder / PACK).parent)
    ]
    assert files_below(tmp_path) == outside


def pack_one_more(folder: Path) -> None:
    attempt = (folder / PACK).parent
    run = attempt / "0001_c1_x_01234567"
    run.mkdir()
    (run / "log.txt").write_text("a log")
    try:
        pack_runs(attempt)
    finally:
        shutil.rmtree(run)


def test_a_bomb_is_not_unpacked(folder: Path) -> None:
    pack = folder / PACK
    result = first_result(folder)
    name = result.removeprefix(f"{PACK.rpartition('/')[0]}/")
    pack.unlink()
    with zipfile.ZipFile(pack, "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr(name, bytes(20_000_000))
    with pytest.raises(
        ForeignFileError, match=r"expected at most 1,000,000 bytes, found 20,000,000"
    ):
        read_run_file(folder / result, max_bytes=10**6)
    assert verify_study(folder, files_only=True).verdict == "not intact"


def test_verify_names_a_pack_of_which_a_byte_was_changed(folder: Path) -> None:
    """Also in a log, of which no manifest has a digest."""
    pack = folder / PACK
    with zipfile.ZipFile(pack) as content:
        info = next(each for each in content.infolist() if each.filename.endswith("log.txt"))
        place = info.header_offset + 30 + len(info.filename)
    changed = bytearray(pack.read_bytes())
    changed[place + 3] ^= 0x40
    pack.write_bytes(changed)
    found = verify_study(folder, files_only=True)
    (file,) = [file for file in found.files if file.state != "intact"]
    assert (file.name, file.state) == (PACK, "changed")
    assert str(file.reason).startswith(f"{pack} is damaged: ")


def test_whatever_byte_is_changed_a_file_is_as_it_was_or_cannot_be_read(folder: Path) -> None:
    pack = folder / PACK
    attempt = pack.parent
    content = pack.read_bytes()
    with zipfile.ZipFile(pack) as packed:
        intact = {name: packed.read(name) for name in packed.namelist()[:4]}
    n_refused = 0
    # All of the list of names at the end, and a part of the rest.
    places = [*range(0, len(content), 311), *range(len(content) - 3000, len(content), 7)]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 0xFF
        pack.write_bytes(changed)
        assert pack_problem(pack) is None or "\n" not in str(pack_problem(pack))
        for name, expected in intact.items():
            try:
                with opened_run_file(attempt / name) as file:
                    assert file.read() == expected
            except ForeignFileError:
                n_refused += 1
    assert n_refused > 100
