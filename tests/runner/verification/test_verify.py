"""Whether the files of a study are as it wrote them, and what this machine has of it (RES-14)."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import measures
from fakes.studies import model_folder, only_folder, study
from report.comparison.folders import make_folder

from llem_config import StudyConfig
from llem_energy.records import DeviceWindow, EnvironmentSnapshot, GpuSnapshot
from llem_runner import StudyError, read_manifest, read_study, run_study, verify_study
from llem_runner._storage.layout import Layout
from llem_runner._storage.lock import hold
from llem_runner._storage.resolved_digest import resolved_digest
from llem_runner.executors import InlineExecutor
from llem_runner.verification import Verification

DATA = Path(__file__).parent.parent / "storage" / "data"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real study of two runs, with the model in this process."""
    results = tmp_path_factory.mktemp("results")
    run_study(study((1, 2)), output=results, executor=InlineExecutor())
    return only_folder(results)


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "study"
    shutil.copytree(original, copy)
    return copy


def states(found: Verification) -> dict[str, str]:
    """Return the state of each file that is not intact."""
    return {file.name: file.state for file in found.files if file.state != "intact"}


def causes(found: Verification) -> dict[str, str | None]:
    """Return the cause of each file that is not intact."""
    return {file.name: file.cause for file in found.files if file.state != "intact"}


def add_a_space(path: Path) -> None:
    path.write_text(path.read_text() + " ")


