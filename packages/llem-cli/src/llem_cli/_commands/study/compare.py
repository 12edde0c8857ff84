"""`llem-cli study compare`: whether studies are worse than an earlier one, with exit codes for CI."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import CANNOT_BE_TOLD, OK, WORSE
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.figure import figure_flag
from llem_cli._commands.study.folder import check_folders, point_levels, usage_error
from llem_cli._display.console import print_text, show_json
from llem_cli._display.study_comparison import show_comparison
from llem_cli._display.study_comparison_markdown import comparison_markdown
from llem_config.text import shortened
from llem_report import compare as compare_folders
from llem_report.comparison_records import StudyComparison, StudyVerdict
from llem_runner.records import encode_json

_MAX_SHARE = 10.0


def compare(
    base: Annotated[Path, Parameter(help="Folder of the earlier study.")],
    /,
    *new: Annotated[Path, Parameter(help="Folders of later studies.")],
    fail_above: Annotated[
        str | None,
        Parameter(
            help="Exit with code 3 if a study is shown to be worse by more than this, e.g. 2%."
        ),
    ] = None,
    each_point: Annotated[
        bool,
        Parameter(
            negative=(), help="Apply --fail-above and --strict to each point, not only to all."
        ),
    ] = False,
    strict: Annotated[
        bool, Parameter(negative=(), help="Exit with code 4 if it cannot be told.")
    ] = False,
    figure: Annotated[
        str | None,
        Parameter(help="Figure to compare (default: energy per output token, else tokens/s)."),
    ] = None,
    ignore: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            help="Pair points that differ in this field too, e.g. --ignore model; repeatable.",
        ),
    ] = (),
    same_meter: Annotated[
        bool,
        Parameter(
            negative=(),
            help="State differences below 5 % between two boards too, whose sensors may differ by "
            "as much.",
        ),
    ] = False,
    markdown: Annotated[
        bool, Parameter(negative=(), help="Print Markdown, e.g. for a comment in a pull request.")
    ] = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Compare studies with an earlier one, and return the exit code."""
    del verbose  # read where errors are explained
    _check(base, new, fail_above, each_point=each_point, both=markdown and json_)
    gate = parse_share(fail_above)
    with figure_flag(figure):
        comparisons = [
            compare_folders(
                base,
                folder,
                figure=figure,
                gate=gate,
                ignore=ignore,
                same_meter=same_meter,
                n_comparisons=len(new),
            )
            for folder in new
        ]
    if json_:
        show_json(encode_json({"comparisons": comparisons}))
    elif markdown:
        print_text(comparison_markdown(comparisons))
    else:
        for folder, comparison in zip(new, comparisons, strict=True):
            show_comparison(comparison, point_levels(folder))
    verdicts = {v for c in comparisons for v in _verdicts(c, each_point=each_point)}
    if gate is not None and "worse" in verdicts:
        return WORSE
    return CANNOT_BE_TOLD if strict and "cannot_be_told" in verdicts else OK


def _verdicts(comparison: StudyComparison, *, each_point: bool) -> Iterable[StudyVerdict]:
    yield comparison.verdict
    if each_point:
        yield from (point.verdict for point in comparison.points)


def _check(
    base: Path, new: tuple[Path, ...], fail_above: str | None, *, each_point: bool, both: bool
) -> None:
    """Return if the arguments fit together.

    Raises:
        ConfigError: they do not, or a folder does not exist.
    """
    if not new:
        raise usage_error("NEW", "expected at least one later study, found none; name its folder")
    check_folders((base, *new))
    if each_point and fail_above is None:
        raise usage_error(
            "--each-point", "expected --fail-above beside it; add e.g. --fail-above 2%"
        )
    if both:
        raise usage_error("--markdown", "expected --markdown or --json, found both; leave one out")


def parse_share(text: str | None) -> float | None:
    """Return a share: 0.02 for `2%`.

    Raises:
        ConfigError: the text is no percentage of 0 to 1000.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text)
    share = float(match[1]) / 100 if match else -1.0
    if not 0 <= share <= _MAX_SHARE:
        raise usage_error(
            "--fail-above", f"expected a percentage such as 2%, found {shortened(text, 60)!r}"
        )
    return share
