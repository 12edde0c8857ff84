"""The folder of a study that a stranger has prepared: shown, read, planned, resumed, exported, deleted."""

from __future__ import annotations

import functools
import json
import os
import random
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakes import measures

from benchmarks.hostile.place import FaultFound, Kind, Place, new_place
from benchmarks.hostile.process import CODES, Ended, call, command, judge
from benchmarks.hostile.strings import STRINGS
from benchmarks.hostile.values import change_bytes, change_json, replace

_STUDY = """\
name: night
model: builtin:tiny-llama
pytorch: {device: cpu}
sweep: {n: [1, 2]}
execution: {n_cycles: 2, config_gap_seconds: 0, cycle_gap_seconds: 0}
"""
INLINE = {"LLEM_EXECUTION__EXECUTOR": "inline"}
"""Runs in the process of the command, which is faster than a process for each."""


@functools.cache
def finished_study(parent: Path) -> Path:
    """Return a folder with a completed study of four runs, which no case changes.

    Args:
        parent: where it is made; deleted with all cases.
    """
    with new_place(parent) as place:
        (place.work / "study.yaml").write_text(_STUDY)
        ended = run(place, place.work / "study.yaml", env=INLINE)
        if ended.code != 0:
            raise FaultFound(f"an undisturbed study failed: {ended.err}")
        (folder,) = (place.work / "results").iterdir()
        return folder.rename(parent / "study")


def run(place: Place, file: Path, **options: Any) -> Ended:
    """Run a study file with a stand-in for the measurement, as `llem-cli study run` does."""
    return _study_command("run", place, file, output=place.work / "results", **options)


def resume(place: Place, folder: Path, **options: Any) -> Ended:
    """Resume a study, as `llem-cli study resume` does."""
    return _study_command("resume", place, folder, **options)


def _study_command(
    name: str, place: Place, path: Path, *, env: dict[str, str] | None = None, **options: Any
) -> Ended:
    terminal = bool(options.pop("terminal", False))
    measure = options.pop("measure", measures.writes_samples)
    prepare = options.pop("prepare", None)

    def action() -> None:
        if prepare is not None:
            prepare()
        from llem_cli import _app
        from llem_cli._commands.study.resume import resume as resume_command
        from llem_cli._commands.study.run import run as run_command

        function = run_command if name == "run" else resume_command
        # The same path as of the program: its streams, its errors, its exit codes.
        _app.app = lambda *_, **__: function(path, measure=measure, **options)  # type: ignore[assignment]
        _app.main([])

    ended = call(action, place, terminal=terminal, env={"COLUMNS": "80", **(env or {})})
    judge(ended, terminal=terminal)
    return ended


def interrupt(folder: Path) -> None:
    """Make a completed study one that was killed before its last run."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    entry = manifest["entries"][-1]
    shutil.rmtree((folder / entry["result_file"]).parent)
    entry |= {"status": "pending", "result_file": None, "result_sha256": None}
    manifest["status"] = "running"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "study_result.json").unlink()


def mutate(rng: random.Random, folder: Path, place: Place) -> str:
    """Change something in a study's folder, and return what."""
    new = (".lock", "0001_x", "a.tmp", "report.html")
    paths = sorted([*folder.rglob("*"), *(folder / name for name in new)])
    path = rng.choice(paths)
    name = path.relative_to(folder).as_posix()
    is_small = path.is_file() and path.stat().st_size < 10_000_000 and os.access(path, os.R_OK)
    if is_small and rng.random() < 0.6:
        content = path.read_bytes()
        if path.suffix == ".json" and rng.random() < 0.75:
            path.write_bytes(change_json(rng, content))
            return f"{name}: other values"
        path.write_bytes(change_bytes(rng, content))
        return f"{name}: other bytes"
    return f"{name}: {replace(rng, path, place)}"


def _show(place: Place, folder: Path, rng: random.Random) -> None:
    arguments = ["study", "show", str(folder)] + ["--json"] * rng.randrange(2)
    command(place, arguments, terminal=rng.random() < 0.3)


def _plan(place: Place, folder: Path, rng: random.Random) -> None:
    name = rng.choice(("plan", "validate"))
    command(place, ["study", name, str(folder / "study.yaml")] + ["--json"] * rng.randrange(2))


def _resume(place: Place, folder: Path, rng: random.Random) -> None:
    options: dict[str, Any] = {}
    if rng.random() < 0.4:
        options["cycles"] = 3
    if rng.random() < 0.3:
        options["study"] = folder / "study.yaml"
    resume(place, folder, env={} if rng.random() < 0.05 else INLINE, **options)


def _export(place: Place, folder: Path, rng: random.Random) -> None:
    """Write the tables to a new folder, which the caller need not expect."""
    with tempfile.TemporaryDirectory(dir=place.home) as target:
        name = rng.choice(("tables/", "runs.csv", "runs.parquet", "runs.jsonl"))
        arguments = ["study", "export", str(folder), f"{target}/{name}"]
        if name == "tables/":
            arguments += rng.choice(([], ["--samples"], ["--format", "csv"], ["--croissant"]))
        command(place, arguments + ["--json"] * rng.randrange(2), terminal=rng.random() < 0.3)


