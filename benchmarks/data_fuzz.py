"""Break data set files at random and check that llem refuses them, or reads every prompt.

    uv run python benchmarks/data_fuzz.py [COUNT] [--seed N] [--processes N]

The cases are valid JSON lines, CSV and Parquet files with changed bytes, values, columns, encodings
and names. What the check before a run finds must be what loading finds: either both name a problem
in one sentence, or `n` prompts are loaded, each a text that a tokenizer can read. No case may raise
another error, or take more than two seconds of processor time. A failed case is printed with its
number, which reproduces it. 20,000 cases take about a minute.
"""

from __future__ import annotations

import csv
import io
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed

from benchmarks.shared.fuzzing import run
from llem_config import ExperimentConfig
from llem_energy import DatasetError
from llem_energy._prompts.load import fingerprint, load
from llem_energy.preflight import check_datasets

COUNT = 20_000
MAX_SECONDS = 2.0
_VALUES: list[object] = [
    *("Why is the sky blue?", "a, b", 'say "hi"', "two\nlines", "Grüße", "日本語", "😀", "=1+1"),
    *("", " ", "\n", "\ufeff", "\x00", "\u2028", "\ud800", "a\udfff", "x" * 200_000, "null"),
    *(None, 0, -1.5, 10**30, True, [], ["a"], {"role": "user"}),
]
_COLUMNS = [
    *("prompt", "text", "question", "instruction", "input", "id", "context", "messages"),
    *("Prompt", "prompt ", "", "a.b", "\ufeffprompt", "prompt;id", "answer"),
]
_NAMES = [
    *("s.jsonl", "s.csv", "s.parquet"),
    *("S.JSONL", "s.Csv", "s.json", "s.txt", "s.jsonl.gz", "s.tsv", "s", "s.pq", "s x\u00fc.jsonl"),
]
_ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"]
_BYTES = [
    b"\n",
    b"\r",
    b'"',
    b",",
    b"\\",
    b"\x00",
    b"\xff",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\xed\xa0\x80",
]
_MAX_NAMED = 12  # ten rows, that later ones were not checked, and too few rows


class Case(msgspec.Struct, frozen=True):
    """One data set and the part of an experiment that reads it."""

    name: str
    content: bytes
    n: int
    column: str | None


def case(seed: int, number: int) -> Case:
    """Return one data set; the same for the same seed and number."""
    rng = random.Random(f"{seed}:{number}")  # not for cryptography
    name = rng.choice(_NAMES[:3]) if rng.random() < 0.9 else rng.choice(_NAMES)
    kind = rng.choice(_NAMES[:3]) if rng.random() < 0.05 else name
    content = bytearray(_content(rng, kind.lower()))
    if rng.random() < 0.5:
        for _ in range(rng.choice((1, 1, 2, 8))):
            _mutate(content, rng)
    column = rng.choice(_COLUMNS) if rng.random() < 0.15 else None
    return Case(name, bytes(content), rng.choice((1, 1, 2, 3, 5, 8, 20, 10**20)), column)


def _content(rng: random.Random, name: str) -> bytes:
    rows = _rows(rng)
    if ".parquet" in name or name.endswith(".pq"):
        return _parquet(rows, rng)
    text = _csv(rows) if ".csv" in name or ".tsv" in name else _json_lines(rows, rng)
    encoding = rng.choice(_ENCODINGS) if rng.random() < 0.2 else "utf-8"
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")


def _rows(rng: random.Random) -> list[dict[str, object]]:
    if rng.random() < 0.25:
        return [{"messages": _messages(rng)} for _ in range(rng.choice((1, 3, 20)))]
    columns = ["prompt"] if rng.random() < 0.7 else rng.sample(_COLUMNS, rng.randrange(4))
    n_rows = rng.choice((0, 1, 3, 8, 20, 20, 20))
    rows: list[dict[str, object]] = []
    for number in range(n_rows):
        odd = rng.random() < 0.05
        values = [rng.choice(_VALUES) if odd else f"prompt {number}, words" for _ in columns]
        rows.append(dict(zip(columns, values, strict=True)))
    return rows


def _messages(rng: random.Random) -> object:
    """Return a conversation in one of its layouts, sometimes with an odd value."""
    is_sharegpt = rng.random() < 0.3
    role, content = ("from", "value") if is_sharegpt else ("role", "content")
    messages: list[object] = []
    for name in ("human", "gpt", "human") if is_sharegpt else ("system", "user", "assistant"):
        message: dict[str, object] = {role: name, content: f"{name}, why?"}
        if rng.random() < 0.02:
            message[rng.choice((role, content, "name"))] = rng.choice(_VALUES)
        if rng.random() < 0.02:
            del message[rng.choice((role, content))]
        messages.append(message)
    return rng.choice(_VALUES) if rng.random() < 0.02 else messages


