"""Broken study files and the exact sentence about each: `file:line:column: key: problem`.

Covers the errors of CFG-11 to CFG-14 and CFG-20, and pitfalls 3, 4 and 7 of sweeps.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llem_config import ConfigError, Fault, LlemError, load_study

Faults = Callable[..., list[str]]
MODEL = "model: builtin:tiny-llama\n"
NAME = (
    "expected at most 100 letters, digits, dots, dashes and underscores, "
    "the first a letter or digit, found "
)
BACKENDS = "expected one of pytorch, vllm, tensorrt, found "
NOT_YAML = "this is not valid YAML: "

# Each file begins with MODEL, so the mistake is in line 2 or below.
ONE_FAULT = [
    # values
    ("n: eight", "2:4: n: expected a whole number >= 1, found 'eight'"),
    ("n: 0", "2:4: n: expected a whole number >= 1, found 0"),
    ("n: true", "2:4: n: expected a whole number >= 1, found true"),
    ("n: 3.0", "2:4: n: expected a whole number >= 1, found 3.0"),
    ("n:", "2:3: n: expected a whole number >= 1, found nothing"),
    ("n: '0'", "2:4: n: expected a whole number >= 1, found '0'"),
    ("n: '1.5'", "2:4: n: expected a whole number >= 1, found '1.5'"),
    ("execution: {timeout_seconds: -5s}",
     "2:30: execution.timeout_seconds: expected a number > 0, found '-5s'"),
    ("execution: {timeout_seconds: 2m}", "2:30: execution.timeout_seconds: expected a number > 0, "
     "found '2m'; write 120, in seconds without a unit"),
    ("n: '3'", "2:4: n: expected a whole number >= 1, found '3'; write 3 without the quotes"),
    (
        "random_seed: 4294967296",
        "2:14: random_seed: expected a whole number >= 0 and < 4294967296, found 4294967296",
    ),
    ("decoder: {temperature: .nan}", "2:24: decoder.temperature: expected a number >= 0, found nan"),
    ("baseline: {duration_seconds: .inf}", "2:30: baseline.duration_seconds: "
     "expected a number > 0 and <= 31536000, found inf"),
    ("passthrough_kwargs: {a: [.inf]}", "2:21: passthrough_kwargs: expected text, finite numbers, "
     "true, false, lists and mappings, found inf"),
    ("decoder: 3", "2:10: decoder: expected a mapping, found 3"),
    ("dataset: 7", "2:10: dataset: expected text or a mapping, found 7"),
    ("energy: {sources: nvml}", "2:19: energy.sources: "
     "expected a list, each one of nvml, amd, rapl, none, found 'nvml'; write [nvml]"),
    ("energy: {sources: []}", "2:19: energy.sources: "
     "expected a list, each one of nvml, amd, rapl, none, found an empty list"),
    ("energy: {phases: prefil}", "2:18: energy.phases: "
     "expected a list, each one of prefill, decode, found 'prefil'; write [prefill]"),
    ("energy: {phases: []}", "2:18: energy.phases: "
     "expected a list, each one of prefill, decode, found an empty list"),
    ("energy: {phases: [decode, decode]}", "2:18: energy.phases: "
     "expected each phase once, found decode twice"),
    ("precision: fp8", "2:12: precision: expected one of fp32, fp16, bf16, found 'fp8'"),
    ("energy: {sources: [nvml, rappl]}", "2:26: energy.sources[1]: "
     "expected one of nvml, amd, rapl, none, found 'rappl'; did you mean 'rapl'?"),
    ("decoder: {preset: [hot]}", "2:19: decoder.preset: "
     "expected one of deterministic, standard, creative, factual, found a list; "
     "for several values write `decoder.preset: [hot]` in sweep"),
    ("weights: pretrained", "2:10: weights: "
     "expected random, because a builtin model has no other weights, found 'pretrained'"),
    ("lora: {merge_weights: true}", "2:7: lora.adapter: required, but missing; write `adapter: ...`"),
    ("passthrough_kwargs: {batch_size: 3}", "2:21: passthrough_kwargs: "
     "may not repeat the field batch_size; set the field itself"),
    # keys
    ("percision: fp32", "2:1: percision: unknown key 'percision'; did you mean 'precision'?"),
    ("batchsize: 1", "2:1: batchsize: unknown key 'batchsize'; did you mean 'pytorch.batch_size'?"),
    ("n_cycles: 3", "2:1: n_cycles: unknown key 'n_cycles'; did you mean 'execution.n_cycles'?"),
    ("pytorch: {precision: fp16}",
     "2:11: pytorch.precision: unknown key 'precision'; did you mean 'precision' at the top level?"),
    ("warmup: {rounds: 3}", "2:10: warmup.rounds: unknown key 'rounds'; expected one of "
     "enabled, n_warmup, convergence_detection, cv_threshold, max_warmup, max_warmup_seconds, "
     "thermal_floor_seconds"),
    ("energy: {sources: [nvml, battery]}", "2:26: energy.sources[1]: "
     "expected one of nvml, amd, rapl, none, found 'battery'"),
    ("energy: {sources: [battery]}", "2:20: energy.sources[0]: "
     "expected one of nvml, amd, rapl, none, found 'battery'"),
    ("sweeps: {n: [1]}", "2:1: sweeps: unknown key 'sweeps'; did you mean 'sweep'?"),
    ("decoder:\n  temprature: 1", "3:3: decoder.temprature: unknown key 'temprature'; "
     "did you mean 'temperature'?"),
    ("pytorch.batchsize: 1", "2:1: pytorch.batchsize: pytorch has no key 'batchsize'; "
     "did you mean 'batch_size'?"),
    ("n.x: 1", "2:1: n.x: n is a single value and has no key 'x'"),
    ("n: 1\nn: 2", "3:1: n: this key is already set above; remove one"),
    ("pytorch: {batch_size: 1}\npytorch.batch_size: 2",
     "3:1: pytorch.batch_size: this key is already set above; remove one"),
    ("pytorch.batch_size: 2\npytorch: {batch_size: 1}",
     "3:11: pytorch.batch_size: this key is already set above; remove one"),
    ("true: 3", "2:1: expected a text key, found 'true'; quote it"),
    ("? [a]\n: 3", "2:3: expected a key, found a list or mapping"),
    ("<<: 3", "2:5: <<: expected a mapping to merge in"),
    # sweep
    ("sweep:", "2:7: sweep: expected at least one axis, found nothing"),
    ("sweep: {}", "2:8: sweep: expected at least one axis, found an empty mapping"),
    ("sweep: {n: []}", "2:12: sweep.n: expected at least one value, found an empty list"),
    ("sweep:\n  n:", "3:5: sweep.n: expected at least one value, found nothing"),
    ("sweep: {n: [1, null]}", "2:16: sweep.n[1]: expected a whole number >= 1, found nothing"),
    ("sweep: {precison: [fp32]}",
     "2:9: sweep.precison: unknown key 'precison'; did you mean 'precision'?"),
    ("sweep: {pytorh.batch_size: [1]}",
     "2:9: sweep.pytorh.batch_size: unknown key 'pytorh'; did you mean 'pytorch'?"),
    ("sweep: {decodr: [{temperature: 1}]}",
     "2:9: sweep.decodr: unknown key 'decodr'; did you mean 'decoder'?"),
    ("sweep: {vllm.block_size: [1]}",
     "2:9: sweep.vllm.block_size: this study does not use vllm, only pytorch"),
    ("sweep: {kind: [{n: 1}, {vllm.block_size: 1}]}",
     "2:25: sweep.kind[1].vllm: this study does not use vllm, only pytorch"),
    ("sweep: {kind: [{n: 1}, 3]}",
     "2:24: sweep.kind[1]: expected a mapping of experiment fields, found 3"),
    ("sweep: {kind: [{backend: vllm}]}",
     "2:26: sweep.kind[0].backend: a group may not set the backend"),
    ("sweep:\n  kind:\n    - n: 1\n    - decoder:\n        top_k: many",
     "6:16: sweep.kind[1].decoder.top_k: expected a whole number >= 1, found 'many'"),
    ("sweep:\n  decoder: [{top_k: 1}]\n  decoder.top_k: [2]",
     "4:3: sweep.decoder.top_k: the axis decoder sets this field too; remove one"),
    # backends
    ("backend: pytroch", f"2:10: backend: {BACKENDS}'pytroch'; did you mean 'pytorch'?"),
    ("backend: [vllm, trt]", f"2:17: backend[1]: {BACKENDS}'trt'; did you mean 'tensorrt'?"),
    ("backend: []", "2:10: backend: expected at least one backend, found an empty list"),
    ("vllm: {block_size: 8}",
     "2:1: vllm: this section needs backend vllm, but the backend is pytorch; change one"),
    ("vllm.block_size: 8", "2:1: vllm: this section needs backend vllm, but the backend is pytorch; change one"),
    ("backend: [pytorch, vllm]\ntensorrt.tp_size: 2",
     "3:1: tensorrt: this section needs backend tensorrt, but the backend is pytorch and vllm; change one"),
    # experiments, exclude, execution, name
    ("experiments:", "2:13: experiments: expected a list of experiments, found nothing"),
    ("experiments: []", "2:14: experiments: expected at least one experiment, found an empty list"),
    ("experiments: [{n: 1}, null]",
     "2:23: experiments[1]: expected a mapping of experiment fields, found nothing"),
    ("experiments: [{vllm.block_size: 1}]", "2:16: experiments[0].vllm: "
     "this section needs backend vllm, but the backend is pytorch; change one"),
    ("backend: [pytorch, vllm]\nexperiments: [{n: 1}]",
     "3:15: experiments[0]: name the backend of this point, because the study has several"),
    ("exclude: [{n: 1}]", "2:10: exclude: exclude drops points of a sweep; this file has no sweep"),
    ("sweep: {n: [1]}\nexclude: [{}]",
     "3:11: exclude[0]: expected a mapping of fields, found an empty mapping"),
    ("sweep: {n: [1]}\nexclude: [{precision: fp8}]", "3:23: exclude[0].precision: "
     "expected one of fp32, fp16, bf16, found 'fp8'"),
    ("sweep: {n: [1]}\nexclude: [{vllm.block_size: 8}]",
     "3:12: exclude[0].vllm: this study does not use vllm, only pytorch"),
    ("execution:", "2:11: execution: expected a mapping, found nothing"),
    ("execution: {ncycles: 3}",
     "2:13: execution.ncycles: unknown key 'ncycles'; did you mean 'n_cycles'?"),
    ("execution: {cycle_order: random}", "2:26: execution.cycle_order: "
     "expected one of sequential, interleaved, shuffled, found 'random'; did you mean 'shuffled'?"),
    ("execution: {experiment_gap_seconds: -1}",
     "2:37: execution.experiment_gap_seconds: expected a number >= 0, found -1"),
    ("execution: {config_gap_seconds: 1, experiment_gap_seconds: 2}",
     "2:36: execution.experiment_gap_seconds: "
     "experiment_gap_seconds is another name of config_gap_seconds; set only one of them"),
    ("max_experiments: many", "2:18: max_experiments: expected a whole number >= 1, found 'many'"),
    ("name: ../../etc", f"2:7: name: {NAME}'../../etc'"),
    ("name: 7", f"2:7: name: {NAME}7"),
    # base
    ("base: nowhere.yaml",
     "2:7: base: no such file: nowhere.yaml; correct the path, which counts from this file"),
    ("base: [a]", "2:7: base: expected the path of an experiment file, found a list"),
    # text
    ("n: [1", f"3:1: {NOT_YAML}did not find expected ',' or ']' (while parsing a flow sequence)"),
    ("decoder:\n\ttop_k: 1", "3:1: a tab cannot indent a line; use spaces"),
    # indents; each line that is named is off by one or more
    ("decoder:\n  temperature: 1\n   top_k: 3",
     "4:4: expected an indent of 2 spaces as in line 3, found 3"),
    ("decoder:\n   temperature: 1\n  top_k: 3",
     "3:4: expected an indent of 2 spaces as in line 4, found 3"),
    ("decoder:\n temperature: 1\n  top_k: 3",
     "3:2: expected an indent of 2 spaces as in line 4, found 1"),
    ("sweep:\n  n: [1]\n precision: [fp16]",
     "4:2: expected an indent of 0 or 2 spaces as in line 1 or 3, found 1"),
    ("sweep:\n  n: [1,\n 2]\n   precision: [fp16]",
     "5:4: expected an indent of 2 spaces as in line 3, found 3"),
    ("execution:\n    n_cycles: 1\nsweep:\n     n: [1]\n    precision: [fp16]",
     "5:6: expected an indent of 4 spaces as in line 6, found 5"),
    (" n: 3", "2:2: expected an indent of 0 spaces as in line 1, found 1"),
    ("experiments:\n  - n: 1\n   precision: fp16",
     "4:4: expected an indent of 2 or 4 spaces as in line 3, found 3"),
    ("experiments:\n  - n: 1\n     precision: fp16",
     "4:6: expected an indent of 4 spaces as in line 3, found 5"),
    ("experiments:\n  - n: 1\n   - n: 2",
     "4:4: expected an indent of 2 or 4 spaces as in line 3, found 3"),
    ("sweep:\n  n:\n    - 1\n     - 8",
     "4:7: sweep.n[0]: expected one value, found '1 - 8'; give each `-` the same indent"),
    # spaces after colons; a line that is valid as it is gets no blame
    ("n:2\nprecision:fp16", "2:1: expected a space after the colon of 'n', found none"),
    ("pytorch:\n  device:cpu\n  batch_size: 3",
     "3:3: expected a space after the colon of 'device', found none"),
    ("sweep:\n  model:\n  - builtin:tiny-llama\n  - 'open",
     f"6:1: {NOT_YAML}found unexpected end of stream (while scanning a quoted scalar)"),
    ("note: |\n  a:b\n}",
     f"4:1: {NOT_YAML}did not find expected key (while parsing a block mapping)"),
    ("sweep:\n  dataset.source:\n    - hub:a\n    - hub:b\n  n: 2: 3",
     f"6:7: {NOT_YAML}mapping values are not allowed in this context"),
    ("n: \x01", f"2:4: {NOT_YAML}found the control character U+0001"),
    ("---\nn: 1",
     f"2:1: {NOT_YAML}expected a single document in the stream but found another document"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fault"), ONE_FAULT)
def test_a_mistake_gives_one_fault_with_its_position(faults: Faults, text: str, fault: str) -> None:
    assert faults(f"{MODEL}{text}\n") == [f"study.yaml:{fault}"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1:1: expected a mapping of keys, found an empty file"),
        ("- a\n", "1:1: expected a mapping of keys at the top level, found a list"),
        ("7\n", "1:1: expected a mapping of keys at the top level, found a single value"),
        ("n: 1\n", "1:1: model: required, but missing; write `model: ...`"),
        ("n: 1\nsweep: {n: [1, 2]}\n", "1:1: model: required, but missing; write `model: ...`"),
        ("experiments:\n  - {model: m}\n  - {n: 1}\n",
         "3:5: experiments[1].model: required, but missing; write `model: ...`"),
        ("model: 7\n", "1:8: model: expected text, found 7"),
        ("model: ~\n", "1:8: model: expected text, found nothing"),
        (b"model: a\nn: \xff\n", "2:4: expected UTF-8 text, found the byte 0xff; save the file as UTF-8"),
    ],
)  # fmt: skip
def test_a_file_without_valid_content_gives_one_fault(
    faults: Faults, text: str | bytes, fault: str
) -> None:
    assert faults(text) == [f"study.yaml:{fault}"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("s.yaml", b"PAR1\x15\x04", "a Parquet file; a study file names a data set as `dataset`"),
        ("s.CSV", b"prompt\na\n", "a CSV file; a study file names a data set as `dataset`"),
        ("s.jsonl", b'{"prompt": "a"}\n',
         "a file of JSON lines; a study file names a data set as `dataset`"),
        ("model.safetensors", b"\x08\0\0\0\0\0\0\0{}",
         "a file of weights; a study file names the folder of a model as `model`"),
        ("s.yaml", "model: m".encode("utf-16"), "UTF-16 text; save it as UTF-8"),
        ("s.yaml", b"\x1f\x8b\x08", "gzip data; unpack it"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_study_is_named_with_the_place_where_it_belongs(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_study(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: expected YAML in UTF-8, found {problem}"


def test_a_misspelt_builtin_model_is_reported_beside_the_other_mistakes(faults: Faults) -> None:
    known = "llama-1b, llama-8b, olmoe-7b, qwen-0.5b, tiny-llama, tiny-moe"
    text = (
        "model: builtin:tiny-lama\nn: many\npytorch: {assistant_model: builtin:x}\n"
        "sweep: {precision: [fp32, fp8]}\n"
    )
    assert faults(text) == [
        f"study.yaml:1:8: model: expected one of the builtin models {known}, found 'tiny-lama'; "
        "did you mean 'builtin:tiny-llama'?",
        "study.yaml:2:4: n: expected a whole number >= 1, found 'many'",
        f"study.yaml:3:28: pytorch.assistant_model: expected one of the builtin models {known}, "
        "found 'x'",
        "study.yaml:4:27: sweep.precision[1]: expected one of fp32, fp16, bf16, found 'fp8'",
    ]


def test_a_missing_file_and_a_folder_are_faults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as missing:
        load_study(tmp_path / "no.yaml")
    assert str(missing.value) == f"{tmp_path}/no.yaml: no such file"
    with pytest.raises(ConfigError) as folder:
        load_study(tmp_path)
    assert str(folder.value) == (
        f"{tmp_path}: expected a regular file, found a folder; correct the path"
    )


@pytest.mark.parametrize(
    ("base", "fault"),
    [
        ("n: x\n", "base.yaml:1:4: n: expected a whole number >= 1, found 'x'"),
        ("pytorch.batchsize: 1\n",
         "base.yaml:1:1: pytorch.batchsize: pytorch has no key 'batchsize'; "
         "did you mean 'batch_size'?"),
        ("n: 1\nbase: more.yaml\n",
         "base.yaml:2:1: base: a base file cannot have a base itself; remove this key"),
        ("sweep: {n: [1]}\n", "base.yaml:1:1: sweep: "
         "a base file may set only experiment fields; move this key to the study file"),
        ("vllm.block_size: 1\n", "base.yaml:1:1: vllm: "
         "this section needs backend vllm, but the backend is pytorch; change one"),
        ("n: [1\n", "base.yaml:2:1: this is not valid YAML: "
         "did not find expected ',' or ']' (while parsing a flow sequence)"),
    ],
)  # fmt: skip
def test_a_mistake_in_base_names_the_base_file(faults: Faults, base: str, fault: str) -> None:
    assert faults(MODEL + "base: base.yaml\n", files={"base.yaml": base}) == [fault]


def test_all_mistakes_are_reported_at_once_in_file_order(faults: Faults) -> None:
    text = """model: builtin:tiny-llama
