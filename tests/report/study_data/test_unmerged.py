"""A divided study whose last runs ended after the last merge: what they change is not overlooked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fakes.results import make_result
from fakes.shard_studies import divided

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_report._study_data.read import read_study_data
from llem_runner.executors import InlineExecutor
from llem_runner.shards import is_merged, merge_study, run_shard


def first(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    return make_result(config)


def with_other_prompts(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    return make_result(config, prompts_sha256="1" * 64, started_at="2026-01-02T00:00:00+00:00")


def test_what_changed_since_the_last_merge_is_known(tmp_path: Path) -> None:
    plan = divided(tmp_path, n=1)
    *shards, last = [shard.number for shard in plan.shards]
    for shard in shards:
        run_shard(plan.folder, shard, executor=InlineExecutor(), measure=first)
    merge_study(plan.folder)
    files = [plan.folder / name for name in ("manifest.json", "study_result.json")]
    earlier = [file.read_bytes() for file in files]
    run_shard(plan.folder, last, executor=InlineExecutor(), measure=with_other_prompts)
    merged = read_study_data(plan.folder)
    assert any("another set of prompts" in change for change in merged.input_changes)
    # As if the last two tasks had each missed the end of the other, or could not merge.
    for file, content in zip(files, earlier, strict=True):
        file.write_bytes(content)
    assert not is_merged(plan.folder)
    assert read_study_data(plan.folder).input_changes == merged.input_changes
    for file in files:
        file.unlink()
    assert read_study_data(plan.folder).input_changes == merged.input_changes
    assert not any(file.exists() for file in files)
