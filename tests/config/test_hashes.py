"""Hashes are equal in every version and notation, and differ between experiments.

Covers CFG-15 and CFG-16, and pitfall 8 of hashing.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llem_config import (
    HASH_FORMAT,
    ExperimentConfig,
    StudyConfig,
    canonical,
    load_study,
    measurement_config_hash,
    study_design_hash,
)

Load = Callable[..., StudyConfig]
MODEL = "model: builtin:tiny-llama\n"


def hash_of(**fields: Any) -> str:
    return measurement_config_hash(ExperimentConfig.model_validate({"model": "m", **fields}))


# Never edit a value here, because published results contain them. A change that alters one must
# raise HASH_FORMAT, and then all of them change together.
GOLDEN: list[tuple[dict[str, Any], str]] = [
    ({"model": "builtin:tiny-llama"}, "27b279db2d27682d"),
    (
        {
            "model": "meta-llama/Llama-3.2-1B",
            "precision": "fp16",
            "n": 64,
            "decoder": {"preset": "creative"},
            "pytorch": {
                "batch_size": 8,
                "attn_implementation": "sdpa",
                "max_memory": {"0": "20GiB"},
                "device_map": "auto",
            },
        },
        "5cb4363b1cf5e849",
    ),
    (
        {"backend": "vllm", "vllm": {"max_num_seqs": 256, "gpu_memory_utilization": 0.9}},
        "f74889f3169d7f13",
    ),
    (
        {
            "dataset": {"source": "aienergyscore", "column": "text"},
            "lora": {"adapter": "a/b"},
            "passthrough_kwargs": {"rope": {"factor": 2.0}},
        },
        "91fe2e3c6978da53",
    ),
]


@pytest.mark.parametrize(("fields", "golden"), GOLDEN)
def test_the_hash_of_an_experiment_is_the_golden_value(fields: dict[str, Any], golden: str) -> None:
    assert (HASH_FORMAT, hash_of(**fields)) == (1, golden)


def test_the_hash_of_a_study_is_the_golden_value(load: Load) -> None:
    study = load(MODEL + "sweep: {pytorch.batch_size: [1, 8]}\n")
    assert study.study_design_hash == "f10050db1b3c5e90"
    assert study_design_hash(study.experiments) == "f10050db1b3c5e90"


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 100},
        {"weights": "pretrained"},
        {"pytorch": {}},
        {"pytorch": None},
        {"pytorch": {"batch_size": None}},
        {"pytorch": {"max_memory": {}}},
        {"passthrough_kwargs": {}},
        {"passthrough_kwargs": {"a": {}}},
        {"decoder": {}},
        {"decoder": {"temperature": 0}},
        {"decoder": {"preset": "deterministic"}},
        {"decoder": {"do_sample": False, "top_k": 50, "top_p": 0.9, "min_p": 0.1}},
        {"dataset": "synthetic"},
        {"energy": {"sources": ["nvml", "rapl"]}},
        {"energy": {"phases": None}},
    ],
    ids=str,
)
def test_the_same_experiment_written_differently_has_the_same_hash(fields: dict[str, Any]) -> None:
    assert hash_of(**fields) == hash_of()


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 101},
        {"weights": "random"},
        {"precision": "fp16"},
        {"decoder": {"top_k": 50}},
        {"decoder": {"ignore_eos": False}},
        {"pytorch": {"batch_size": 1}},
        {"pytorch": {"trust_remote_code": False}},
        {"passthrough_kwargs": {"a": 0}},
        {"energy": {"sources": ["rapl", "nvml"]}},
        {"energy": {"phases": ["prefill"]}},
        {"warmup": {"n_warmup": 6}},
        {"baseline": {"enabled": False}},
    ],
    ids=str,
)
def test_another_experiment_has_another_hash(fields: dict[str, Any]) -> None:
    assert hash_of(**fields) != hash_of()


def test_a_preset_has_the_hash_of_its_expansion() -> None:
    spelled = {"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.1}
    assert hash_of(decoder={"preset": "creative"}) == hash_of(decoder=spelled)
    other = {**spelled, "temperature": 0.2}
    assert hash_of(decoder={"preset": "creative", "temperature": 0.2}) == hash_of(decoder=other)


def test_number_keys_are_hashed_like_text_keys() -> None:
    python = {"device_map": "auto", "max_memory": {0: "1GiB", "cpu": "2GiB"}}
    yaml = {"max_memory": {"cpu": "2GiB", "0": "1GiB"}, "device_map": "auto"}
    assert hash_of(pytorch=python) == hash_of(pytorch=yaml)


def test_the_canonical_form_is_plain_data_without_unset_fields() -> None:
    config = ExperimentConfig.model_validate({"model": "m", "pytorch": {}})
    data = canonical(config)
    assert "pytorch" not in data
    assert "lora" not in data
    assert data["energy"]["sources"] == ["nvml", "rapl"]
    assert ExperimentConfig.model_validate(data) == ExperimentConfig(model="m")


@pytest.mark.parametrize(
    "other",
    [
        MODEL + "sweep: {n: [1, 2], pytorch.batch_size: [4, 8]}\nexecution: {n_cycles: 9}\n",
        "name: other\n" + MODEL + "sweep: {pytorch.batch_size: [8, 4], n: [2, 1]}\n",
        MODEL + "sweep: {n: [1, 2], b: [{pytorch.batch_size: 4}, {pytorch: {batch_size: 8}}]}\n",
        MODEL
        + "experiments:\n"
        + "".join(f"  - {{n: {n}, pytorch.batch_size: {b}}}\n" for n in (2, 1) for b in (8, 4, 8)),
        MODEL + "sweep: {n: [1, 2, 3], pytorch.batch_size: [4, 8]}\nexclude: [{n: 3}]\n",
        MODEL + "precision: bf16\nbackend: [pytorch]\n"
        "sweep: {n: [1, 2], pytorch.batch_size: [4, 8]}\n",
    ],
)
def test_the_study_hash_ignores_execution_name_layout_and_order(load: Load, other: str) -> None:
    study = load(MODEL + "sweep: {n: [1, 2], pytorch.batch_size: [4, 8]}\n")
    assert load(other).study_design_hash == study.study_design_hash


def test_one_more_point_changes_the_study_hash(load: Load) -> None:
    study = load(MODEL + "sweep: {n: [1, 2]}\n")
    assert load(MODEL + "sweep: {n: [1, 2, 3]}\n").study_design_hash != study.study_design_hash


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(1, 200),
        "precision": st.sampled_from(["fp32", "fp16", "bf16"]),
        "decoder": st.sampled_from(
            [{}, {"temperature": 0.7, "top_p": 0.5}, {"preset": "factual"}, {"min_new_tokens": 3}]
        ),
        "pytorch": st.fixed_dictionaries(
            {}, optional={"batch_size": st.integers(1, 9), "use_cache": st.booleans()}
        ),
        "passthrough_kwargs": st.dictionaries(
            st.sampled_from(["a", "b", "c"]), st.recursive(
                st.integers(-9, 9) | st.sampled_from(["", "x", "é", "null"]) | st.none(),
                lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
                    st.sampled_from(["x", "y"]), inner, max_size=2
                ), max_leaves=4,
            ), max_size=3,
        ),
    },
)  # fmt: skip


@settings(deadline=None)
@given(FIELDS, st.randoms(use_true_random=False))
def test_a_hash_ignores_order_defaults_and_presets_of_any_experiment(
    fields: dict[str, Any], shuffler: random.Random
) -> None:
    plain = hash_of(**fields)
    names = list(fields)
    shuffler.shuffle(names)
    assert hash_of(**{name: fields[name] for name in names}) == plain
    config = ExperimentConfig.model_validate({"model": "m", **fields})
    assert hash_of(**config.model_dump()) == plain  # with every default and without presets
    assert hash_of(**canonical(config)) == plain
    again = ExperimentConfig.model_validate_json(config.model_dump_json())
    assert measurement_config_hash(again) == plain
    assert len(plain) == 16


@settings(deadline=None)
@given(st.lists(FIELDS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_a_study_hash_ignores_order_and_repeats_of_any_points(
    points: list[dict[str, Any]], shuffler: random.Random
) -> None:
    configs = [ExperimentConfig.model_validate({"model": "m", **fields}) for fields in points]
    shuffled = [*configs, configs[0]]
    shuffler.shuffle(shuffled)
    assert study_design_hash(shuffled) == study_design_hash(configs)
    assert StudyConfig(experiments=tuple(shuffled)).study_design_hash == study_design_hash(configs)


def test_a_swept_value_and_a_fixed_value_give_the_same_experiment(load: Load) -> None:
    swept = load(MODEL + "sweep: {n: [3], decoder.preset: [creative]}\n")
    fixed = load(MODEL + "n: 3\ndecoder: {preset: creative}\n")
    listed = load(MODEL + "experiments: [{n: 3, decoder.preset: creative}]\n")
    assert len({swept.study_design_hash, fixed.study_design_hash, listed.study_design_hash}) == 1


def first_hash(config: ExperimentConfig) -> str:
    """Return the hash as the first version computed it, as a reference."""

    def without_empty(data: dict[str, Any]) -> dict[str, Any]:
        cleaned = {
            str(key): without_empty(value) if isinstance(value, dict) else value
            for key, value in data.items()
        }
        return {key: value for key, value in cleaned.items() if value != {}}

    data = config.model_dump(mode="json", exclude_none=True)
    if not config.decoder.do_sample:
        for name in ("top_k", "top_p", "min_p"):
            data["decoder"].pop(name, None)
    text = json.dumps(
        {"hash_format": HASH_FORMAT, "experiment": without_empty(data)},
        sort_keys=True, separators=(",", ":"), ensure_ascii=False,
    )  # fmt: skip
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@settings(deadline=None)
@given(st.lists(FIELDS, min_size=1, max_size=4))
def test_hashes_equal_those_of_the_first_version(
    points: list[dict[str, Any]],
) -> None:
    configs = [ExperimentConfig.model_validate({"model": "m", **fields}) for fields in points]
    first = [first_hash(config) for config in configs]
    assert [measurement_config_hash(config) for config in configs] == first
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(json.dumps({"model": "m", "experiments": points}))  # JSON is YAML
        assert load_study(path).config_hashes == tuple(dict.fromkeys(first))


def test_values_that_are_equal_in_python_have_different_hashes(load: Load, faults: Any) -> None:
    beams = "num_beams: 2, length_penalty"
    text = "".join(f"  - pytorch: {{{beams}: {value}}}\n" for value in ("0.0", "-0.0", "1", "1.0"))
    study = load(MODEL + "experiments:\n" + text)
    assert (len(study.experiments), study.n_duplicates) == (3, 1)
    assert study.config_hashes == tuple(map(first_hash, study.experiments))
    (fault,) = faults(MODEL + "sweep: {pytorch.use_cache: [true, 1]}\n")
    assert fault.endswith("expected true or false, found 1")


def test_a_chat_template_makes_another_experiment_and_none_does_not() -> None:
    def with_template(template: str | None) -> str:
        return hash_of(dataset={"source": "a.jsonl", "chat_template": template})

    assert with_template(None) == with_template("none") == hash_of(dataset="a.jsonl")
    assert len({with_template(template) for template in (None, "auto", "a.jinja", "b.jinja")}) == 4
