"""Archives of strangers: nothing is written outside of the folder, and every change is found."""

from __future__ import annotations

import resource
import signal
import stat
import zipfile
from pathlib import Path

import pytest

from llem_runner import StudyError
from llem_runner._archives.opening import open_files
from llem_runner._archives.unpacking import unpack
from llem_runner.archives import digest_lines, is_archive, open_study
from llem_runner.run_files import TemporaryFolderError


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "top/../../outside",
        "/etc/outside",
        "top//outside",
        "top\\..\\outside",
        "top/./x",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    archive = make_zip(tmp_path / "a.zip", {"top/first": b"1", name: b"2"})
    with pytest.raises(StudyError, match="not safe to unpack"):
        unpack(archive, target(tmp_path))
    assert list((tmp_path / "target").iterdir()) == []
    assert not (tmp_path / "outside").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        info = zipfile.ZipInfo("top/link")
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(StudyError, match="is a link or a device"):
        unpack(archive, target(tmp_path))


def test_a_bomb_is_refused_by_its_stated_size(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(3):
            with packed.open(f"top/{number}", "w", force_zip64=True) as file:
                for _ in range(512):
                    file.write(bytes(2**20))
    with pytest.raises(StudyError, match="expected at most 1,073,741,824 bytes"):
        unpack(archive, target(tmp_path))


def test_two_files_of_one_name_and_two_tops_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = tmp_path / "twice.zip"
        with zipfile.ZipFile(twice, "w") as packed:
            packed.writestr("top/a", b"1")
            packed.writestr("top/a", b"2")
    with pytest.raises(StudyError, match="is in it twice"):
        unpack(twice, target(tmp_path))
    tops = make_zip(tmp_path / "tops.zip", {"one/a": b"1", "two/a": b"2"})
    with pytest.raises(StudyError, match="with one folder at its top, found 2"):
        unpack(tops, tmp_path / "target")


def test_a_file_that_was_cut_off_or_damaged_is_refused_in_one_sentence(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"top/a": b"a" * 5000})
    content = archive.read_bytes()
    for number, damaged in enumerate((content[:-30], content.replace(b"top/a", b"top/b", 1))):
        path = tmp_path / f"damaged{number}.zip"
        path.write_bytes(damaged)
        with pytest.raises(StudyError, match="is damaged") as caught:
            unpack(path, tmp_path)
        assert "\n" not in str(caught.value)


def test_a_changed_byte_in_the_packed_text_is_refused_in_one_sentence(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"top/text": b"some text of a study, " * 400})
    content = archive.read_bytes()
    first = 30 + len("top/text")
    for place in range(first, content.index(b"PK\x01\x02") - 1):  # the last byte has unused bits
        archive.write_bytes(bytes([*content[:place], content[place] ^ 0xFF, *content[place + 1 :]]))
        folder = tmp_path / str(place)
        folder.mkdir()
        with pytest.raises(StudyError, match=r"a\.zip is damaged: .*; get the archive again"):
            unpack(archive, folder)


def test_a_method_of_compression_that_no_archive_has_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("top/text", b"text")
    with pytest.raises(StudyError, match="is neither stored nor deflated"):
        unpack(archive, target(tmp_path))


def test_a_zip_file_that_is_no_archive_of_a_study_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"top/a": b"1"})
    assert is_archive(archive)
    with pytest.raises(StudyError, match="found another zip file"), open_study(archive):
        pass


def bag(tmp_path: Path, **changes: bytes | None) -> Path:
    """Return an archive with one file of a study, whose files are then changed."""
    from hashlib import sha256

    payload = {"data/study/manifest.json": b"{}"}
    listed = digest_lines({name: sha256(each).hexdigest() for name, each in payload.items()})
    tags = {"bagit.txt": b"x", "manifest-sha256.txt": listed.encode()}
    tag_list = digest_lines({name: sha256(each).hexdigest() for name, each in tags.items()})
    files = payload | tags | {"tagmanifest-sha256.txt": tag_list.encode()}
    changed = files | {name.replace("__", "/"): each for name, each in changes.items() if each}
    removed = {name.replace("__", "/") for name, each in changes.items() if each is None}
    path = tmp_path / "bag.zip"
    kept = {f"top/{name}": each for name, each in changed.items() if name not in removed}
    return make_zip(path, kept)


def test_an_archive_as_it_was_made_opens_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with open_files(bag(tmp_path)) as opened:
        assert (opened.folder / "manifest.json").read_text() == "{}"
        assert opened.tampering is None
        folder = opened.folder
    assert not folder.exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data__study__manifest.json": b"[]"}, "data/study/manifest.json is changed"),
        ({"data__study__extra.json": b"[]"}, "data/study/extra.json is foreign"),
        ({"bagit.txt": b"y"}, "bagit.txt is changed"),
        ({"bagit.txt": None}, "bagit.txt is missing, because the archive lists it but lacks it;"),
        ({"tagmanifest-sha256.txt": b"nonsense\n"}, "is changed, because it is damaged: line 1"),
        (
            {"tagmanifest-sha256.txt": b"\n" * (129 << 20)},
            "is changed, because it is damaged: expected at most 128 MiB",
        ),
        (
            {"manifest-sha256.txt": b"nonsense\n"},
            "manifest-sha256.txt is changed, because it is dam",
        ),
    ],
)
def test_every_change_is_found_and_said_in_one_sentence(
    tmp_path: Path, changes: dict[str, bytes | None], sentence: str
) -> None:
    path = bag(tmp_path, **changes)
    before = path.read_bytes()
    with (
        pytest.raises(StudyError, match="was changed after it was made") as caught,
        open_study(path),
    ):
        pass
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    with open_files(path) as opened:
        assert opened.tampering == str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["manifest-sha256.txt", "tagmanifest-sha256.txt"])
def test_a_missing_list_of_checksums_is_said_in_one_sentence(tmp_path: Path, name: str) -> None:
    path = bag(tmp_path, **{name: None})
    with pytest.raises(StudyError) as caught, open_files(path):
        pass
    assert str(caught.value) == (
        f"{path}: expected {name}, the list of checksums, found none, so llem cannot check whether the "
        "files were changed; get the archive again"
    )


def test_an_archive_without_the_manifest_of_its_study_is_refused_by_its_own_name(
    tmp_path: Path,
) -> None:
    path = bag(tmp_path, **{"data__study__manifest.json": None, "data__study__study.yaml": b"x"})
    sentence = rf"{path} was changed after it was made: it has no data/study/manifest\.json"
    with pytest.raises(StudyError, match=sentence), open_files(path):
        pass


def test_a_full_folder_for_temporary_files_is_named_with_its_variable(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"top/data/x": bytes(10_000)})
    folder = target(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, limits[1]))
    try:
        with pytest.raises(TemporaryFolderError) as caught:
            unpack(path, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert str(caught.value) == (
        f"{path} cannot be unpacked in the folder for temporary files, {tmp_path}: File too large; set "
        "TMPDIR to a folder with enough space"
    )
