"""What an unknown option is answered with: an option that is really close, or why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.conftest import Run


@pytest.mark.parametrize("command", ["resume", "extend"])
def test_a_study_that_is_continued_keeps_its_gaps(
    llem: Run, study_file: Path, command: str
) -> None:
    more = ["--study", study_file] if command == "extend" else []
    done = llem("study", command, "results/a", *more, "--no-gaps")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: Unknown option: --no-gaps. A study keeps the gaps, the order and the other settings that it "
        "began with, because its runs would not be comparable otherwise. (see `--help`)\n"
    )


@pytest.mark.parametrize(
    ("words", "suggested"),
    [
        (("resume", "a", "--cycels", "3"), "--cycles"),
        (("resume", "a", "--retries=2"), "--retry"),
        (("extend", "a", "--study", "b.yaml", "--anchor", "2"), "--anchors"),
        (("report", "a", "--out", "b.html"), "--output"),
        (("report", "a", "--no-static"), None),
        (("resume", "a", "--gups", "all"), "--gpus"),
        (("resume", "a", "--no-gpu"), None),
        (("methods", "a", "--markdown"), None),
    ],
)
def test_an_option_is_suggested_only_if_it_is_close(
    llem: Run, words: tuple[str, ...], suggested: str | None
) -> None:
    done = llem("study", *words)
    assert (done.returncode, done.stdout) == (2, "")
    option = next(word for word in words[2:] if word.startswith("--") and word != "--study")
    guess = "" if suggested is None else f" Did you mean {suggested}?"
    assert (
        done.stderr == f"error: Unknown option: {option.partition('=')[0]}.{guess} (see `--help`)\n"
    )
