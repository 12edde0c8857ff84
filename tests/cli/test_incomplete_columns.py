"""The table of a study says which of its columns have the differences between cycles removed."""

from __future__ import annotations

from pathlib import Path

from fakes.studies import study
from report.comparison.folders import KnownMeter, make_folder

from llem_cli._display.comparison_notes import legend
from llem_runner import extend_study, read_study_result
from llem_runner.executors import InlineExecutor

SENTENCE = (
    "J/output token: differences between blocks are removed, because not every point ran in every "
    "block (what one process ran of one cycle); the other columns are means of the runs as they "
    "were, and `llem-cli study report` removes the differences from all figures"
)


def test_only_a_study_whose_points_lack_runs_says_which_columns_are_plain_means(
    tmp_path: Path,
) -> None:
    folder = make_folder(tmp_path, 1, ns=(1, 2, 3), cycles=3)
    assert SENTENCE not in list(legend(read_study_result(folder)))
    extend_study(
        folder, study((6,), n_cycles=3, cycle_order="shuffled"),
        measure=KnownMeter(5, 3), executor=InlineExecutor(),
    )  # fmt: skip
    assert SENTENCE in list(legend(read_study_result(folder)))
