"""Break study files at random and check that llem-config loads them or raises `ConfigError`.

    uv run python benchmarks/config_fuzz.py [COUNT] [--seed N] [--processes N]

The cases are random bytes, and valid files (the examples, the study of the README) with changed
bytes, tokens or lines. Each must load or raise `ConfigError`, within one second of processor time.
Every fault must have a place inside its file (line 1 to n + 1), or line 0. A failed case is
printed with its number, which reproduces it. 200,000 cases take some minutes.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed

from benchmarks.shared.fuzzing import run
from llem_config import ConfigError, Fault, load_study

COUNT = 200_000
MAX_SECONDS = 1.0
ROOT = Path(__file__).resolve().parents[1]

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_TOKENS = [
    "null",
    "true",
    "false",
    "on",
    "0",
    "-1",
    "1e-5",
    "0o17",
    "12:30",
    ".nan",
    ".inf",
    "9999999999999999999999999999999999",
    "''",
    "[]",
    "{}",
    "[",
    "]",
    "{",
    "}",
    ":",
    "-",
    ",",
    "?",
    "|",
    ">",
    "&",
    "*",
    "!",
    "%",
    "@",
    "`",
    "#",
    "---",
    "...",
    "<<",
    "*a",
    "&a",
    "!!int",
    "!!binary",
    "!x",
    "sweep",
    "model",
    "n",
    "base",
    "backend",
    "pytorch",
    "vllm",
    "experiments",
    "exclude",
    "execution",
    "decoder",
    "pytorch.batch_size",
    "decoder.temperature",
    "passthrough_kwargs.a",
    "name",
    "max_experiments",
    "n_cycles",
    "fp32",
    "é",
    "日本",
    ".",
    "..",
    "a.b.",
]
_BYTES = [
    b"\n",
    b"\t",
    b" ",
    b"\r",
    b"\x00",
    b"\xff",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
]
_BYTES += [b"\x1b[31m", b"\xf0\x9f\x98\x80", b'"', b"'", b"\\", b"  ", b"\n  ", b": ", b"- "]


def seeds() -> list[bytes]:
    """Return the valid files that the cases change."""
    texts = [path.read_bytes() for path in sorted((ROOT / "examples").glob("*.yaml"))]
    readme = (ROOT / "README.md").read_text()
    texts += [block.encode() for block in re.findall(r"```yaml\n(.*?)```", readme, re.S)]
    texts.append(
        b"model: m\nbackend: [pytorch, vllm]\nsweep:\n  n: [1, 2]\n  vllm.block_size: [8]\n"
        b"  kind:\n    - &a {pytorch.batch_size: 1, vllm.max_num_seqs: 2}\n    - <<: *a\n"
        b"      precision: fp16\nexperiments:\n  - {backend: vllm, passthrough_kwargs: {a: [1]}}\n"
        b"exclude: [{n: 1, precision: fp16}]\n"
    )
    return texts


def case(seed: int, number: int, texts: list[bytes]) -> bytes:
    """Return one broken file; the same for the same seed and number."""
    rng = random.Random(f"{seed}:{number}")  # not for cryptography
    kind = rng.random()
    if kind < 0.1:
        return rng.randbytes(rng.randrange(200))
    if kind < 0.2:
        return " ".join(rng.choices(_TOKENS, k=rng.randrange(40))).encode()
    text = bytearray(rng.choice(texts))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        _mutate(text, rng, texts)
    return bytes(text[:20_000])


def _mutate(text: bytearray, rng: random.Random, texts: list[bytes]) -> None:
    at = rng.randrange(len(text) + 1)
    to = min(len(text), at + rng.choice((1, 1, 3, 20)))
    match rng.randrange(8):
        case 0:
            del text[at:to]
        case 1:
            text[at:to] = rng.randbytes(rng.randrange(1, 4))
        case 2:
            text[at:at] = rng.choice(_BYTES)
        case 3:
            text[at:at] = rng.choice(_TOKENS).encode()
        case 4:  # replace a value or key
            words = list(re.finditer(rb"[\w.]+", text))
            if words:
                word = rng.choice(words)
                text[word.start() : word.end()] = rng.choice(_TOKENS).encode()
        case 5:  # copy a line, perhaps with another indentation
            lines = bytes(text).splitlines(keepends=True) or [b""]
            line = rng.choice(lines)
            lines.insert(rng.randrange(len(lines) + 1), rng.choice((b"", b" ", b"  ")) + line)
            text[:] = b"".join(lines)
        case 6:
            other = rng.choice(texts)
            begin = rng.randrange(len(other))
            text[at:at] = other[begin : begin + rng.randrange(60)]
        case 7:
            text[at:at] = text[at:to] * rng.choice((2, 2, 10, 200))


def check(text: bytes, folder: Path) -> str:
    """Load one file and return the name of the outcome.

    Raises:
        AssertionError: the outcome is wrong.
    """
    path = folder / "study.yaml"
    path.write_bytes(text)
    start = time.process_time()
    try:
        load_study(path)
        outcome = "valid"
    except ConfigError as error:
        outcome = "refused"
        assert error.faults, "an error without a fault"
        for fault in error.faults:
            _check_fault(fault, text)
        assert error.pretty()
    seconds = time.process_time() - start
    assert seconds < MAX_SECONDS, f"took {seconds:.2f} s"
    return outcome


def _check_fault(fault: Fault, text: bytes) -> None:
    assert fault.problem, f"no reason: {fault!r}"
    if fault.line == 0:
        assert fault.column == 0, f"a column without a line: {fault!r}"
        return
    assert isinstance(fault.file, Path), f"a line without a file: {fault!r}"
    if fault.file.name != "study.yaml":
        text = fault.file.read_bytes()  # `base`
    lines = _LINE_BREAK.split(text.decode("utf-8-sig", "replace"))
    assert 1 <= fault.line <= len(lines) + 1, f"line outside the file: {fault!r}"
    length = len(lines[fault.line - 1]) if fault.line <= len(lines) else 0
    assert 1 <= fault.column <= length + 1, f"column outside the line: {fault!r}"


def failures(seed: int, numbers: range) -> tuple[Counter[str], list[str]]:
    """Return the number of cases for each outcome, and a text for each case that failed."""
    texts = seeds()
    outcomes: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for example in (ROOT / "examples").glob("*.yaml"):
            (folder / example.name).write_bytes(example.read_bytes())
        for number in numbers:
            text = case(seed, number, texts)
            try:
                outcomes[check(text, folder)] += 1
            except Exception:  # noqa: BLE001  # any other exception is a failure
                outcomes["WRONG"] += 1
                wrong.append(f"case {number}: {text[:2000]!r}\n{traceback.format_exc()}")
    return outcomes, wrong


if __name__ == "__main__":
    raise SystemExit(run(failures, __doc__, COUNT, 2000))