def _json_lines(rows: list[dict[str, object]], rng: random.Random) -> str:
    if rng.random() < 0.03:
        return json.dumps(rows)
    escape = rng.random() < 0.5
    return "".join(json.dumps(row, ensure_ascii=escape) + "\n" for row in rows)


def _csv(rows: list[dict[str, object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["prompt"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _parquet(rows: list[dict[str, object]], rng: random.Random) -> bytes:
    sink = io.BytesIO()
    try:
        table = pa.Table.from_pylist(rows)
    except (pa.ArrowException, OverflowError, UnicodeError):  # of mixed types
        texts = [json.dumps(list(row.values())) for row in rows]
        table = pa.table({rng.choice(_COLUMNS): texts})
    pq.write_table(table, sink, row_group_size=3, compression=rng.choice(("none", "snappy")))
    return sink.getvalue()


def _mutate(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    to = min(len(content), at + rng.choice((1, 1, 3, 20)))
    match rng.randrange(5):
        case 0:
            del content[at:to]
        case 1:
            content[at:to] = rng.randbytes(rng.randrange(1, 4))
        case 2:
            content[at:at] = rng.choice(_BYTES)
        case 3:
            content[at:at] = content[at:to] * rng.choice((2, 10, 200))
        case 4:
            del content[at:]


def check(data: Case, folder: Path) -> str:
    """Check and load one data set, and return the name of the outcome.

    Raises:
        AssertionError: the outcome is wrong.
    """
    path = folder / data.name
    path.write_bytes(data.content)
    config = ExperimentConfig.model_validate(
        {"model": "a/b", "dataset": {"source": str(path), "column": data.column}}
    ).model_copy(update={"n": data.n})
    start = time.process_time()
    try:
        points = [config.model_copy(update={"n": 1 + data.n // 3}), config]
        (found,) = check_datasets(points)  # which reads once for both
        for point, each in enumerate(points):
            problems = [finding.message for finding in found.problems if point in finding.points]
            outcome = _load(each, problems, path)
    finally:
        path.unlink()
    seconds = time.process_time() - start
    assert seconds < MAX_SECONDS, f"took {seconds:.2f} s"
    return outcome


def _load(config: ExperimentConfig, problems: list[str], path: Path) -> str:
    assert len(problems) <= _MAX_NAMED, f"{len(problems)} problems"
    for problem in problems:
        assert problem.startswith(f"{path}: "), f"no file: {problem!r}"
        assert len(problem.splitlines()) == 1, f"several lines: {problem!r}"
    try:
        loaded = load(config, range(8))
    except DatasetError as error:
        assert problems, f"not found before the run: {error}"
        assert str(error).startswith(problems[0]), f"{error!s} instead of {problems[0]}"
        return "refused"
    assert not problems, f"refused, but loaded: {problems[0]}"
    prompts, chats = loaded.prompts, loaded.chats
    n_prompts = len(prompts) + len(chats)
    assert n_prompts == config.n, f"{n_prompts} prompts instead of {config.n}"
    assert not (prompts and chats), "text and messages in one data set"
    for prompt in prompts:
        assert isinstance(prompt, str), f"no text: {prompt!r}"
        assert prompt.strip(), f"empty: {prompt!r}"
        prompt.encode()
    for chat in chats:
        msgspec.json.encode(chat)
        assert chat.messages[-1]["role"] != "assistant", f"an answer: {chat!r}"
        assert all(isinstance(each["content"], str) for each in chat.messages)
    assert fingerprint(chats or prompts)
    return "loaded"


def failures(seed: int, numbers: range) -> tuple[Counter[str], list[str]]:
    """Return the number of cases for each outcome, and a text for each case that failed."""
    outcomes: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        for number in numbers:
            data = case(seed, number)
            try:
                outcomes[check(data, Path(name))] += 1
            except Exception:  # noqa: BLE001  # any other exception is a failure
                outcomes["WRONG"] += 1
                shown = (data.name, data.content[:2000], data.n, data.column)
                wrong.append(f"case {number}: {shown}\n{traceback.format_exc()}")
    return outcomes, wrong


if __name__ == "__main__":
    raise SystemExit(run(failures, __doc__, COUNT, 500))
