"""What the YAML reader accepts, the values of scalars, and what it refuses.

Covers the reading of files in CFG-11 and CFG-12: safe, exact, with limits.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from llem_config import ConfigError, StudyConfig
from llem_config.overrides import parse_value

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
        ("190:20:30", "190:20:30"),
        ("-1:30.5", "-1:30.5"),
        ("+.INF", float("inf")),
        ("=", "="),
        ("<<", "<<"),
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
def test_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("word", ["YES", "on", "no", "off"])
def test_booleans_of_yaml_1_1_are_text(faults: Faults, word: str) -> None:
    assert faults(MODEL + f"pytorch.use_cache: {word}\n") == [
        f"study.yaml:2:20: pytorch.use_cache: expected true or false, found {word!r}"
    ]


def test_keys_are_always_text(load: Load) -> None:
    study = load(MODEL + "passthrough_kwargs: {on: 1, 0: 2, 1e5x: 3}\n")
    assert study.experiments[0].passthrough_kwargs == {"on": 1, "0": 2, "1e5x": 3}


def test_a_byte_order_mark_and_windows_line_endings_are_accepted(
    load: Load, faults: Faults
) -> None:
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
    values = [(item.decoder.temperature, item.decoder.top_k) for item in study.experiments]
    assert values == [(1.0, 5), (1.0, 7), (1.0, 3)]


def test_an_alias_is_a_copy_for_every_point(load: Load) -> None:
    study = load(
        MODEL
        + "experiments:\n  - {pytorch: &p {batch_size: 2}}\n"
        + "  - {pytorch: *p, pytorch.batching: sorted}\n  - {n: 3, pytorch: *p}\n"
    )
    batchings = [item.pytorch and item.pytorch.batching for item in study.experiments]
    assert batchings == [None, "sorted", None]


def test_an_alias_bomb_is_refused(faults: Faults) -> None:
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
def test_deep_nesting_is_an_error_and_not_a_crash(tmp_path: Path, opening: str, depth: int) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("a:\n  " + opening * depth)
    # In another process, because a crash of the recursive C parser would end the tests.
    program = (
        "import sys\nfrom llem_config import ConfigError, load_study\n"
        "try: load_study(sys.argv[1])\nexcept ConfigError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("expected at most 64 nested levels\n")


def test_tags_never_create_objects(faults: Faults) -> None:
    (fault,) = faults(MODEL + "n: !!python/object/apply:os.system [true]\n")
    assert fault == (
        "study.yaml:2:4: n: expected plain YAML, found the tag "
        "tag:yaml.org,2002:python/object/apply:os.system"
    )


@pytest.mark.parametrize("filling", ["x", "- a\n", "#\n", "[{a: 1}, "], ids=repr)
def test_a_file_of_fifty_megabytes_is_refused_without_reading_all_of_it(
    tmp_path: Path, filling: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(MODEL + filling * (50_000_000 // len(filling)))
    program = (
        "import re, sys\nfrom pathlib import Path\nfrom llem_config import ConfigError, load_study\n"
        "try: load_study(sys.argv[1])\nexcept ConfigError as error: print(error)\n"
        # Not `ru_maxrss`, which a child process inherits from its parent.
        "status = Path('/proc/self/status').read_text()\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) / 1e6)"  # from kilobytes
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    problem, gigabytes = done.stdout.splitlines()
    assert problem == f"{path}: expected at most 8 MB; use sweep instead of a long list"
    assert float(gigabytes) < 0.5


def test_a_flag_that_is_not_utf_8_is_a_fault() -> None:
    with pytest.raises(ConfigError, match="bytes that are not UTF-8"):
        parse_value("a\udcff")


def test_no_part_of_the_node_graph_is_kept_after_loading(load: Load) -> None:
    study = load(MODEL + "sweep: {n: [1, 2]}\nexperiments: [{n: 3}]\nexclude: [{n: 1}]\n")
    gc.collect()
    assert len(study.experiments) == 2
    assert not [item for item in gc.get_objects() if issubclass(type(item), yaml.Node)]


def test_a_file_of_too_many_values_is_refused(faults: Faults) -> None:
    (fault,) = faults(MODEL + "x:\n" + "- a\n" * 1_900_000)
    assert fault.endswith("expected at most 1500000 values; use sweep instead of a long list")
