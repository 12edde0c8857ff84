"""Write docs/study.md, the fields of a study file: `uv run python scripts/study_reference.py`.

The page comes from the pydantic models of llem-config. A test fails if it is out of date.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from llem_config.fields import StudyField, study_fields

PAGE = Path(__file__).resolve().parents[1] / "docs" / "study.md"
_WIDTH = 120
_HEAD = """\
# The study file, field by field

This page is generated from the models that check a study file, by `uv run python scripts/study_reference.py`; do not
edit it. `llem-cli study fields` lists the fields in a terminal, `llem-cli study fields WORD` explains those that match a
word, and `llem-cli schema --install` gives the same to your editor. The [README](../README.md#a-study-file) has an
example of a whole file, `llem-cli study init MODEL` writes one for your machine, and the [glossary](glossary.md)
explains the words.

- A field of a section can be written in the section or with a dot: `pytorch: {batch_size: 8}` is `pytorch.batch_size: 8`.
- A field that *may be swept* can be an axis of `sweep`: `sweep: {pytorch.batch_size: [1, 8]}`. Every other field is the
  same for the whole study.
- The smallest study file has one line, `model: ...`. A default that is *not set* is explained in the text.
- *Energy* says what a field does to the energy of a run, everything else equal. It is an expectation, not a
  measurement: measuring it is what a study is for.
"""
_HEADINGS = {
    "": "The point",
    "decoder": "How tokens are chosen: decoder",
    "dataset": "Prompts: dataset",
    "warmup": "Warm-up: warmup",
    "baseline": "Idle power: baseline",
    "energy": "Metering: energy",
    "pytorch": "PyTorch and transformers: pytorch",
    "vllm": "vLLM: vllm",
    "tensorrt": "TensorRT-LLM: tensorrt",
    "lora": "Adapter: lora",
    "execution": "Runs: execution",
}


def page(fields: Sequence[StudyField]) -> str:
    """Return the whole page as Markdown."""
    parts = [_HEAD]
    of_study = [field for field in fields if not field.may_be_swept and "." not in field.key]
    parts += ["## The study\n", *map(_entry, of_study)]
    of_points = [field for field in fields if field not in of_study]
    for section, group in itertools.groupby(sorted(of_points, key=_place), key=_section):
        parts += [f"## {_HEADINGS.get(section, section)}\n", *map(_entry, group)]
    return "\n".join(parts)


def _section(field: StudyField) -> str:
    """Return the section under whose heading a field is; the section itself comes first in it."""
    top, _, rest = field.key.partition(".")
    return top if rest or field.is_section else ""


def _place(field: StudyField) -> int:
    sections = list(_HEADINGS)
    section = _section(field)
    return sections.index(section) if section in sections else len(sections)


def _entry(field: StudyField) -> str:
    return "\n".join(_lines(field))


def _lines(field: StudyField) -> Iterator[str]:
    facts = [field.values]
    if field.is_required:
        facts.append("required")
    elif not field.is_section and field.values != "a list of mappings":
        facts.append(f"default: {'not set' if field.default is None else f'`{field.default}`'}")
    facts.append("may be swept" if field.may_be_swept else "not swept")
    yield f"### `{field.key}`\n"
    yield f"*{'; '.join(facts)}*\n"
    yield from _wrapped(field.meaning)
    if field.energy is not None:
        yield ""
        yield from _wrapped(f"Energy: {field.energy}")
    yield ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(page(study_fields()), "utf-8")
    print(f"written: {PAGE.relative_to(PAGE.parents[1])}")
