"""Every field of a study file is described, and found by its name, by a part of it, or by another name."""

from __future__ import annotations

import re

import pytest

from llem_config import ExperimentConfig, study_json_schema
from llem_config.fields import (
    StudyField,
    UnknownFieldError,
    fields_called,
    find_fields,
    related_fields,
    study_fields,
)

FIELDS = {field.key: field for field in study_fields()}
LEAVES = [field for field in FIELDS.values() if not field.is_section]
NUMBERS = [field for field in LEAVES if re.search(r"\b(whole )?number\b", field.values)]
UNITS = re.compile(
    r"\b(seconds|tokens?|prompts?|number|share|factor|no unit|seed|repeats|runs|exponent)\b", re.I
)


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_every_field_has_a_description(field: StudyField) -> None:
    assert len(field.meaning) > 10, (
        f"write a docstring below the field {field.key}: its meaning, its unit, what happens "
        "without it, and `Energy: ...`; see docs/new-field.md"
    )
    assert field.meaning.endswith(".")


@pytest.mark.parametrize("field", LEAVES, ids=lambda field: field.key)
def test_every_single_field_says_what_it_does_to_energy(field: StudyField) -> None:
    if field.key in ("sweep", "experiments", "exclude"):
        return  # they say which fields a point has
    assert field.energy, f"add a paragraph `Energy: ...` to the docstring of {field.key}"


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.key)
def test_every_number_has_a_unit(field: StudyField) -> None:
    assert UNITS.search(field.meaning), f"name the unit of {field.key}, or write `no unit`"


@pytest.mark.parametrize("field", LEAVES, ids=lambda field: field.key)
def test_a_field_without_a_default_value_says_what_happens_without_it(field: StudyField) -> None:
    if field.default is not None or field.is_required or not field.may_be_swept:
        return
    words = r"default|without|left out|needs"
    assert re.search(words, field.meaning), f"say in {field.key} what happens if it is not set"


def test_the_fields_are_those_of_the_schema() -> None:
    schema = study_json_schema()
    execution = schema["$defs"]["ExecutionConfig"]["properties"]
    expected = {*schema["properties"], *(f"execution.{key}" for key in execution)}
    assert set(FIELDS) == expected
    assert {key for key, field in FIELDS.items() if field.may_be_swept} == set(
        schema["$defs"]["Entry"]["properties"]
    )


def test_the_schema_has_the_description_of_every_field() -> None:
    schema = study_json_schema()
    for key, value in schema["properties"].items():
        assert value.get("description"), key
    for name in ("PyTorchConfig", "ExecutionConfig", "EnergyConfig"):
        for key, value in schema["$defs"][name]["properties"].items():
            assert value.get("description"), f"{name}.{key}"
    axis = schema["properties"]["pytorch.batch_size"]["description"]
    assert "Energy: " in axis
    assert axis.endswith("May be swept.")
    assert (
        "swept" not in schema["$defs"]["ExecutionConfig"]["properties"]["n_cycles"]["description"]
    )


def test_defaults_are_those_of_the_models() -> None:
    config = ExperimentConfig(model="any")
    assert FIELDS["n"].default == str(config.n)
    assert FIELDS["precision"].default == config.precision
    assert FIELDS["energy.sources"].default == "[nvml, rapl]"
    assert FIELDS["baseline.enabled"].default == "true"
    assert FIELDS["pytorch.batch_size"].default is None
    assert [key for key, field in FIELDS.items() if field.is_required] == [
        "model",
        "dataset.input_tokens.distribution",
        "lora.adapter",
    ]


def test_values_are_in_words() -> None:
    assert FIELDS["n"].values == "a whole number from 1 to 10,000,000"
    assert FIELDS["decoder.top_p"].values == "a number above 0 up to 1"
    assert FIELDS["pytorch.batching"].values == "static or sorted"
    assert FIELDS["energy.phases"].values == "a list of prefill or decode"


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("pytorch.batch_size", ["pytorch.batch_size"]),
        ("batch_size", ["pytorch.batch_size"]),
        ("batch-size", ["pytorch.batch_size"]),
        ("max_new_tokens", ["max_output_tokens"]),
        ("lora", ["lora", "lora.adapter", "lora.merge_weights"]),
        ("beam", ["pytorch.num_beams"]),
        ("n_cycles", ["execution.n_cycles"]),
    ],
)
def test_a_field_is_found_by_its_name_a_part_or_another_name(word: str, keys: list[str]) -> None:
    assert [field.key for field in find_fields(word)] == keys


QUANTISED = [
    "pytorch.load_in_4bit",
    "pytorch.load_in_8bit",
    "vllm.quantization",
    "tensorrt.quantization",
]


@pytest.mark.parametrize("word", ["quantization", "quantisation", "Quantize", "quantized"])
def test_quantisation_in_every_spelling_finds_the_fields_of_each_backend(word: str) -> None:
    assert [field.key for field in find_fields(word)] == QUANTISED
    related = {field.key for field in related_fields(word)}
    assert {"pytorch.bnb_4bit_use_double_quant", "pytorch.cache_implementation"} <= related
    assert related.isdisjoint(QUANTISED)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("jinja", "dataset.chat_template"),
        ("fp8", "vllm.quantization"),
        ("drafted", "pytorch.prompt_lookup_num_tokens"),
        ("beam search", "pytorch.early_stopping"),
        ("lognormal", "dataset.input_tokens.distribution"),
    ],
)
def test_a_word_of_a_description_finds_its_field_in_any_form(word: str, key: str) -> None:
    assert key in {field.key for field in find_fields(word)}


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("batch-size", ["pytorch.batch_size"]),
        ("decoder.temperature", ["decoder.temperature"]),
        ("dtype", ["precision"]),
        ("out", []),
        ("warmup", []),
        ("", []),
    ],
)
def test_only_an_exact_name_calls_a_field(name: str, keys: list[str]) -> None:
    assert [field.key for field in fields_called(name)] == keys


def test_all_words_must_be_in_the_description() -> None:
    assert {field.key for field in find_fields("beam search")} < {
        field.key for field in find_fields("search")
    }


def test_a_field_that_is_named_exactly_is_found_alone() -> None:
    assert [field.key for field in find_fields("precision")] == ["precision"]
    assert "decoder.temperature" not in {field.key for field in related_fields("temperature")}


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("presicion", "did you mean 'precision'?"),
        ("zzzz", "`llem-cli study fields` lists all"),
        ("", "`llem-cli study fields` lists all"),
        ("hf_token", "HF_TOKEN"),
        ("quantizaton", "did you mean 'quantization'?"),
        ("lenght", "did you mean 'length'?"),
        ("carbon", "measurement.carbon_intensity_gco2_kwh is a setting of the machine"),
    ],
)
def test_a_wrong_word_gets_a_hint(word: str, hint: str) -> None:
    with pytest.raises(UnknownFieldError, match=r"expected a field of a study file") as caught:
        find_fields(word)
    assert hint in str(caught.value)