def _report(place: Place, folder: Path, rng: random.Random) -> None:
    """Write the report into the folder: one HTML file in which no text of the folder is a tag."""
    arguments = ["study", "report", str(folder), "--static"] + ["--json"] * rng.randrange(2)
    command(
        place, arguments + ["--force"] * rng.randrange(2), terminal=rng.random() < 0.3,
        max_addresses=resource.RLIM_INFINITY,  # what draws the figures reserves a terabyte
    )  # fmt: skip
    page = folder / "report.html"
    if b"<!doctype" in _content(page)[:100].lower() and STRINGS["HTML"].encode() in _content(page):
        raise FaultFound("a text of the folder is a tag of the report")


def _watch(place: Place, folder: Path, rng: random.Random) -> None:
    """Serve the page of the study, and request each of its parts."""
    del rng

    def serve() -> None:
        from urllib.request import ProxyHandler, build_opener

        from llem_config import LlemError
        from llem_report._watch.results_part import results_part
        from llem_report.watching import WatchServer

        urlopen = build_opener(ProxyHandler({})).open
        try:
            with WatchServer(folder) as server:
                parts = [urlopen(server.url + name).read() for name in ("", "state.json")]
            text = b"".join(parts).decode() + results_part(folder)
        except LlemError as error:
            text = str(error)
        assert "error in llem itself" not in text, text[-600:]
        assert STRINGS["HTML"] not in text, "a text of the folder is a tag of the page"

    judge(call(serve, place))


def _merge(place: Place, folder: Path, rng: random.Random) -> None:
    """Merge it with a folder without changes, in either order."""
    folders = [str(folder), str(finished_study(place.root.parent))]
    rng.shuffle(folders)
    with tempfile.TemporaryDirectory(dir=place.home) as target:
        options = rng.choice(([], ["--json"], ["--copy"]))
        command(place, ["study", "merge", f"{target}/merged", *folders, *options])


def _compare(place: Place, folder: Path, rng: random.Random) -> None:
    """Compare it with a folder without changes, in either order."""
    folders = [str(folder), str(finished_study(place.root.parent))]
    rng.shuffle(folders)
    options = rng.choice(([], ["--json"], ["--markdown"], ["--fail-above", "2%", "--strict"]))
    arguments = ["study", "compare", *folders, *options]
    command(place, arguments, terminal=rng.random() < 0.3, codes=(*CODES, 3, 4))


def _read(place: Place, folder: Path, rng: random.Random) -> None:
    """Call the readers of the library: each returns, or raises an error of llem."""
    del rng

    def read_all() -> None:
        from llem_config import LlemError
        from llem_energy import read_result
        from llem_runner import changed_files, is_running, read_manifest, read_study_result

        readers: list[Callable[[], object]] = [
            lambda: read_manifest(folder),
            lambda: read_study_result(folder),
            lambda: is_running(folder),
            lambda: changed_files(folder, read_manifest(folder)),
        ]
        for path in sorted(folder.rglob("result.json")):
            readers.append(functools.partial(read_result, path))
        for reader in readers:
            try:
                reader()
            except LlemError as error:
                assert "\n" not in str(error).strip(), f"several lines: {error!r}"

    judge(call(read_all, place))


_ACTIONS = (_show, _resume, _read, _resume, _plan, _export, _compare, _report, _merge, _watch)


def attack(place: Place, rng: random.Random, index: int) -> int:
    """Mutate a study's folder and use it; `show` and the readers must change nothing."""
    folder = place.work / "results" / "night_1"
    shutil.copytree(finished_study(place.root.parent), folder, symlinks=True)
    if rng.random() < 0.5:
        interrupt(folder)
    results = {path: path.read_bytes() for path in folder.rglob("result.json")}
    what = [mutate(rng, folder, place) for _ in range(rng.choice((1, 1, 1, 2, 4)))]
    kept = {path: old for path, old in results.items() if _content(path) == old}
    before, inside = place.snapshot(folder), place.snapshot()
    action = _ACTIONS[index % len(_ACTIONS)]
    try:
        action(place, folder, rng)
        place.check(before, folder)
        if action not in (_resume, _report):
            place.check(inside)
        for path, old in kept.items():
            if old not in (_content(path), _content(path.with_name("result.json.old"))):
                raise FaultFound(f"the result {path.parent.name} is lost")  # noqa: TRY301
        shutil.rmtree(folder)  # as a file manager deletes it
        place.check(before, folder)
    except FaultFound as fault:
        raise FaultFound(f"{action.__name__[1:]} of a folder with {what}: {fault}") from fault
    return 1


def _content(path: Path) -> bytes:
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return b""
    if not os.access(path, os.R_OK):  # an ordinary user closed it
        return b""
    return path.read_bytes() if path.stat().st_size < 10_000_000 else b""


KINDS = (Kind("folder", attack, 100, 2000),)
