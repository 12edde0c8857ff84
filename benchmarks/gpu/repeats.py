"""The part that runs one experiment several times."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu.check import Check, Row
from llem_config import ExecutionConfig, Settings, StudyConfig
from llem_energy import read_result
from llem_runner import run_study


def repeats(check: Check) -> Iterator[Row]:
    """How far runs of one experiment are apart, each in a process of its own."""
    config = check.experiment(
        warmup={"n_warmup": 3, "convergence_detection": not check.quick},
        baseline={"duration_seconds": 1.0 if check.quick else 2.0},
        energy={"min_window_seconds": 2.0 if check.quick else 5.0},
    )
    execution = ExecutionConfig(n_cycles=5, config_gap_seconds=0.0, cycle_gap_seconds=0.0)
    study = StudyConfig(name="gpu-check", experiments=(config,), execution=execution)
    with tempfile.TemporaryDirectory() as folder:
        # Nothing known from earlier studies, so that what one run takes over is from another.
        os.environ["LLEM_CACHE"] = str(Path(folder) / "calibrations.json")
        record = run_study(study, output=Path(folder) / "results", settings=Settings())
        (study_folder,) = (Path(folder) / "results").iterdir()
        results = [read_result(study_folder / file) for file in record.result_files]
    for failure in record.failed:
        yield Row(f"run {failure.index}", f"failed: {failure.error_message}")
    if not results:
        return
    (point,) = record.summary.points
    for name in ("energy_per_output_token_j", "tokens_per_second"):
        found = getattr(point, name)
        if found is None or found.sd is None:
            yield Row(f"{name} of 5 runs", "missing")
            continue
        values = [getattr(result, name) for result in results]
        yield Row(
            f"{name} of {found.n} runs of {config.model}, {results[0].window_s:.1f} s each",
            f"CV {100 * found.sd / found.mean:.2f} %: {', '.join(f'{v:.4g}' for v in values)}",
            ", ".join(
                f"{n or 'over 1000'} runs for an interval of {share}"
                for share, n in point.runs_needed.items()
                if name == "energy_per_output_token_j"
            ),
            {name: {"cv": found.sd / found.mean, "values": values}},
        )
    reused = [r.baseline.context_reused for r in results if r.baseline]
    made = [r.calibration[0].made_at for r in results if r.calibration]
    yield Row(
        "handed from run to run",
        f"idle power {sum(reused)} times, calibration {len(made) - len(set(made))} times, "
        f"of {len(results) - 1}",
        "" if any(reused) else "idle power was measured anew: another temperature, or an error",
        {"context_reused": reused, "calibrations": made},
    )
    doubts = Counter(reason for r in results for reason in r.figures["energy_total_j"].reasons)
    yield Row(
        "what the runs said of their energy",
        ", ".join(sorted({r.energy_status for r in results})) + f"; {results[0].energy_method}",
        "; ".join(f"{reason} ({n})" for reason, n in doubts.items()),
        {"statuses": [r.energy_status for r in results], "reasons": dict(doubts)},
    )
