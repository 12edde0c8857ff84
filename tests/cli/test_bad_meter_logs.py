"""`llem-cli calibrate` with logs as they come from meters and spreadsheets: read right, or one sentence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes.metered_study import FakeMeter, scripted_gpu, write_study

from llem_cli._app import run
from llem_config.settings import gains_path

GPU = scripted_gpu(gain=1.04)
ROWS = [(t_s, power_w, energy_j) for t_s, power_w, energy_j in FakeMeter(GPU).readings()]
Row = tuple[float, float, float]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("metered") / "study", GPU)


def utc(t_s: float, form: str = "%Y-%m-%dT%H:%M:%S.%fZ") -> str:
    return datetime.fromtimestamp(t_s, UTC).strftime(form)


def log(
    row: Callable[[Row], str] = lambda r: f"{utc(r[0])},{r[1]:.3f}",
    *,
    head: str = "time,power_w",
    rows: list[Row] = ROWS,
    end: str = "\n",
) -> str:
    return end.join([head, *map(row, rows)])


def with_line(number: int, text: str) -> str:
    """Return a log in which one line has another text."""
    lines = log().splitlines()
    lines[number - 1] = text
    return "\n".join(lines)


def moved(rows: list[Row], place: int, to: int) -> list[Row]:
    return [*rows[:place], rows[to], *rows[place:]]


def comma(value: float) -> str:
    return f"{value:.2f}".replace(".", ",")


GOOD: dict[str, str | bytes] = {
    "byte order mark": b"\xef\xbb\xbf" + log().encode(),
    "windows": log(end="\r\n"),
    "tabs": log(lambda r: f"{utc(r[0])}\t{r[1]}", head="time\tpower_w"),
    "decimal comma": log(lambda r: f"{utc(r[0])};{comma(r[1])}", head="Zeit;Power [W]"),
    "empty last column": log(lambda r: f"{utc(r[0])},{r[1]},"),
    "milliseconds": log(lambda r: f"{r[0] * 1000:.0f},{r[1]}"),
    "whole seconds": log(lambda r: f"{r[0]:.0f},{r[1]}"),
}
FLAGS = {"decimal comma": ["--time-column=Zeit"]}


@pytest.mark.parametrize("name", GOOD)
def test_logs_of_other_programs_are_read(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path, name: str
) -> None:
    path = tmp_path / "log.csv"
    content = GOOD[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    flags = [f"--meter={path}", f"--study={study}", "--dry-run", *FLAGS.get(name, [])]
    assert run(["calibrate", *flags]) == 0, capfd.readouterr().err


BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", ": expected a row of names and at least 3 readings, found 0 below no names; give"),
    "blank": ("\n\n \n", ": expected a row of names and at least 3 readings, found 0 below no"),
    "names only": ("time,power_w\n", " 3 readings, found 0 below the names; give the whole log"),
    "one reading": (log(rows=ROWS[:1]), " 3 readings, found 1 below the names; give the whole log"),
    "binary": (bytes(range(256)), ": expected a CSV file in UTF-8, found another ("),
    "utf-16": (log().encode("utf-16"), "; export the log as text, and save it in UTF-8"),
    "nul": (with_line(3, "2026-01-01T00:00:05Z,3\0003"), ":3: expected a number, such as 1234.5"),
    "pipes": (log(head="time|power_w"), ":1: expected the names of at least 2 columns, separated"),
    "remarks": ("# PDU 7\n" + log(), ":1: expected the names of at least 2 columns, separated by comma"),
    "html": ("<html>\n" * 9, ", found '<html>'; remove what is above the names, or change the separ"),
    "no names": (log(head="2026-01-01T00:00:00Z,300"), ":1: expected one column of times, found 0 of"),
    "no names below empty lines": (
        "\n\n\n" + log(head="2026-01-01T00:00:00Z,300"),
        ":4: expected one column of times, found 0 of",
    ),
    "no unit below empty lines": (
        "\n\n\n" + log(head="time,value"),
        ":4: expected a unit in the name of the column 'value'",
    ),
    "name twice": (
        log(lambda r: f"{utc(r[0])},1,{r[1]}", head="time,power_w,power_w"),
        ":1: expected one column of values, found 2 of: time, power_w, power_w; name it with",
    ),
    "footer": (log() + "\nTotal,,123", ": expected 2 columns, as in the first row, found 3"),
    "cut off": (with_line(9, "2026-01-01T00:00:12Z"), ":9: expected 2 columns, as in the first row, found"),
    "decimal comma between commas": (
        log(lambda r: f"{utc(r[0])},{comma(r[1])}"),
        ":2: expected 2 columns, as in the first row, found 3; if numbers have a decimal comma, separate",
    ),
    "thousands": (
        log(lambda r: f'{utc(r[0])},"{10 * r[1]:,.0f}"'),
        ":2: expected a number without a comma, because commas separate the columns, found '3,2",
    ),
    "points of thousands": (
        log(lambda r: f"{utc(r[0])};1.{r[1]:.0f},5", head="time;power_w"),
        ":2: expected a number, such as 1234.5, found '1.3",
    ),
    "underscore": (with_line(4, f"{utc(ROWS[2][0])},3_00"), ":4: expected a number, such as 1234.5"),
    "unit in cells": (log(lambda r: f"{utc(r[0])},{r[1]:.0f} W"), ":2: expected a number, such as 1234.5"),
    "no response": (with_line(8, f"{utc(ROWS[6][0])},"), ":8: expected a number, such as 1234.5, found ''"),
    "too large": (with_line(8, f"{utc(ROWS[6][0])},1e400"), ":8: expected a number, such as 1234.5"),
    "negative": (log(lambda r: f"{utc(r[0])},-{r[1]}"), ":2: expected a reading of 0 or more, found '-"),
    "twice": (log(rows=moved(ROWS, 50, 49)), ":52: expected a later time than in the row before"),
    "whole minutes": (
        log(lambda r: f"{utc(r[0], '%Y-%m-%dT%H:%MZ')},{r[1]}"),
        ":3: expected a later time than in the row before, found '2026-01-01T00:00Z' again; let the",
    ),
    "newest first": (log(rows=ROWS[::-1]), ":3: expected a later time than in the row before, found"),
    "clock set back": (log(rows=ROWS[:50] + ROWS[20:]), "the clock was set back or summer time ended, use"),
    "time of day": (log(lambda r: f"{utc(r[0], '%H:%M:%S')},{r[1]}"), ":2: expected a time such as"),
    "month first": (log(lambda r: f"{utc(r[0], '%m/%d/%Y')},{r[1]}"), "; convert the times, or remove"),
    "nanoseconds": (log(lambda r: f"{r[0] * 1e9:.0f},{r[1]}"), ":2: expected Unix time in seconds or"),
    "since the start": (log(lambda r: f"{r[0] - ROWS[0][0]:.1f},{r[1]}"), ":2: expected Unix time in"),
    "spreadsheet days": (log(lambda r: f"{r[0] / 86400 + 25569},{r[1]}"), ":2: expected Unix time in"),
    "hours off": (
        log(lambda r: f"{utc(r[0] + 19800)},{r[1]}"),
        ": the log fits the runs only if its times are shifted by -5.5 h, so it has another time zone",
    ),
    "kW": (log(lambda r: f"{utc(r[0])},{r[1] / 1000}"), "in W; its values are probably in kW: give --unit"),
    "mW": (log(lambda r: f"{utc(r[0])},{r[1] * 1000}"), "in W; its values are probably in mW: give --unit"),
    "Wh as W": (log(lambda r: f"{utc(r[0])},{r[2] / 3600}"), "the lag of the meter's clock cannot be found"),
    "W as Wh": (log(head="time,energy_wh"), "cut the log where the meter was reset, or give --unit=W if"),
    "J as Wh": (
        log(lambda r: f"{utc(r[0])},{r[2]}", head="time,energy_wh"),
        "with the log read in Wh; its values are probably in J: give --unit=J",
    ),
    "one gap": (log(rows=ROWS[:40] + ROWS[100:]), "raise energy.min_window_seconds; the log has 1 gap"),
    "gaps": (log(rows=[r for i, r in enumerate(ROWS) if i % 20 < 8]), "have too little time in common, or"),
    "slow": (log(rows=ROWS[::30]), "too little time in common, or the power at the meter is constant; give"),
    "nothing": (log(lambda r: f"{utc(r[0])},0"), "or the power at the meter is constant; give a log that"),
    "drift": (log(lambda r: f"{r[0] + 0.015 * (r[0] - ROWS[0][0])},{r[1]}"), "the clock of the meter drifts"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_log_that_cannot_be_used_is_one_sentence_with_its_name_and_nothing_is_stored(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path, name: str
) -> None:
    path = tmp_path / "log.csv"
    content, expected = BAD[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code = run(["calibrate", f"--meter={path}", f"--study={study}", "--efficiency=0.92"])
    (line,) = capfd.readouterr().err.splitlines()
    assert code == 1
    assert line.startswith(f"error: {path}:")
    assert expected in line
    assert not gains_path().exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("power_w", "expected one column 'power_w', found 2; rename the others"),
        ("watts", "expected a column 'watts', found time, power_w, power_w; give one of these to"),
    ],
)
def test_a_column_that_is_there_twice_or_not_at_all_is_not_chosen_by_its_name(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path, name: str, expected: str
) -> None:
    path = tmp_path / "log.csv"
    text = log(lambda r: f"{utc(r[0])},1,{r[1]}", head="time,power_w,power_w")
    path.write_text("\n" + text)
    assert run(["calibrate", f"--meter={path}", f"--study={study}", f"--value-column={name}"]) == 1
    assert f"{path}:2: {expected}" in capfd.readouterr().err
