"""Conversations are read in every layout, or refused with the row and the message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from energy.chat import chat_experiment, write_rows

from llem_config import DatasetConfig
from llem_energy._prompts.examine import examine
from llem_energy._prompts.load import fingerprint, load
from llem_energy._prompts.prompt import Chat
from llem_energy.preflight import check_datasets

USER = {"role": "user", "content": "Why?"}
CHAT = [{"role": "system", "content": "Be short."}, USER]


def read(path: Path, **options: Any) -> tuple[Chat, ...]:
    return load(chat_experiment(Path("m"), path, **options), range(8)).chats


def problem(path: Path, **options: Any) -> str:
    found = examine(DatasetConfig(source=str(path), **options), 1)
    (text,) = found.problems_of(1)
    return text


def test_every_kind_of_file_and_both_layouts_give_the_same_conversation(tmp_path: Path) -> None:
    sharegpt = [{"from": "system", "value": "Be short."}, {"from": "human", "value": "Why?"}]
    parts = [CHAT[0], {"role": "user", "content": [{"type": "text", "text": "Why?"}]}]
    rows = {"messages": CHAT, "conversations": sharegpt, "conversation": parts, "dialog": CHAT}
    for column, cell in rows.items():
        data = write_rows(tmp_path / f"{column}.jsonl", [{"id": 1, column: cell}])
        options = {"column": column} if column == "dialog" else {}
        (chat,) = read(data, dataset=options)
        assert list(chat.messages) == CHAT, column
    file = tmp_path / "chats.parquet"
    answer = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}
    pq.write_table(pa.Table.from_pylist([{"messages": CHAT, "tools": "[]"}]), file)
    assert list(read(file)[0].messages) == CHAT
    # Parquet gives every message every key. A key without a value is as good as absent.
    pq.write_table(pa.Table.from_pylist([{"messages": [USER, answer, USER]}]), file)
    assert [sorted(message) for message in read(file)[0].messages] == [
        ["content", "role"],
        ["content", "role", "tool_calls"],
        ["content", "role"],
    ]


def test_the_fingerprint_depends_on_the_messages_and_not_on_the_place(tmp_path: Path) -> None:
    one = read(write_rows(tmp_path / "a.jsonl", [{"messages": CHAT}]))
    same = read(write_rows(tmp_path / "b.jsonl", [{"id": 7, "messages": CHAT}]))
    other = read(write_rows(tmp_path / "c.jsonl", [{"messages": [USER]}]))
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)


BAD: list[tuple[Any, str]] = [
    ([], "expected messages, found an empty list; remove the row"),
    ("Why?", "expected a list of messages in the column 'messages', found text"),
    (None, "expected text in the column 'messages', found null"),
    (["Why?"], "message 1: expected an object with role and content, found text"),
    ([USER, {"content": "a"}], "message 2: expected a role such as 'user', found only the keys 'c"),
    ([{"role": 3, "content": "a"}], "message 1: expected a role such as 'user', found a number"),
    ([{"role": "user"}], "message 1: expected text as content, found only the keys 'role'"),
    ([{"role": "user", "content": 3}], "message 1: expected text as content, found a number"),
    ([{"role": "user", "content": " "}], "message 1: the prompt is only white space; remove the"),
    ([{"role": "user", "content": ""}], "message 1: the prompt is empty; remove the row"),
    (
        [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
        "message 1: expected text as content, found a part of the type 'image_url'; llem measures",
    ),
    ([{"from": "moderator", "value": "a"}], "message 1: expected `from` to be one of human, user,"),
    ([{"from": ["a"], "value": "a"}], "message 1: expected `from` to be one of human, user,"),
    ([{"role": "assistant", "content": "a"}], "expected a message of the user before the model's"),
    ([CHAT[0]], "expected a message of the user before the model's answer, found only one with"),
    ([{"role": "user", "content": "a", "x": float("nan")}], "expected messages of JSON values:"),
    ([{"role": "user", "content": "a\ud800"}], "message 1: expected Unicode text, found a lone"),
    ([{"role": "user\ud800", "content": "a"}], "expected messages of JSON values:"),
]


@pytest.mark.parametrize(("cell", "reason"), BAD)
def test_a_bad_message_is_refused_with_its_row(tmp_path: Path, cell: Any, reason: str) -> None:
    data = write_rows(tmp_path / "chats.jsonl", [{"messages": CHAT}, {"messages": cell}])
    config = chat_experiment(Path("no/model"), data, n=2)
    (found,) = check_datasets([config])
    (fault,) = found.problems
    if cell is None or cell == "Why?":
        reason = reason.replace("expected text", "expected a list of messages")
    assert fault.message.startswith(f"{data}: row 2 (line 2): {reason}")
    assert (fault.where, fault.row, fault.line) == (str(data), 2, 2)


def test_messages_beside_another_prompt_need_a_choice(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "chats.jsonl", [{"prompt": "a", "messages": CHAT}])
    assert "set `dataset.column`" in problem(data)
    assert list(read(data, dataset={"column": "messages"})[0].messages) == CHAT
    assert load(chat_experiment(Path("m"), data, dataset={"column": "prompt"}), range(8)).prompts


def test_messages_without_a_template_are_refused(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "chats.jsonl", [{"messages": CHAT}])
    text = problem(data, chat_template="none")
    assert "messages, which need a chat template; set `dataset.chat_template` to auto" in text


def test_a_missing_or_unreadable_template_is_refused(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "chats.jsonl", [{"messages": CHAT}])
    (tmp_path / "binary.jinja").write_bytes(b"\xff\xfe")
    (tmp_path / "empty.jinja").write_text(" \n")
    (tmp_path / "large.jinja").write_bytes(b"x" * (2**20 + 1))
    reasons = {
        "absent.jinja": "expected a file with a Jinja template, found no file; correct the path",
        ".": "expected a file with a Jinja template, found a folder; correct the path",
        "binary.jinja": "expected UTF-8 text, found other bytes",
        "empty.jinja": "expected a Jinja template, found an empty file",
        "large.jinja": "expected up to 1,048,576 bytes, found more",
    }
    for name, reason in reasons.items():
        path = f"{tmp_path}/{name}"
        config = chat_experiment(Path("no/model"), data, dataset={"chat_template": path})
        (found,) = check_datasets([config])
        (fault,) = found.problems
        assert fault.message.startswith("dataset.chat_template: "), name
        assert reason in fault.message
