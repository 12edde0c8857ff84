"""Instruct models are measured on the tokens that their chat template makes, and no others."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from energy.chat import TEMPLATE, TEXTS, ChatModel, chat_experiment, chat_model, write_rows
from energy.parts import loaded

from llem_config import ExperimentConfig
from llem_energy import BackendError, measure
from llem_energy._backends.pytorch import chat_request
from llem_energy._preflight.chat_templates import missing_templates
from llem_energy._prompts.load import load
from llem_energy._prompts.prompt import RenderedChats
from llem_energy.preflight import check_datasets

CHATS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": TEXTS[0]}],
    [{"role": "system", "content": "Be short."}, {"role": "user", "content": TEXTS[1]}],
    [
        {"role": "user", "content": TEXTS[2]},
        {"role": "assistant", "content": "5"},
        {"role": "user", "content": "  And 4?\n"},
    ],
    [
        {"role": "user", "content": "Weather? Gr\u00fc\u00dfe, \u65e5\u672c\u8a9e"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather"}}]},
        {"role": "tool", "name": "weather", "content": "Rain."},
    ],
]


TOOLS = [{"name": "weather", "parameters": {"place": "text"}}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ChatModel:
    return chat_model(tmp_path_factory.mktemp("chat-model"))


def token_rows(config: ExperimentConfig) -> list[list[int]]:
    """Return the tokens that the backend reads, row by row, without padding."""
    backend = loaded(config)
    workload = backend.prepare(backend.render_chats(load(config, range(8)).chats).prompts)
    rows: dict[int, list[int]] = {}
    for batch in workload.batches:
        ids, mask = batch.inputs["input_ids"].tolist(), batch.inputs["attention_mask"].tolist()
        for index, row, kept in zip(batch.prompt_indices, ids, mask, strict=True):
            rows[index] = [token for token, keep in zip(row, kept, strict=True) if keep]
    return [rows[index] for index in sorted(rows)]


def expected_ids(model: ChatModel, messages: Any, **options: Any) -> list[int]:
    """Return the tokens that transformers itself makes of messages."""
    filled = [message | {"content": message.get("content", "")} for message in messages]
    ids = model.tokenizer.apply_chat_template(
        filled, add_generation_prompt=True, tokenize=True, return_dict=False, **options
    )
    return list(ids)


def rendered(config: ExperimentConfig) -> RenderedChats:
    return chat_request.render(config, load(config, range(8)).chats)


def test_messages_become_the_tokens_of_the_library_row_by_row(
    model: ChatModel, tmp_path: Path
) -> None:
    answered = [*CHATS[0], {"role": "assistant", "content": "Because of the air."}]
    rows: list[dict[str, Any]] = [{"messages": chat} for chat in (*CHATS, answered)]
    rows.append({"messages": CHATS[1], "tools": TOOLS})
    data = write_rows(tmp_path / "chats.jsonl", rows)
    config = chat_experiment(model.folder, data, n=6, pytorch={"batch_size": 2})
    expected = [expected_ids(model, chat) for chat in (*CHATS, CHATS[0])]
    expected.append(expected_ids(model, CHATS[1], tools=TOOLS))
    assert expected[5] != expected[1]
    assert token_rows(config) == expected
    # The template writes the beginning, and the tokenizer does not add a second one.
    assert all(ids.count(1) == 1 and ids[0] == 1 for ids in expected)
    result = measure(config)
    assert result.input_tokens == result.n_repeats * sum(map(len, expected))
    template = result.chat_template
    assert template is not None
    assert template.sha256 == hashlib.sha256(TEMPLATE.encode()).hexdigest()
    assert (template.origin, template.name) == ("tokenizer", None)
    assert result.effective_config["chat_template"]["sha256"] == template.sha256
    assert not any("chat template" in warning for warning in result.measurement_warnings)
    notes = result.reproducibility_notes
    assert any(note.startswith("1 answers at the ends") for note in notes)


def test_text_with_a_template_is_one_message_of_the_user(model: ChatModel, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "texts.jsonl", ({"prompt": text} for text in TEXTS))
    config = chat_experiment(model.folder, data, n=4, dataset={"chat_template": "auto"})
    chats = [[{"role": "user", "content": text}] for text in TEXTS]
    expected = [expected_ids(model, chat) for chat in chats]
    assert list(map(list, rendered(config).prompts)) == expected


def test_a_file_replaces_the_template_of_the_tokenizer(model: ChatModel, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "texts.jsonl", ({"prompt": text} for text in TEXTS))
    file = tmp_path / "mine.jinja"
    file.write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}")
    config = chat_experiment(model.folder, data, n=4, dataset={"chat_template": str(file)})
    chats = [[{"role": "user", "content": text}] for text in TEXTS]
    expected = [expected_ids(model, chat, chat_template=file.read_text()) for chat in chats]
    result = measure(config)
    assert result.input_tokens == result.n_repeats * sum(map(len, expected))
    assert result.chat_template is not None
    assert result.chat_template.origin == "file"
    assert result.chat_template.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_raw_text_of_a_model_with_a_template_is_a_warning_unless_it_is_intended(
    model: ChatModel, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "texts.jsonl", ({"prompt": text} for text in TEXTS))
    config = chat_experiment(model.folder, data, n=4)
    result = measure(config)
    assert (result.chat_template, result.effective_config["chat_template"]) == (None, None)
    assert sum("has a chat template" in text for text in result.measurement_warnings) == 1
    (warning,) = missing_templates([config])
    assert "set `dataset.chat_template`" in warning.message
    intended = chat_experiment(model.folder, data, n=4, dataset={"chat_template": "none"})
    raw = measure(intended)
    assert raw.measurement_config_hash == result.measurement_config_hash
    assert raw.input_tokens * result.n_repeats == result.input_tokens * raw.n_repeats
    assert not any("chat template" in warning for warning in raw.measurement_warnings)
    assert missing_templates([intended]) == ()


def test_of_several_templates_the_default_is_used_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    model = chat_model(folder, {"default": TEMPLATE, "tool_use": "{{ messages }} tools"})
    data = write_rows(tmp_path / "chats.jsonl", [{"messages": CHATS[0], "tools": TOOLS}])
    template = rendered(chat_experiment(model.folder, data)).template
    assert template.name == "default"
    assert template.sha256 == hashlib.sha256(TEMPLATE.encode()).hexdigest()


BAD = {
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}"
    "{% endif %}x{% endfor %}": "row 2 (line 2): the chat template fails: no system role",
    "{% for m in messages %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
    "{% endfor %}{% endfor %}": "row 1 (line 1): the chat template needs too much processor time",
    "{{ messages[0].role * 10**10 }}": "row 1 (line 1): the chat template needs more than 2 GiB",
    "{{ messages | length * ' ' }}": "row 1 (line 1): the chat template fails: the prompt is empty",
    "{{ messages.__class__.__mro__[1].__subclasses__() }}": "row 1 (line 1): the chat template fails: "
    "access to attribute '__class__' of 'list' object is unsafe",
    "{{ messages[0].a.b }}": "row 1 (line 1): the chat template fails: 'dict object' has no",
    "{{ messages": "the chat template {file} is damaged: line 1: ",
    "no template": "the chat template {file} does not use `messages`",
}


@pytest.mark.parametrize("template", BAD)
def test_a_template_that_fails_is_reported_before_a_run_with_the_row(
    model: ChatModel, tmp_path: Path, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_request, "MAX_ROW_S", 1.0)
    data = write_rows(tmp_path / "chats.jsonl", ({"messages": chat} for chat in CHATS[:2]))
    file = tmp_path / "bad.jinja"
    file.write_text(template)
    config = chat_experiment(model.folder, data, n=2, dataset={"chat_template": str(file)})
    shorter = config.model_copy(update={"n": 1})
    (found,) = check_datasets([shorter, config])
    problem = found.problems[0]
    row = int(BAD[template].split()[1]) if BAD[template].startswith("row") else None
    place = f"{data}: " if row else ""  # a problem of all rows is none of the data set
    assert problem.message.startswith(f"{place}{BAD[template].replace('{file}', str(file))}")
    assert problem.where == (str(data) if row else None)
    assert problem.row == row
    assert problem.points == ((1,) if row == 2 else (0, 1))


def test_a_template_that_fails_in_a_run_ends_it_with_the_row(
    model: ChatModel, tmp_path: Path
) -> None:
    chats = [*CHATS[:1], [{"role": "critic", "content": "Hm."}]]
    data = write_rows(tmp_path / "chats.jsonl", ({"messages": chat} for chat in chats))
    with pytest.raises(BackendError, match=r"^row 2 \(line 2\): .* unknown role critic"):
        rendered(chat_experiment(model.folder, data, n=2))


def test_messages_for_a_tokenizer_without_a_template_are_refused(
    text_model: Any, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "chats.jsonl", [{"messages": CHATS[0]}])
    (found,) = check_datasets([chat_experiment(text_model.folder, data)])
    assert "expected a chat template in the tokenizer of" in found.problems[0].message
