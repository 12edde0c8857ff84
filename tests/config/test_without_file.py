"""A study from fields without a file, and the file that it stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llem_config import ConfigError, load_study
from llem_config._loading.yaml_document import parse
from llem_config._loading.yaml_writing import as_yaml
from llem_config.overrides import experiment_from_fields, study_from_fields

NASTY = [
    *("true", "null", "~", "1e5", "0x10", "1.5", ".inf", "2020-01-01", "1:30", "y", "", " ", "-"),
    *("a: b", "a #b", "x:", "a:b", "[x]", "{", "}", "--x", "=", "<<", "&a", "*a", "!a", "%", "@"),
    *("é", "\u2028", "\x85", "\x7f", "\t", "\\", '"q"', "'q'", "\n", "\U0001f600", "a,b", "? a"),
]


@pytest.mark.parametrize("text", NASTY)
def test_every_text_is_read_as_it_was(text: str) -> None:
    data: dict[str, Any] = {"a": text, "b": [text], "c": {"d": text}, "e": [{text or "k": text}]}
    assert parse(as_yaml(data), "x").data == data


def test_values_keep_their_types() -> None:
    data = {
        "a": [1, 1.0, 1e-05, -2, True, False, None, "1"],
        "b": {},
        "c": [],
        "d": {"e": {"f": 1}},
    }
    read = parse(as_yaml(data), "x").data
    assert read == data
    assert list(map(type, read["a"])) == list(map(type, data["a"]))


FIELDS: dict[str, Any] = {
    "name": "first",
    "model": "builtin:tiny-llama",
    "sweep": {"precision": ["fp32", "bf16"], "pytorch.batch_size": [1, 8]},
}


def test_the_source_of_a_study_from_fields_gives_the_same_study(tmp_path: Path) -> None:
    overrides = {"n": 4, "execution": {"n_cycles": 2}, "pytorch": {"device": "cpu"}}
    study = study_from_fields(FIELDS, defaults={"execution": {"n_cycles": 3}}, overrides=overrides)
    assert len(study.experiments) == 4
    assert {point.n for point in study.experiments} == {4}
    assert study.overrides is None
    assert study.source is not None
    (tmp_path / "other.yaml").write_text(study.source, "utf-8")
    read = load_study(tmp_path / "other.yaml")
    assert read.study_design_hash == study.study_design_hash
    assert (read.name, read.execution, read.factors) == ("first", study.execution, study.factors)


def test_an_experiment_needs_no_file() -> None:
    config = experiment_from_fields({"model": "builtin:tiny-llama"}, overrides={"n": 3})
    assert (config.model, config.n, config.weights) == ("builtin:tiny-llama", 3, "random")


def test_relative_paths_count_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path)
    config = experiment_from_fields({"model": "m"})
    assert config.with_full_paths().model == str(tmp_path / "m")


@pytest.mark.parametrize(
    ("fields", "overrides", "problem"),
    [
        ({"sweep": {"presicion": ["fp32"]}}, {}, "did you mean 'precision'"),
        ({"sweep": {"n": [1, "x"]}}, {}, r"sweep\.n\[1\]: expected a whole number >= 1"),
        (
            {"sweep": {"n": [1, 2]}},
            {"n": 3},
            "this key is swept in <command line>; change it there",
        ),
        ({"model": "builtin:tiny-lama"}, {}, "did you mean 'builtin:tiny-llama'"),
    ],
)
def test_mistakes_are_those_of_the_command_line(
    fields: dict[str, Any], overrides: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        study_from_fields({"model": "builtin:tiny-llama", **fields}, overrides=overrides)
    assert {str(fault.file) for fault in caught.value.faults} == {"<command line>"}
