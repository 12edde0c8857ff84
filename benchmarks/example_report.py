"""The report of a study with known true effects, as an example for the documents.

    uv run python benchmarks/example_report.py                                    # simulated, seconds
    uv run python benchmarks/example_report.py --measured [--points 72] --output docs     # 40 min

`--measured` runs 144 or 72 points x 5 cycles with the command line on the scripted NVIDIA driver (see
`benchmarks/report/measured_example.py` for what is real). `--keep PARENT` keeps the study, and
`--study FOLDER` takes one that was kept. Without them, the energies are simulated. Prints the true
and the estimated effects; with `--output`, writes `example-report.html` and figure 1 in light and
dark colours. Exits with code 1 if an interval does not contain the true effect, or the page is too
large.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(
    0, str(Path(__file__).parent / "report" / "scripted_site")
)  # before llem is imported

from benchmarks.report.example_study import run_example
from benchmarks.report.example_truth import true_ratios
from benchmarks.report.measured_example import NOTE, measure_example, study_file
from llem_report import figure, read_report
from llem_report.records import Analysis

MAX_BYTES = 1_600_000
SIMULATED = "The results of this study were simulated with known effects; nothing was measured."


def main() -> None:
    """Write the example and exit with 0 if it is right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", action="store_true", help="run every point")
    parser.add_argument("--study", type=Path, help="folder of a study that was measured before")
    parser.add_argument("--keep", type=Path, help="parent folder for the measured study")
    parser.add_argument("--points", type=int, choices=(144, 72), default=144)
    parser.add_argument("--output", type=Path, help="folder for the page and figure 1")
    arguments = parser.parse_args()
    is_measured = arguments.measured or arguments.study is not None
    if not is_measured and arguments.points != 144:
        parser.error("the simulated study has 144 points; give --measured or --study")
    with tempfile.TemporaryDirectory() as scratch:
        output: Path = arguments.output or Path(scratch)
        if arguments.study is not None:
            folder = arguments.study
        elif is_measured:
            parent: Path = arguments.keep or Path(scratch)
            parent.mkdir(parents=True, exist_ok=True)
            folder = measure_example(parent, study_file(arguments.points))
            print(f"study: {folder}")
        else:
            folder = run_example(Path(scratch))
        truth = true_ratios("scripted" if is_measured else "pytorch", arguments.points)
        is_right = write_example(folder, output, truth, NOTE if is_measured else SIMULATED)
    sys.exit(0 if is_right else 1)


def write_example(
    folder: Path, output: Path, truth: Mapping[str, Mapping[str, float]], note: str
) -> bool:
    """Write the page and figure 1; return whether the page is small and its effects are right."""
    start_s = time.perf_counter()
    report = read_report(folder)
    read_s = time.perf_counter() - start_s
    conditions = dataclasses.replace(report.conditions, note=note)
    report = dataclasses.replace(report, conditions=conditions)
    page = report.write(output / "example-report.html", force=True)
    written_s = time.perf_counter() - start_s
    effects = figure(report.analysis, "effects")
    (output / "example-effects.svg").write_text(effects.svg(), "utf-8")
    (output / "example-effects-dark.svg").write_text(effects.svg(dark=True), "utf-8")
    n_bytes = page.stat().st_size
    are_right = check_effects(report.analysis, truth)
    print(f"page: {n_bytes / 1e6:.2f} MB (at most {MAX_BYTES / 1e6:.2f})")
    print(f"reading and analysis {read_s:.1f} s, page {written_s - read_s:.1f} s")
    return are_right and n_bytes <= MAX_BYTES


def check_effects(analysis: Analysis, truth: Mapping[str, Mapping[str, float]]) -> bool:
    """Print the true effects beside the intervals; return whether each is inside."""
    print(f"{'choice':32}{'true':>8}{'found':>8}  95 % interval   inside")
    are_inside = True
    for factor in analysis.factors:
        true = max(truth[factor.key].values())
        effect = factor.effect
        if effect is None or effect.ci95_low is None or effect.ci95_high is None:
            print(f"{factor.key:32}{true:8.3f}   no interval: {factor.reason}")
            are_inside = False
            continue
        inside = effect.ci95_low <= true <= effect.ci95_high
        are_inside &= inside
        print(
            f"{factor.key:32}{true:8.3f}{effect.ratio:8.3f}  {effect.ci95_low:.3f} to "
            f"{effect.ci95_high:.3f}  {'yes' if inside else 'NO'}"
        )
    for pair in analysis.level_pairs:
        true = truth[pair.factor][pair.a] / truth[pair.factor][pair.b]
        low, high = pair.ratio.ci95_low, pair.ratio.ci95_high
        if low is None or high is None or not low <= true <= high:
            print(f"{pair.factor}: {pair.a} over {pair.b} is {true:.3f}, outside {low} to {high}")
            are_inside = False
    print(f"{len(analysis.level_pairs)} pairs of levels; all inside: {are_inside}")
    return are_inside


if __name__ == "__main__":
    main()
