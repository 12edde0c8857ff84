"""Text from files and libraries is shown with an escape for each character that is not seen."""

from __future__ import annotations

import pytest

from benchmarks.hostile.strings import STRINGS, unsafe_characters
from llem_config import ConfigError, Fault, LlemError
from llem_config.text import one_line, shortened, similar, visible


@pytest.mark.parametrize("kind", STRINGS)
def test_a_line_has_no_character_that_is_not_seen(kind: str) -> None:
    line = one_line(STRINGS[kind])
    assert not unsafe_characters(line)
    assert "\n" not in line
    assert len(line) <= 2000


def test_the_escapes_are_those_of_python() -> None:
    text = "\x1b[2J\x9b\x7f\u202e\u200b\ud800\U000e0041\r\t\x00"
    assert visible(text) == repr(text)[1:-1].replace("\x1b", "\\x1b")
    assert visible("a\nb") == "a\nb"
    assert one_line("a\nb") == r"a\nb"
    assert visible("a\u3164\ufe0f\u034f") == r"a\u3164\ufe0f\u034f"


def test_letters_of_every_script_are_shown_as_they_are() -> None:
    for text in ("Grüße", "日本語モデル", "שלום", "e\u0301", "± 5 %", "😀", "m/a[/v1]", "a\\b"):
        assert visible(text) == one_line(text) == text


def test_texts_that_differ_are_shown_differently() -> None:
    short = [text for text in STRINGS.values() if len(text) < 1000]
    assert len({one_line(text) for text in short}) == len(short)


def test_a_long_text_is_shortened_in_the_middle() -> None:
    assert shortened("a" * 10, 10) == "a" * 10
    assert shortened("abcdefghijklmnopqrstuvwxyz", 14) == "abcdef ... xyz"


@pytest.mark.parametrize("kind", STRINGS)
def test_no_error_of_llem_has_a_character_that_is_not_seen(kind: str) -> None:
    text = STRINGS[kind]
    fault = Fault(f"<{text}>", 1, 2, f"sweep.{text}", f"expected a number, found {text}")
    for shown in (str(LlemError(f"wrong: {text}")), str(fault), str(ConfigError([fault]))):
        assert not unsafe_characters(shown)
    assert "\n" not in str(fault)
    assert len(str(fault)) <= 2000


def test_texts_that_differ_only_in_numbers_are_one_with_ranges() -> None:
    counts = {
        "lost 2 W in 1e-3 s": 1,
        "seen": 2,
        "lost 10.5 W in 1e-3 s": 3,
        "lost 3 W in 1e-3 s": 1,
    }
    assert similar(counts) == [("lost 2 to 10.5 W in 1e-3 s", 5, True), ("seen", 2, False)]
    assert similar({}) == []
