"""A file with thousands of mistakes: linear work, the first hundred mistakes, and a count."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from llem_config import ConfigError, Fault, StudyConfig, load_study

FILES: dict[str, Callable[[int], str]] = {
    "unknown keys": lambda n: "".join(f"key_{i}: 1\n" for i in range(n)),
    "unknown keys of a section": lambda n: "pytorch:\n" + "".join(f"  k{i}: 1\n" for i in range(n)),
    "unknown dotted keys": lambda n: "".join(f"pytorch.k{i}: 1\n" for i in range(n)),
    "unknown axes": lambda n: "sweep:\n" + "".join(f"  k{i}: [1]\n" for i in range(n)),
    "free options": lambda n: "n: x\n" + "".join(f"passthrough_kwargs.k{i}: 1\n" for i in range(n)),
    "axes": lambda n: (
        "n: x\nsweep:\n" + "".join(f"  passthrough_kwargs.k{i}: [1]\n" for i in range(n))
    ),
    "duplicate keys": lambda n: "n: 1\n" * n,
    "wrong entries": lambda n: "experiments:\n" + "".join(f"- {{n: x{i}}}\n" for i in range(n)),
    "wrong values of an axis": lambda n: (
        "sweep:\n  n: [" + ", ".join(f"x{i}" for i in range(n)) + "]\n"
    ),
    "a wrong value of every point": lambda n: (
        f"pytorch: {{batch_size: x}}\nsweep: {{random_seed: [{', '.join(map(str, range(n)))}]}}\n"
    ),
    "merged mappings": lambda n: (
        "n: x\npassthrough_kwargs:\n  <<:\n" + "".join(f"  - {{k{i}: 1}}\n" for i in range(n))
    ),
}


def error_of(path: Path, text: str) -> ConfigError:
    path.write_text("model: builtin:tiny-llama\n" + text)
    with pytest.raises(ConfigError) as caught:
        load_study(path)
    return caught.value


def n_calls(action: Callable[[], object]) -> int:
    """Return the number of functions that an action calls, in Python and in C."""
    n = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal n
        n += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return n


@pytest.mark.parametrize("kind", FILES)
def test_the_work_grows_no_faster_than_the_file(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "study.yaml"
    error_of(file, FILES[kind](10))  # fills the caches
    small, large = (n_calls(lambda n=n: error_of(file, FILES[kind](n))) for n in (500, 1000))  # type: ignore[misc]
    assert large < 2.2 * small


@pytest.mark.parametrize(
    "kind", ["unknown keys", "unknown keys of a section", "unknown axes", "duplicate keys"]
)
def test_the_first_hundred_mistakes_and_the_number_of_the_others(tmp_path: Path, kind: str) -> None:
    error = error_of(
        tmp_path / "study.yaml", FILES[kind](5001 if kind == "duplicate keys" else 5000)
    )
    assert (len(error.faults), error.n_more) == (100, 4900)
    assert [fault.line for fault in error.faults] == sorted({fault.line for fault in error.faults})
    for text in (str(error), error.pretty()):
        assert text.splitlines()[-1] == "and 4900 more mistakes"


def test_few_mistakes_are_all_listed() -> None:
    faults = [Fault("<file>", i, 1, "n", "wrong") for i in range(1, 101)]
    assert "more mistake" not in str(ConfigError(faults))
    error = ConfigError([*faults, faults[0]])
    assert str(error).endswith("and 1 more mistake")
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.faults, copied.n_more, str(copied)) == (error.faults, 1, str(error))


def test_the_same_mistake_in_every_point_is_one_mistake(tmp_path: Path) -> None:
    error = error_of(tmp_path / "study.yaml", FILES["a wrong value of every point"](500))
    assert (len(error.faults), error.n_more) == (1, 0)


def test_a_number_of_points_that_python_cannot_write_is_a_sentence(tmp_path: Path) -> None:
    axes = "".join(f"  passthrough_kwargs.k{i}: [1, 2]\n" for i in range(15_000))
    (fault,) = error_of(tmp_path / "study.yaml", "sweep:\n" + axes).faults
    assert "expected at most 10000 points (max_experiments), found more than 10^15" in fault.problem


def test_more_than_a_thousand_rules_are_a_mistake(tmp_path: Path) -> None:
    rules = "sweep: {n: [1, 2]}\nexclude:\n" + "- {n: 1}\n" * 1001
    (fault,) = error_of(tmp_path / "study.yaml", rules).faults
    assert fault.problem == "expected at most 1000 rules, found 1001"


def test_merge_keys_keep_their_order_of_precedence(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "model: builtin:tiny-llama\npassthrough_kwargs:\n  <<: [{a: 1, b: 1}, {b: 2, c: 2}]\n  c: 3\n"
    )
    (point,) = load_study(file).experiments
    assert point.passthrough_kwargs == {"a": 1, "b": 1, "c": 3}


def test_more_cycles_or_runs_than_a_manifest_can_list_are_a_mistake(tmp_path: Path) -> None:
    (fault,) = error_of(tmp_path / "study.yaml", "execution: {n_cycles: 1000000000}\n").faults
    assert fault.key == "execution.n_cycles"
    assert fault.problem == "expected a whole number >= 1 and <= 100000, found 1000000000"
    seeds = ", ".join(map(str, range(11)))
    text = f"sweep: {{random_seed: [{seeds}]}}\nexecution: {{n_cycles: 100000}}\n"
    (fault,) = error_of(tmp_path / "study.yaml", text).faults
    assert (fault.line, fault.key) == (3, "execution.n_cycles")
    assert "at most 1000000 runs, found 11 points x 100000 cycles = 1100000" in fault.problem
    points = [{"model": "a/b", "random_seed": seed} for seed in range(11)]
    with pytest.raises(ValidationError, match="at most 1000000 runs"):
        StudyConfig.model_validate({"experiments": points, "execution": {"n_cycles": 100_000}})