def content_of(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def run_folder(folder: Path, index: int = 1) -> Path:
    entry = read_manifest(folder).entries[index - 1]
    return (folder / str(entry.result_file)).parent


def test_a_study_that_nobody_touched_is_intact_and_verifying_writes_nothing(folder: Path) -> None:
    before = content_of(folder)
    found = verify_study(folder)
    assert (found.verdict, states(found)) == ("intact", {})
    assert {file.name.rpartition("/")[2] for file in found.files} == {
        "study_resolved.json", "study_result.json", "result.json", "requests.parquet",
    }  # fmt: skip
    assert content_of(folder) == before


def test_this_machine_has_what_the_study_needs(folder: Path) -> None:
    found = verify_study(folder)
    assert found.versions == ()
    assert found.n_same_versions > 20
    assert [(each.name, each.state) for each in found.inputs] == [("builtin:tiny-llama", "same")]
    assert [each.is_met for each in found.requirements] == [True, True, True]


@pytest.mark.parametrize(
    ("name", "damage", "state", "cause"),
    [
        ("study_resolved.json", lambda path: path.write_text("{}"), "changed", "other digest"),
        ("study_result.json", add_a_space, "changed", "other digest"),
        ("study_result.json", Path.unlink, "missing", "not found"),
        ("result.json", add_a_space, "changed", "other digest"),
        ("result.json", lambda path: path.write_text("{"), "changed", "other digest"),
        ("result.json", Path.unlink, "missing", "not found"),
        ("requests.parquet", lambda path: path.write_bytes(b"PAR1"), "changed", "other digest"),
        ("requests.parquet", Path.unlink, "missing", "not found"),
    ],
)
def test_a_changed_or_missing_file_is_named_with_the_cause(
    folder: Path, name: str, damage: Callable[[Path], Any], state: str, cause: str
) -> None:
    parent = run_folder(folder) if name.startswith("re") else folder
    path = parent / name
    damage(path)
    found = verify_study(folder, files_only=True)
    assert found.verdict == "not intact"
    name = path.relative_to(folder).as_posix()
    assert (states(found)[name], causes(found)[name]) == (state, cause)
    assert path.name in found.reason


@pytest.mark.parametrize("name", ["study_resolved.json", "study_result.json"])
def test_a_file_that_is_not_understood_has_another_cause_than_a_changed_one(
    folder: Path, name: str
) -> None:
    (folder / name).write_text("[]")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["resolved_sha256"] = resolved_digest(Layout(folder))
    digest = hashlib.sha256((folder / "study_result.json").read_bytes()).hexdigest()
    manifest["study_result_sha256"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert causes(verify_study(folder, files_only=True)) == {name: "not understood"}


def test_a_link_in_place_of_a_result_is_not_followed(folder: Path, tmp_path: Path) -> None:
    path = run_folder(folder) / "result.json"
    shutil.copy(path, tmp_path / "elsewhere.json")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere.json")
    found = verify_study(folder, files_only=True)
    assert states(found)[path.relative_to(folder).as_posix()] in ("changed", "foreign")
    assert found.verdict == "not intact"


def test_a_result_of_another_point_is_changed_although_manifest_and_file_agree(
    folder: Path,
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    first, second = manifest["entries"]
    shutil.copy(folder / second["result_file"], folder / first["result_file"])
    first["result_sha256"] = second["result_sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = verify_study(folder, files_only=True)
    assert states(before) == {first["result_file"]: "changed"}
    assert causes(before) == {first["result_file"]: "other point"}


def test_manifest_and_file_that_were_changed_together_change_the_digest_of_the_manifest(
    folder: Path,
) -> None:
    before = verify_study(folder, files_only=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["host"] = "another"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    after = verify_study(folder, files_only=True)
    assert after.verdict == "intact"
    assert after.manifest_sha256 != before.manifest_sha256


def test_foreign_files_are_listed_and_do_not_change_the_study(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "report.html").write_text("of llem")
    (run_folder(folder) / "plot.png").write_bytes(b"")
    (run_folder(folder) / "result.json.old").write_text("an earlier attempt")
    (folder / "0009_c1_other_01234567").mkdir()
    (folder / "link").symlink_to("/etc/hostname")
    found = verify_study(folder, files_only=True)
    assert found.verdict == "intact"
    assert states(found) == dict.fromkeys(
        (
            "notes.txt",
            f"{run_folder(folder).name}/plot.png",
            "0009_c1_other_01234567/",
            "link",
        ),
        "foreign",
    )
    assert set(causes(found).values()) == {"not listed"}


def test_a_manifest_without_digests_proves_nothing(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for key in ("resolved_sha256", "study_result_sha256", "starts"):
        del manifest[key]
    for entry in manifest["entries"]:
        del entry["result_sha256"], entry["files_sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 2}))
    found = verify_study(folder)
    assert found.verdict == "unverifiable"
    assert set(states(found).values()) == {"unverifiable"}
    assert set(causes(found).values()) == {"no digest"}
    assert "early version" in found.reason


def test_a_folder_of_an_unknown_format_is_refused_in_one_sentence(folder: Path) -> None:
    text = (
        (folder / "manifest.json").read_text().replace('"schema_version": 3', '"schema_version": 9')
    )
    (folder / "manifest.json").write_text(text)
    with pytest.raises(StudyError, match=r"expected format 1 to 3, found 9, .*; update llem$"):
        verify_study(folder)


def test_a_running_study_is_reported_as_running(folder: Path) -> None:
    assert verify_study(folder, files_only=True).is_running is False
    with hold(folder / ".lock", str(folder)):
        assert verify_study(folder, files_only=True).is_running is True


def test_a_model_that_was_changed_since_is_named_with_its_file(tmp_path: Path) -> None:
    model = model_folder(tmp_path)
    folder = _measured_with(model, tmp_path)
    assert [each.state for each in verify_study(folder).inputs] == ["same"]
    Path(model, "config.json").write_text('{"model_type": "other"}')
    (changed,) = verify_study(folder).inputs
    assert changed.state == "changed"
    assert "config.json" in (changed.reason or "")
    shutil.rmtree(model)
    (absent,) = verify_study(folder).inputs
    assert absent.state == "not here"
    needs = {each.what: each.is_met for each in verify_study(folder).requirements}
    assert needs["the same models and data"] is False


def _measured_with(model: str, tmp_path: Path) -> Path:
    config = study((1,))
    experiments = tuple(each.model_copy(update={"model": model}) for each in config.experiments)
    run_study(
        StudyConfig(name="test", experiments=experiments, execution=config.execution),
        output=tmp_path / "results",
        measure=measures.reads_inputs,
        executor=InlineExecutor(),
    )
    return only_folder(tmp_path / "results")


def test_a_gpu_that_is_not_here_and_another_version_are_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 1, ns=(1,), cycles=1, **_on_a_gpu())
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["versions"]["llem-energy"] = "0.0.1"
    manifest["starts"][0]["packages"]["msgspec"] = "0.1"
    manifest["starts"][0]["packages"]["gone"] = "1.0"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = verify_study(folder)
    needs = {each.what: (each.is_met, each.reason) for each in found.requirements}
    assert needs["1 x Board X"] == (False, "this machine has no GPU")
    assert needs["the same versions of llem"] == (False, "llem-energy 0.0.1 then, 0.1.0 now")
    differing = {each.package: (each.then, each.now is None) for each in found.versions}
    assert differing == {"msgspec": ("0.1", False), "gone": ("1.0", True)}


def _on_a_gpu() -> dict[str, Any]:
    return {"environment_snapshot": _snapshot(), "devices": (_window(),)}


def _snapshot() -> EnvironmentSnapshot:
    values: dict[str, Any] = dict.fromkeys(GpuSnapshot.__struct_fields__)
    gpu = GpuSnapshot(**{**values, "index": 0, "uuid": "GPU-1", "name": "Board X"})
    return EnvironmentSnapshot(
        python="3", platform="Linux", cpu_model=None, n_cpus=1, memory_bytes=None,
        cpu_governor=None, load_average_1min=None, driver="580", nvml="12", gpus=(gpu,),
        packages={}, environment={},
    )  # fmt: skip


def _window() -> DeviceWindow:
    values: dict[str, Any] = dict.fromkeys(DeviceWindow.__struct_fields__)
    return DeviceWindow(
        **{**values, "device": "GPU-1", "energy_j": 100.0, "estimates": (), "throttle_reasons": ()}
    )


def of_another_backend(folder: Path) -> None:
    """Rewrite a study as one of a backend whose package is not installed here."""
    resolved = folder / "study_resolved.json"
    data = json.loads(resolved.read_text())
    for point in data["experiments"]:
        point |= {"backend": "parrot", "parrot": point.pop("pytorch")}
    resolved.write_text(json.dumps(data))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["resolved_sha256"] = resolved_digest(Layout(folder))
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_study_of_a_backend_that_is_not_installed_is_intact_and_says_what_is_missing(
    folder: Path,
) -> None:
    of_another_backend(folder)
    found = verify_study(folder)
    assert (found.verdict, states(found)) == ("intact", {})
    (backend,) = [need for need in found.requirements if need.what == "the backend"]
    assert backend.is_met is False
    assert "run on the backend parrot, whose package is not installed here" in backend.reason
    assert not verify_study(folder, files_only=True).requirements


def test_a_changed_study_of_a_backend_that_is_not_installed_is_changed(folder: Path) -> None:
    of_another_backend(folder)
    resolved = folder / "study_resolved.json"
    resolved.write_text(resolved.read_text().replace('"n": 2', '"n": 3'))
    assert states(verify_study(folder)) == {"study_resolved.json": "changed"}


def test_reading_a_study_of_a_backend_that_is_not_installed_names_the_backend(folder: Path) -> None:
    of_another_backend(folder)
    with pytest.raises(
        StudyError, match=r"^study_resolved\.json: its points run on the backend parrot"
    ):
        read_study(folder)
