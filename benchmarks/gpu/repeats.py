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
    """Measure the spread between runs of one experiment, each in a separate process."""
    config = check.experiment(
        warmup={"n_warmup": 3, "convergence_detection": not check.quick},
        baseline={"duration_seconds": 1.0 if check.quick else 2.0},
        energy={"min_window_seconds": 2.0 if check.quick else 5.0},
    )
    execution = ExecutionConfig(n_cycles=5, config_gap_seconds=0.0, cycle_gap_seconds=0.0)
    study = StudyConfig(name="gpu-check", experiments=(config,), execution=execution)
    with tempfile.TemporaryDirectory() as folder:
        # No calibration from earlier studies, so that one run can only reuse that of another run.
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
        interval = getattr(point, name)
        if interval is None or interval.sd is None:
            yield Row(f"{name} of 5 runs", "missing")
            continue
        values = [getattr(result, name) for result in results]
        yield Row(
            f"{name} of {interval.n} runs of {config.model}, {results[0].window_s:.1f} s each",
            f"CV {100 * interval.sd / interval.mean:.2f} %: {', '.join(f'{v:.4g}' for v in values)}",
            ", ".join(
                f"{n or 'over 1000'} runs for an interval of {share}"
                for share, n in point.runs_needed.items()
                if name == "energy_per_output_token_j"
            ),
            {name: {"cv": interval.sd / interval.mean, "values": values}},
        )
    reused = [r.baseline.context_reused for r in results if r.baseline]
    made_at = [r.calibration[0].made_at for r in results if r.calibration]
    yield Row(
        "reused from run to run",
        f"idle power {sum(reused)} times, calibration {len(made_at) - len(set(made_at))} times, "
        f"of {len(results) - 1}",
        ""
        if any(reused)
        else "idle power was measured again: the temperature changed, or an error",
        {"context_reused": reused, "calibrations": made_at},
    )
    reasons = Counter(reason for r in results for reason in r.figures["energy_total_j"].reasons)
    yield Row(
        "energy status and method of the runs",
        ", ".join(sorted({r.energy_status for r in results})) + f"; {results[0].energy_method}",
        "; ".join(f"{reason} ({n})" for reason, n in reasons.items()),
        {"statuses": [r.energy_status for r in results], "reasons": dict(reasons)},
    )
