"""Hostile strings, through every command, on a terminal of 80 columns and into a pipe."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.hostile.folders import INLINE, finished_study, resume, run
from benchmarks.hostile.place import FaultFound, Kind, Place
from benchmarks.hostile.process import call, command, judge
from benchmarks.hostile.strings import STRINGS
from benchmarks.hostile.values import TEXTS

_ARGUMENTS = [text for text in STRINGS.values() if "\0" not in text and "\ud800" not in text]
_COMMANDS: tuple[list[str], ...] = (
    *(["study", "run"], ["study", "resume"], ["study", "show"], ["study", "plan"]),
    *(["study", "validate"], ["experiment", "run"], ["config"], ["schema"], ["study"], []),
)
_HALF = "\ud800"
_BYTE = "\udcff"
_FLAGS = ("--set", "--cycles", "--order", "--output", "--time-limit", "--study", "--retry", "-x")


def yaml_text(text: str) -> str:
    """Return a text as YAML, with escapes for all but plain letters and signs."""
    chars = (
        char
        if char.isascii() and char.isprintable() and char not in '"\\'
        else f"\\U{ord(char):08x}"
        for char in text
    )
    return '"' + "".join(chars) + '"'


def _in_arguments(place: Place, rng: random.Random, text: str, terminal: bool) -> None:
    arguments = list(rng.choice(_COMMANDS))
    for _ in range(rng.choice((1, 1, 2))):
        arguments.append(rng.choice(_FLAGS) if rng.random() < 0.4 else text)
        if rng.random() < 0.3:
            arguments.append(f"model={text}")
    arguments += ["--json"] * rng.randrange(2)
    if "run" not in arguments and "schema" not in arguments:  # these write files of any name
        arguments.append(text)
        command(place, arguments, terminal=terminal)
    else:
        command(place, [*arguments, "no such file"], terminal=terminal)


def _in_study_file(place: Place, rng: random.Random, text: str, terminal: bool) -> None:
    word = yaml_text(text[:5000] if "\ud800" not in text and "\udcff" not in text else "x")
    lines = rng.choice(
        (
            f"model: {word}\n",
            f"model: a/b\nname: {word}\n",
            f"model: a/b\n{word}: 1\n",
            f"model: a/b\nn: {word}\n",
            f"model: a/b\npytorch: {{{word}: {word}}}\n",
            f"model: a/b\nsweep: {{{word}: [1]}}\n",
            f"model: a/b\ndataset: {{source: {word}}}\n",
            f"model: a/b\nsweep: {{model: [{word}, b]}}\n",
            f"model: a/b\nlora: {{adapter: {word}}}\n",
            f"base: {word}\n",
            f"model: a/b\nbackend: {word}\n",
            f"model: a/b\npassthrough_kwargs: {{{word}: {word}}}\n",
            f"- {word}\n",
        )
    )
    names = ("study.yaml", "a\x1b[2J.yaml", "[red]b.yaml", "a\u202eb.yaml", "a\nerror: forged.yaml")
    file = place.work / rng.choice(names)
    file.write_text(lines)
    before = place.snapshot()
    arguments = ["study", rng.choice(("plan", "validate")), str(file)]
    command(place, arguments + ["--json"] * rng.randrange(2), terminal=terminal)
    place.check(before)


def _in_results(place: Place, rng: random.Random, text: str, terminal: bool) -> None:
    folder = place.work / "study"
    shutil.copytree(finished_study(place.root.parent), folder)
    if "\ud800" in text or "\udcff" in text:
        text = rng.choice(TEXTS)
    name = rng.choice(("manifest.json", "study_result.json"))
    data = json.loads((folder / name).read_bytes())
    share = rng.choice((0.1, 0.5, 1.0))
    (folder / name).write_text(json.dumps(_with_text(data, text, rng, share)))
    if name == "manifest.json" and rng.random() < 0.5:
        (folder / "study_result.json").unlink()
    command(
        place, ["study", "show", str(folder)] + ["--json"] * rng.randrange(2), terminal=terminal
    )


def _with_text(data: Any, text: str, rng: random.Random, share: float) -> Any:
    """Return JSON data in which a share of the texts is replaced, but none with a fixed meaning."""
    fixed = ("completed", "interleaved", "sequential", "shuffled", "energy_per_output_token_j")
    if isinstance(data, dict):
        return {key: _with_text(value, text, rng, share) for key, value in data.items()}
    if isinstance(data, list):
        return [_with_text(value, text, rng, share) for value in data]
    if isinstance(data, str) and data not in fixed and rng.random() < share:
        return text
    return data


def _in_model(place: Place, rng: random.Random, text: str, terminal: bool) -> None:
    """The name of a model folder and the texts in its files, in a run and a resume."""
    name = text if not set(text) & {"\0", _HALF, _BYTE} and 0 < len(text) < 100 else "m"
    model = place.work / "models" / name.strip("/. ")
    if not model.resolve().is_relative_to(place.work / "models") or not name.strip("/. "):
        model = place.work / "models" / "m"
    model.mkdir(parents=True)
    word = text if not set(text) & {_HALF, _BYTE} else "x"
    config = {
        "model_type": rng.choice((word, "llama")),
        "torch_dtype": word,
        "quantization_config": word,
    }
    (model / "config.json").write_text(json.dumps(config))
    (model / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    study = place.work / "study.yaml"
    path = yaml_text(f"./{model.relative_to(place.work)}")
    study.write_text(f"model: {path}\npytorch: {{device: cpu}}\nexecution: {{n_cycles: 1}}\n")
    run(place, study, env=INLINE, terminal=terminal)
    for folder in (place.work / "results").glob("*"):
        resume(place, folder, env=INLINE, terminal=terminal)
        command(place, ["study", "show", str(folder)], terminal=terminal)


def _in_settings(place: Place, rng: random.Random, text: str, terminal: bool) -> None:
    """Names and values of environment variables, and the file of settings."""
    value = text.replace("\0", "").encode(
        "utf-8", "surrogateescape" if _HALF not in text else "replace"
    )
    shown = value[:100_000].decode("utf-8", "surrogateescape")
    name = shown[:1000].replace("=", "")
    deep = rng.choice(("[", '{"a":')) * rng.choice((50, 500, 20_000))
    variables = rng.choice(
        (
            {"LLEM_OUTPUT__RESULTS_DIR": shown},
            {"LLEM_EXECUTION__EXECUTOR": shown},
            {"LLEM_EXECUTION__CONFIG_GAP_SECONDS": shown},
            {"LLEM_DEVICES__GPUS": rng.choice((shown, deep, json.dumps([name, name])))},
            {
                rng.choice(("LLEM_DEVICES", "LLEM_OUTPUT", "llem_execution")): rng.choice(
                    (shown, deep)
                )
            },
            {f"LLEM_OUTPUT__{name}": shown},
            {f"LLEM_EXECUTON__EXECUTOR{name}": shown},
            {"LLEM_CONFIG": name},
            {"LLEM_CACHE": name},
        )
    )
    if rng.random() < 0.2:
        file = place.work / "settings.yaml"
        word = yaml_text("x" if {_HALF, _BYTE} & set(text) else text[:5000])
        file.write_text(
            rng.choice((f"output: {{results_dir: {word}}}\n", f"{word}: {word}\n", deep))
        )
        variables = {"LLEM_CONFIG": str(file)}
    arguments = ["config"] + ["--json"] * rng.randrange(2)
    command(place, arguments, terminal=terminal, env=variables)


def _in_progress(place: Place, rng: random.Random, text: str, terminal: bool) -> None:
    """Warnings, stages and errors of libraries, while a study runs."""

    def show() -> None:
        from llem_cli._display.progress import Progress
        from llem_runner.events import PreflightWarning, RunFailed, RunStage, RunStarted

        with Progress(quiet=False, verbose=verbose) as progress:
            progress(PreflightWarning(text))
            progress(RunStarted(index=1, cycle=1, label=text))
            progress(RunStage(index=1, stage=text))
            log = Path("log")
            progress(RunFailed(index=1, seconds=1.0, error_type=text, message=text, log=log))

    verbose = rng.random() < 0.5
    judge(call(show, place, terminal=terminal), terminal=terminal)


_PLACES: tuple[Callable[[Place, random.Random, str, bool], None], ...] = (
    *(_in_arguments, _in_study_file, _in_results, _in_arguments, _in_study_file, _in_results),
    *(_in_progress, _in_model, _in_settings),
)


def say(place: Place, rng: random.Random, index: int) -> int:
    """Use one text in one place, in a pipe and on a terminal."""
    kind = rng.choice([kind for kind in STRINGS if kind != "null"])
    function = _PLACES[index % len(_PLACES)]
    text = STRINGS[kind]
    if function is _in_arguments and text not in _ARGUMENTS:
        text = "a\udcffb"
    before = place.snapshot(place.work)
    try:
        function(place, rng, text, rng.random() < 0.5)
        place.check(before, place.work)
    except FaultFound as fault:
        raise FaultFound(f"text {kind!r} {function.__name__[1:]}: {fault}") from fault
    return 1


KINDS = (Kind("hostile text", say, 60, 900),)
