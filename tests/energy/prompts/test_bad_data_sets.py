"""Data sets that people have: other encodings, layouts and kinds of files (CM-19, CFG-08)."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llem_config import DatasetConfig
from llem_energy import DatasetError
from llem_energy._prompts.examine import MAX_PROBLEMS, examine
from llem_energy._prompts.load import read_prompts
from llem_energy._prompts.table import MAX_ROW_CHARACTERS

MANY = 10**20


def dataset(path: Path, **options: str) -> DatasetConfig:
    return DatasetConfig.model_validate({"source": str(path), **options})


def problems(path: Path, n: int = 2, **options: str) -> list[str]:
    """Return what is wrong with a data set, without its path."""
    messages = examine(dataset(path, **options), n).problems_of(n)
    assert all(message.startswith(f"{path}: ") for message in messages)
    return [message.removeprefix(f"{path}: ") for message in messages]


def problem(path: Path, n: int = 2, **options: str) -> str:
    (message,) = problems(path, n, **options)
    with pytest.raises(DatasetError, match=path.name) as raised:
        read_prompts(dataset(path, **options), n)
    assert str(raised.value) == f"{path}: {message}"
    return message


def json_lines(folder: Path, *rows: object, name: str = "prompts.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def file(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(folder: Path, columns: dict[str, Sequence[Any]]) -> Path:
    path = folder / "prompts.parquet"
    pq.write_table(pa.table(dict(columns)), path, row_group_size=100)
    return path


# Which column


@pytest.mark.parametrize(
    "names",
    [
        ["instruction", "input"],
        ["prompt", "text"],
        ["text", "question"],
        ["question", "context"],  # SQuAD
        ["instruction", "context", "response"],  # Dolly
        ["question", "choices", "answer"],  # multiple choice
        ["prompt", "messages"],
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_of_several_columns_that_may_be_the_prompt_none_is_chosen(
    tmp_path: Path, names: list[str], suffix: str
) -> None:
    path = with_columns(tmp_path, names, suffix)
    possible = ", ".join(name for name in names if name not in ("response", "answer"))
    assert problem(path) == (
        f"expected one column with prompts, found {possible}; set `dataset.column` to the one to "
        "read, or join them in the file"
    )
    assert read_prompts(dataset(path, column=names[1]), 2) == (f"{names[1]} 0", f"{names[1]} 1")


def with_columns(folder: Path, names: list[str], suffix: str) -> Path:
    rows = [{name: f"{name} {i}" for name in names} for i in range(2)]
    match suffix:
        case "jsonl":
            return json_lines(folder, *rows)
        case "csv":
            lines = [",".join(names), *(",".join(row.values()) for row in rows)]
            return file(folder, "prompts.csv", "\n".join(lines))
    return parquet(folder, {name: [row[name] for row in rows] for name in names})


def test_a_later_row_with_another_prompt_column_is_reported(tmp_path: Path) -> None:
    path = json_lines(tmp_path, {"instruction": "a"}, {"instruction": "b", "input": "c"})
    assert problem(path).startswith("row 2 (line 2): expected one column with prompts, found inst")
    assert read_prompts(dataset(path), 1) == ("a",)
    assert read_prompts(dataset(path, column="instruction"), 2) == ("a", "b")


def test_the_column_that_was_chosen_is_reported(tmp_path: Path) -> None:
    path = json_lines(tmp_path, {"id": 1, "question": "a"})
    assert examine(dataset(path), 1).column == "question"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("s.csv", "prompt,id,prompt\na,1,b\n", "has 2 columns named 'prompt'; rename one"),
        ("s.jsonl", '{"prompt": "a", "prompt": "b"}\n', "has the key 'prompt' more than once"),
    ],
)
def test_a_column_that_exists_twice_is_refused(
    tmp_path: Path, name: str, content: str, expected: str
) -> None:
    assert expected in problem(file(tmp_path, name, content), 1)


@pytest.mark.parametrize(
    ("header", "word"), [("id;prompt", "semicolons"), ("id\tprompt", "tabs"), ("a|b", "vertical")]
)
def test_another_separator_is_recognised(tmp_path: Path, header: str, word: str) -> None:
    path = file(tmp_path, "s.csv", f"{header}\n1;a\n")
    assert f"the columns seem to be separated by {word}" in problem(path, 1)


# Which rows


def test_all_problems_are_reported_with_their_rows_and_lines(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "s.jsonl",
        '{"prompt": "fine"}\n\n{"prompt": 3}\nnot JSON\n{"prompt": "x\\ud800"}\n{"prompt": ""}\n'
        '{"prompt": " \\n"}\n{"text": "a"}\n[1]\n{"prompt": null}\n{"prompt": "fine"}\n',
    )
    assert problems(path, 9) == [
        "row 2 (line 3): expected text in the column 'prompt', found a number",
        "row 3 (line 4): damaged: expected one JSON object per line: Expecting value at character 1",
        "row 4 (line 5): expected Unicode text, found a lone surrogate (\\ud800) at character 2 of "
        "the prompt; remove it",
        "row 5 (line 6): the prompt is empty; remove the row",
        "row 6 (line 7): the prompt is only white space; remove the row",
        "row 7 (line 8): has no column 'prompt'",
        "row 8 (line 9): expected a JSON object, found a list",
        "row 9 (line 10): expected text in the column 'prompt', found null",
    ]
    assert problems(path, 1) == []


def test_only_the_first_problems_are_listed_and_the_rest_is_mentioned(tmp_path: Path) -> None:
    path = json_lines(tmp_path, *({"prompt": ""} for _ in range(1000)))
    found = problems(path, 1000)
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == f"rows after row {MAX_PROBLEMS} were not checked"


def test_rows_that_are_not_used_do_not_matter(tmp_path: Path) -> None:
    path = json_lines(tmp_path, {"prompt": "a"}, {"prompt": "b"}, {"prompt": ""}, {"prompt": "c"})
    examination = examine(dataset(path), 4)
    assert examination.problems_of(2) == []
    assert len(examination.problems_of(3)) == len(examination.problems_of(4)) == 1
    assert read_prompts(dataset(path), 2) == ("a", "b")


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_more_prompts_than_rows_are_refused_whatever_their_number(
    tmp_path: Path, suffix: str
) -> None:
    path = with_columns(tmp_path, ["prompt"], suffix)
    expected = f"expected at least n = {MANY} prompts, found 2; lower `n` or add rows"
    assert problem(path, MANY) == expected


def test_a_comma_outside_quotation_marks_does_not_cut_the_prompt(tmp_path: Path) -> None:
    path = file(tmp_path, "s.csv", 'prompt\n"Hello, world"\nHello, world\n')
    assert problem(path) == (
        "row 2 (line 3): found 2 fields, expected 1 as in the header; put a prompt that contains "
        'a comma in quotation marks (")'
    )


def test_a_quotation_mark_that_is_not_closed_does_not_join_rows(tmp_path: Path) -> None:
    path = file(tmp_path, "s.csv", 'prompt\n"first\nsecond\nthird\n')
    assert 'check that every quotation mark (") is closed' in problem(path, 1)


def test_damage_after_the_rows_of_a_point_does_not_concern_it(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"prompt": [f"prompt {i}" for i in range(400)]})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = b"\xff" * 200
    path.write_bytes(content)
    examination = examine(dataset(path), 400)
    assert examination.problems_of(64) == []
    (message,) = examination.problems_of(400)
    assert message.startswith(f"{path}: damaged: ")
    assert len(read_prompts(dataset(path), 64)) == 64


# Encodings


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv"])
def test_a_byte_order_mark_is_read_over(tmp_path: Path, name: str) -> None:
    text = '{"prompt": "Grüße"}\n' if name.endswith("jsonl") else "prompt\nGrüße\n"
    path = file(tmp_path, name, text.encode("utf-8-sig"))
    assert read_prompts(dataset(path), 1) == ("Grüße",)


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-le"])
def test_another_unicode_encoding_is_named(tmp_path: Path, name: str, encoding: str) -> None:
    text = '{"prompt": "a"}\n' if name.endswith("jsonl") else "prompt\na\n"
    message = problem(file(tmp_path, name, text.encode(encoding)), 1)
    assert message.startswith(f"expected UTF-8 text, found {encoding[:6].upper()}") or (
        message.startswith("expected UTF-8 text, found UTF-16 or UTF-32 text")
    )


def test_a_byte_that_is_not_utf_8_is_reported_with_its_row(tmp_path: Path) -> None:
    expected = "expected UTF-8, found the byte 0xFC; convert the file to UTF-8"
    lines = file(tmp_path, "s.jsonl", '{"prompt": "a"}\n{"prompt": "ü"}\n'.encode("latin-1"))
    assert problem(lines) == f"row 2 (line 2): {expected}"
    table = file(tmp_path, "s.csv", "prompt\na\nü\n".encode("latin-1"))
    assert problem(table) == f"row 2 (line 3): {expected}"


def test_a_byte_that_is_not_utf_8_in_a_parquet_file_is_reported_with_its_row(
    tmp_path: Path,
) -> None:
    raw = pa.array([b"a", b"b", b"\xff", b"d"], pa.binary())
    path = parquet(tmp_path, {"prompt": pa.Array.from_buffers(pa.string(), 4, raw.buffers())})
    assert problem(path, 4) == "row 3: expected UTF-8, found other bytes"


def test_a_lone_surrogate_is_refused_and_a_pair_is_read(tmp_path: Path) -> None:
    path = file(tmp_path, "s.jsonl", '{"prompt": "\\ud83d\\ude00"}\n{"prompt": "\\ude00"}\n')
    assert problem(path).startswith("row 2 (line 2): expected Unicode text, found a lone surr")
    assert read_prompts(dataset(path), 1) == ("😀",)


# Sizes


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv"])
def test_a_prompt_of_a_million_characters_is_read(tmp_path: Path, name: str) -> None:
    text = "long " * 200_000
    content = json.dumps({"prompt": text}) if name.endswith("jsonl") else f"prompt\n{text}\n"
    limit = csv.field_size_limit()
    assert read_prompts(dataset(file(tmp_path, name, content)), 1) == (text,)
    assert csv.field_size_limit() == limit  # which belongs to the whole process


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_check_holds_a_few_rows_in_memory(tmp_path: Path, suffix: str) -> None:
    n, text = 2000, "word " * 2000  # 20 MB
    match suffix:
        case "jsonl":
            path = json_lines(tmp_path, *({"prompt": text} for _ in range(n)))
        case "csv":
            path = file(tmp_path, "s.csv", "prompt\n" + f"{text}\n" * n)
        case _:
            path = parquet(tmp_path, {"prompt": [f"{i} {text}" for i in range(n)]})
    tracemalloc.start()
    try:
        assert examine(dataset(path), n).problems_of(n) == []
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4e6


def test_a_line_that_ends_early_is_a_problem_of_its_row(tmp_path: Path) -> None:
    path = file(tmp_path, "s.jsonl", '{"prompt": "unfinished')
    assert problem(path, 1).startswith("row 1 (line 1): damaged: expected one JSON object per line")


def test_a_row_without_an_end_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with path.open("wb") as content:
        content.write(b'{"prompt": "a"}\n')
        content.truncate(MAX_ROW_CHARACTERS + 100)  # zeros that take no space on the disk
    first, second = problems(path, 3)
    assert first == f"row 2 (line 2): damaged: line longer than {MAX_ROW_CHARACTERS} characters"
    assert second == "rows after row 2 were not checked"
    assert problems(path, 1) == []


def test_deep_nesting_is_a_problem_of_its_row(tmp_path: Path) -> None:
    path = file(tmp_path, "s.jsonl", '{"prompt": "a"}\n' + "[" * 100_000 + "\n")
    assert "row 2 (line 2): damaged" in problem(path)


# Kinds of files


@pytest.mark.parametrize("name", ["s.JSONL", "s.CSV", "s.Parquet"])
def test_the_suffix_counts_in_any_case(tmp_path: Path, name: str) -> None:
    path = with_columns(tmp_path, ["prompt"], name.split(".")[1].lower())
    path.rename(tmp_path / name)
    assert read_prompts(dataset(tmp_path / name), 2) == ("prompt 0", "prompt 1")


@pytest.mark.parametrize(
    ("name", "kind", "advice"),
    [
        ("s.json", "a .json file", "one JSON object per line"),
        ("s.txt", "a .txt file", "a .csv file with the column prompt"),
        ("s.jsonl.gz", "a .gz file", "decompress it"),
        ("s.tsv", "a .tsv file", "with commas"),
        ("s.ndjson", "a .ndjson file", "rename it to .jsonl"),
        ("prompts", "a file without a suffix", ""),
    ],
)
def test_a_file_of_another_kind_is_named_with_the_kinds_that_are_read(
    tmp_path: Path, name: str, kind: str, advice: str
) -> None:
    message = problem(file(tmp_path, name, "{}"))
    assert message.startswith(f"llem reads .jsonl, .csv and .parquet files, but this is {kind}")
    assert advice in message


def test_a_missing_file_of_another_kind_is_not_searched_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("prompts.json", "data/prompts.txt"):
        suffix = Path(name).suffix
        assert f"named like a {suffix} file, and does not exist" in problem(Path(name))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("s.jsonl", b"\x1f\x8b\x08\x00", "found gzip data; decompress it"),
        ("s.csv", b"PK\x03\x04", "found a zip archive or an Excel file"),
        ("s.jsonl", b"PAR1....PAR1", "found a Parquet file; rename it to .parquet"),
        ("s.parquet", b'{"prompt": "a"}', "damaged: expected a Parquet file"),
        ("s.parquet", b"PAR1 this is none PAR1", "damaged: "),
        ("s.csv", b"version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
        ("s.parquet", b"version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
        ("s.jsonl", b"", "expected at least n = 2 prompts, found 0"),
        ("s.csv", b"", "expected a column named prompt"),
        ("s.csv", b"prompt\n", "expected at least n = 2 prompts, found 0"),
    ],
)
def test_content_that_does_not_fit_the_name_is_an_error_that_names_both(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    assert expected in problem(file(tmp_path, name, content))


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.jsonl")
    assert problem(tmp_path / "s.jsonl") == "expected a regular file, found a pipe or a device"


@pytest.mark.parametrize("source", ["~nobody-here/s.jsonl", "x" * 4000 + ".csv"])
def test_a_source_that_is_no_path_is_an_error(source: str) -> None:
    with pytest.raises(DatasetError, match=r"is not a valid path: |cannot be read: "):
        read_prompts(DatasetConfig(source=source), 1)
