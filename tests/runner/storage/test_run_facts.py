"""The facts of runs give the statistics that their whole results give, in less memory."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.results import make_result
from fakes.studies import study

from llem_config import Settings
from llem_energy import ExperimentResult
from llem_energy.models import InputDigest
from llem_energy.records import (
    AnswerQuality,
    DataRealism,
    ErrorBudget,
    GpuSnapshot,
    NeighbourGpu,
    Quality,
)
from llem_runner._analysis.summary import summarise
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest, Totals
from llem_runner._storage.run_facts import FactsOfRuns, RunFacts
from llem_runner.plan import PlannedRun, schedule
from llem_runner.records import ManifestEntry

STUDY = study(range(1, 7), n_cycles=6, cycle_order="shuffled")
GPU = GpuSnapshot(
    index=0, uuid="GPU-1", name="H200", power_limit_w=700.0, power_limit_default_w=700.0, vbios=None,
    memory_bytes=141 << 30, sm_clock_max_mhz=1980.0, application_sm_clock_mhz=None,
    persistence_mode=True, ecc=True, mig=False, compute_mode=0, n_other_processes=0, temperature_c=30.0,
)  # fmt: skip


def measured(run: PlannedRun, chance: random.Random, *, models: str) -> ExperimentResult:
    """Return a result whose every figure differs from those of other runs, of any of these models."""
    host = f"n{run.cycle}"
    gpu = msgspec.structs.replace(
        GPU,
        uuid=f"GPU-{host}",
        power_limit_w=600.0 if run.cycle == 1 else 700.0,
        ecc=run.cycle > 2,
        temperature_c=chance.uniform(30, 60),
    )
    plain = make_result(run.config).environment_snapshot
    snapshot = msgspec.structs.replace(
        plain,
        host=host,
        gpus=(gpu,),
        load_average_1min=chance.random(),
        driver="570" if run.cycle < 4 else "580",
        packages={"torch": chance.choice(["2.8", "2.9"])},
    )
    energy_j = 100 * (1 + 0.02 * run.config.n) * chance.gauss(1, 0.01)
    gain = chance.choice([0.05, 0.02])
    power_w = chance.uniform(90, 690)
    figures: dict[str, Any] = {
        "environment_snapshot": snapshot,
        "started_at": f"2026-01-{run.cycle:02d}T{chance.randint(10, 23)}:00:00+00:00",
        "energy_total_j": energy_j,
        "energy_bound_j": chance.random(),
        "energy_estimated_j": energy_j * chance.random(),
        "energy_per_output_token_j": energy_j / 50,
        "energy_per_output_token_with_host_j": energy_j / 40,
        "energy_per_device_j": {gpu.uuid: energy_j},
        "energy_source_kind": "gpu",
        "energy_host_source": "rapl",
        "baseline_power_w": 80 * chance.gauss(1, 0.01),
        "tokens_per_second": 50 * chance.gauss(1, 0.01),
        "window_s": chance.uniform(0.9, 1.1),
        "counter_exactness": chance.choice(["exact", "unverified"]),
        "measurement_warnings": chance.choice([(), ("the GPU was hot",)]),
        "figures": {"energy_per_output_token_j": Quality("flagged", ("hot",))},
        "error_budget": ErrorBudget(edge_bound_j=1.0, sampling_j=None, gain_share=gain),
        "inputs": (InputDigest(role="model", name="m", sha256=chance.choice(models) * 64),),
        "data_realism": DataRealism(
            weights="random", tokens="random ids", chat_template=False, ends="forced"
        ),
        "quality": AnswerQuality(
            nll=chance.uniform(2, 2.2), tokens_sha256="0" * 64, choices=bytes(6),
            duration_s=chance.random(),
        ),
        "neighbours": (
            NeighbourGpu(
                uuid="GPU-9", power_start_w=90.0, power_before_window_w=power_w,
                power_end_w=power_w, n_processes=1,
            ),
        ),
    }  # fmt: skip
    return make_result(run.config, **figures)


@pytest.mark.parametrize("seed", range(4))
def test_the_facts_give_the_statistics_of_the_results(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    results: dict[int, ExperimentResult] = {}
    entries = []
    for run in schedule(STUDY):
        results[run.index] = result = measured(run, chance, models="a" if seed else "ab")
        entries.append(
            ManifestEntry(
                index=run.index, cycle=run.cycle, config_hash=run.config_hash, label=run.label, shard=run.cycle,
                session=1, status="completed", result_file=f"{run.index}/result.json", run_s=2.0, gap_s=1.0,
                started_at=result.started_at, ended_at=result.ended_at,
            )
        )  # fmt: skip
    manifest = StudyManifest(
        study_name="s", study_design_hash="0" * 16, versions={}, host="n1", pid=1, status="completed",
        started_at="2026-01-01T00:00:00+00:00", ended_at=None, directory="/", entries=tuple(entries),
        totals=Totals(**dict.fromkeys(Totals.__struct_fields__, 0)),
    )  # fmt: skip
    facts = FactsOfRuns()
    kept = {index: facts.of(result) for index, result in results.items()}
    whole, slim = (
        summarise(STUDY, Layout(tmp_path), manifest, Settings(), limits_enforced=True, results=each)
        for each in (results, kept)
    )
    assert slim == whole
    assert whole.summary.neighbours is not None
    assert whole.summary.comparisons is not None
    assert bool(whole.summary.comparisons.points) == bool(seed)
    assert bool(whole.summary.input_changes) != bool(seed)
    assert whole.measurement_protocol.gain_errors


def test_equal_parts_are_kept_once_though_the_load_differs() -> None:
    run = schedule(STUDY)[0]
    facts = FactsOfRuns()
    first, second = (
        facts.of(
            make_result(
                run.config,
                environment_snapshot=msgspec.structs.replace(
                    make_result(run.config).environment_snapshot,
                    load_average_1min=load,
                    gpus=(msgspec.structs.replace(GPU, temperature_c=load),),
                    packages={"torch": "2.9"},
                ),
            )
        )
        for load in (1.0, 2.0)
    )
    assert first.environment_snapshot is second.environment_snapshot
    assert first.config is second.config
    assert first.metered is second.metered


def test_every_fact_has_the_name_of_a_field_of_the_result_or_is_derived() -> None:
    derived = {"metered", "gain"}
    assert derived == set(RunFacts.__struct_fields__) - set(ExperimentResult.__struct_fields__)