base: base.yaml
name: a/b
weights: pretrained
n: 0
passthrough_kwargs: {precision: fp32}
foo: 1
sweep:
  pytorch.batch_size: [1, eight, 0]
  vllm.block_size: [8]
  precision: [bf16, fp64]
experiments:
  - {random_seed: x}
  - {bar: 1}
exclude:
  - {n: many}
execution: {n_cycles: 0, cycle_order: odd}
"""
    lines = faults(text, files={"base.yaml": "lora: {}\n"}, overrides={"baz": 1})
    assert [":".join(fault.split(":")[:2]) for fault in lines[:-1]] == [
        "base.yaml:1",
        "study.yaml:3",
        "study.yaml:4",
        "study.yaml:5",
        "study.yaml:6",
        "study.yaml:7",
        "study.yaml:9",
        "study.yaml:9",
        "study.yaml:10",
        "study.yaml:11",
        "study.yaml:13",
        "study.yaml:14",
        "study.yaml:16",
        "study.yaml:17",
        "study.yaml:17",
    ]
    assert lines[-1] == "<command line>: baz: unknown key 'baz'"


def test_one_mistake_in_many_points_is_one_fault(faults: Faults) -> None:
    text = MODEL + "decoder: {top_k: 0}\nsweep: {n: [1, 2, 3], random_seed: [1, 2, 3]}\n"
    assert len(faults(text)) == 1


def test_an_override_with_a_mistake_names_the_command_line(faults: Faults) -> None:
    lines = faults(MODEL, overrides={"n": "x", "execution": {"n_cycles": 0}})
    assert sorted(lines) == [
        "<command line>: execution.n_cycles: expected a whole number >= 1, found 0",
        "<command line>: n: expected a whole number >= 1, found 'x'",
    ]


def test_a_config_error_contains_its_faults_as_data(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(MODEL + "n: x\n")
    with pytest.raises(LlemError) as caught:
        load_study(path)
    assert isinstance(caught.value, ConfigError)
    problem = "expected a whole number >= 1, found 'x'"
    assert caught.value.faults == (Fault(path, 2, 4, "n", problem),)


def pretty(path: Path, content: str) -> list[str]:
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_study(path)
    return caught.value.pretty().replace(f"{path.parent}/", "").splitlines()


def test_the_pretty_form_quotes_the_line_with_a_caret_under_the_column(tmp_path: Path) -> None:
    text = MODEL + "sweep:\n  pytorch.batch_size: [1, eight]\n"
    assert pretty(tmp_path / "study.yaml", text) == [
        "study.yaml:3:27: sweep.pytorch.batch_size[1]: expected a whole number >= 1, found 'eight'",
        "  3 |   pytorch.batch_size: [1, eight]",
        "    |                           ^",
    ]


def test_the_caret_counts_wide_characters_and_cuts_long_lines(tmp_path: Path) -> None:
    wide = pretty(tmp_path / "study.yaml", MODEL + 'sweep: {n: ["日本", x]}\n')
    assert wide[4:] == ['  2 | sweep: {n: ["日本", x]}', "    |                     ^"]
    values = ", ".join("1" for _ in range(500))
    _, line, caret = pretty(tmp_path / "study.yaml", MODEL + f"sweep: {{n: [{values}, x, 1]}}\n")
    assert len(line) < 120
    assert line[caret.index("^")] == "x"


def test_the_pretty_form_replaces_control_characters(tmp_path: Path) -> None:
    lines = pretty(tmp_path / "study.yaml", MODEL + "n: \x1b[31mred\n")
    assert lines[1] == "  2 | n: \ufffd[31mred"
    assert "\x1b" not in "".join(lines)


def test_the_pretty_form_of_a_fault_without_a_readable_line_is_the_plain_form(
    tmp_path: Path,
) -> None:
    gone = Fault(tmp_path / "gone.yaml", 2, 4, "n", "wrong")
    flag = Fault("<command line>", 0, 0, "n", "wrong")
    assert ConfigError([gone, flag]).pretty() == f"{gone}\n{flag}"
    (tmp_path / "gone.yaml").write_text("x")  # shorter than it was
    assert ConfigError([gone, flag]).pretty() == f"{gone}\n{flag}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("# é日\n" + MODEL + "n: é\x01\n", "3:5"),
        ("# é\r" + MODEL + "n: \x01\n", "3:4"),
        ("# \u2028" + MODEL + "n: x\n", "3:4"),
        ("# é\n" * 3000 + "n: é\x01\n", "3001:5"),
    ],
)
def test_positions_count_characters_and_every_line_break_of_yaml(
    faults: Faults, text: str, place: str
) -> None:
    (fault,) = faults(text)
    assert fault.startswith(f"study.yaml:{place}: ")


def test_a_wrong_value_that_a_higher_layer_replaces_is_still_a_mistake(faults: Faults) -> None:
    text = MODEL + "base: base.yaml\nn: many\nsweep: {n: [1, 2], precision: [fp16, bf16]}\n"
    assert faults(text, files={"base.yaml": "precision: fp8\n"}) == [
        "base.yaml:1:12: precision: expected one of fp32, fp16, bf16, found 'fp8'",
        "study.yaml:3:4: n: expected a whole number >= 1, found 'many'",
    ]


@pytest.mark.parametrize("base", ["x" * 5000, "~nobody-here/x", '"a\\0b"'])
def test_an_impossible_path_in_base_is_reported_as_no_such_file(faults: Faults, base: str) -> None:
    (fault,) = faults(MODEL + f"base: {base}\n")
    assert fault.startswith("study.yaml:2:7: base: no such file: ")


def test_an_impossible_path_of_a_study_is_a_fault() -> None:
    with pytest.raises(ConfigError, match="cannot be read: embedded null byte"):
        load_study("a\0b")


def test_a_wrong_preset_hides_no_other_mistake(faults: Faults) -> None:
    assert faults(f"{MODEL}decoder: {{top_p: 2, preset: standrd}}\n") == [
        "study.yaml:2:18: decoder.top_p: expected a number > 0 and <= 1, found 2",
        "study.yaml:2:29: decoder.preset: expected one of deterministic, standard, creative, "
        "factual, found 'standrd'; did you mean 'standard'?",
    ]


def test_a_study_key_cannot_be_an_axis(faults: Faults) -> None:
    assert faults(f"{MODEL}sweep: {{execution.n_cycles: [1, 2]}}\n") == [
        "study.yaml:2:9: sweep.execution.n_cycles: execution belongs to the study as a whole, "
        "not to an experiment"
    ]


def test_a_suggestion_ignores_case_and_does_not_guess(faults: Faults) -> None:
    (upper,) = faults(f"{MODEL}precision: FP32\n")
    assert upper.endswith("found 'FP32'; did you mean 'fp32'?")
    (gpu,) = faults(f"{MODEL}pytorch: {{device: gpu}}\n")
    assert gpu.endswith("expected one of auto, cuda, cpu, found 'gpu'; did you mean 'cuda'?")


def test_a_section_is_not_a_mistake_if_every_backend_is_misspelt(faults: Faults) -> None:
    lines = faults(MODEL + "pytorch: {batch_size: 2}\nexperiments: [{backend: pytroch}]\n")
    assert len(lines) == 1
    assert "found 'pytroch'" in lines[0]
