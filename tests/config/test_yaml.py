"""What the YAML reader accepts, what it takes a scalar for, and what it refuses.

Covers the reading of files of CFG-11 and CFG-12: safe, exact, bounded.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llem_config import StudyConfig, parse_value

Load = Callable[..., StudyConfig]
Faults = Callable[..., list[str]]
MODEL = "model: builtin:tiny-llama\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("-3", -3),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("YES", "YES"),
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"null"', "null"),
        ("-.inf", float("-inf")),
        ("9" * 31, "9" * 31),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("word", ["YES", "on", "no", "off"])
def test_words_that_yaml_1_1_took_for_booleans_are_no_booleans(faults: Faults, word: str) -> None:
    assert faults(MODEL + f"pytorch.use_cache: {word}\n") == [
        f"study.yaml:2:20: pytorch.use_cache: expected true or false, found {word!r}"
    ]


def test_keys_are_text_whatever_they_look_like(load: Load) -> None:
    study = load(MODEL + "passthrough_kwargs: {on: 1, 0: 2, 1e5x: 3}\n")
    assert study.experiments[0].passthrough_kwargs == {"on": 1, "0": 2, "1e5x": 3}


def test_a_byte_order_mark_and_windows_line_ends_are_read(load: Load, faults: Faults) -> None:
    windows = ("\ufeff" + MODEL + "n: 3\n").replace("\n", "\r\n")
    assert load(windows).experiments[0].n == 3
    assert faults(windows.replace("3", "x")) == [
        "study.yaml:2:4: n: expected a whole number >= 1, found 'x'"
    ]


def test_aliases_and_merge_keys_are_followed(load: Load) -> None:
    study = load(
        MODEL
        + "decoder: &hot {temperature: 1, top_k: 3}\n"
        + "sweep:\n  decoding:\n"
        + "    - decoder: {<<: *hot, top_k: 5}\n"
        + "    - decoder: {<<: [{top_k: 7}, *hot]}\n"
        + "    - decoder: *hot\n"
    )
    found = [(item.decoder.temperature, item.decoder.top_k) for item in study.experiments]
    assert found == [(1.0, 5), (1.0, 7), (1.0, 3)]


def test_an_alias_is_a_copy_for_every_point(load: Load) -> None:
    study = load(
        MODEL
        + "experiments:\n  - {pytorch: &p {batch_size: 2}}\n"
        + "  - {pytorch: *p, pytorch.batching: sorted}\n  - {n: 3, pytorch: *p}\n"
    )
    batchings = [item.pytorch and item.pytorch.batching for item in study.experiments]
    assert batchings == [None, "sorted", None]


def test_an_alias_bomb_is_refused_in_a_moment(faults: Faults) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)
    ]  # 10**10 values
    (fault,) = faults("\n".join(lines))
    assert fault.endswith("aliases expand to more than 10000 values")


def test_an_alias_inside_its_own_anchor_is_refused(faults: Faults) -> None:
    assert faults(MODEL + "passthrough_kwargs: &a {x: *a}\n") == [
        "study.yaml:2:21: passthrough_kwargs: this alias contains itself"
    ]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_an_error_and_no_crash(tmp_path: Path, opening: str, depth: int) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("a:\n  " + opening * depth)
    # In a process of its own: the parser below recurses in C, and a crash would end the tests.
    program = (
        "import sys\nfrom llem_config import ConfigError, load_study\n"
        "try: load_study(sys.argv[1])\nexcept ConfigError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("expected at most 64 nested levels\n")


def test_tags_never_make_objects(faults: Faults) -> None:
    (fault,) = faults(MODEL + "n: !!python/object/apply:os.system [true]\n")
    assert fault == (
        "study.yaml:2:4: n: expected plain YAML, found the tag "
        "tag:yaml.org,2002:python/object/apply:os.system"
    )
