"""Environment variables with values that are broken, deep, long, or many (CFG-22)."""

from __future__ import annotations

import pytest

from llem_config import ConfigError
from llem_config.settings import load_settings

TOO_DEEP = "expected at most 100 objects and lists inside each other, found more"


def problem(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return str(caught.value)


@pytest.mark.parametrize("name", ["LLEM_DEVICES__GPUS", "LLEM_DEVICES", "llem_devices__gpus"])
@pytest.mark.parametrize("value", ["[" * 50_000, "[" * 50_000 + "]" * 50_000])
def test_deep_json_in_a_variable_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert problem(monkeypatch, name, value) == f"<environment>: {name}: {TOO_DEEP}"


def test_deep_json_in_the_variable_of_a_section_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    value = '{"a":' * 10_000 + "1" + "}" * 10_000
    assert problem(monkeypatch, "LLEM_MEASUREMENT", value) == (
        f"<environment>: LLEM_MEASUREMENT: {TOO_DEEP}"
    )


def test_a_broken_variable_in_small_letters_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem(monkeypatch, "llem_devices__gpus", "0,1") == (
        "<environment>: llem_devices__gpus: expected JSON, such as [0, 1], found '0,1'"
    )


def test_a_long_value_is_shortened_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    message = problem(monkeypatch, "LLEM_DEVICES__GPUS", f"[{'9' * 5000}]")
    assert "expected JSON, such as [0, 1], found '[999" in message
    assert len(message) < 200


def test_the_first_hundred_of_many_mistakes_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    value = f"[{','.join(['[]'] * 40_000)}]"
    lines = problem(monkeypatch, "LLEM_DEVICES__GPUS", value).splitlines()
    assert (len(lines), lines[-1]) == (101, "and 79900 more mistakes")
