"""The batch script: what it asks for, and that the same settings give the same text."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from slurm.plans import plan_of

from llem_config import ConfigError, ExperimentConfig
from llem_config.settings_file import write_setting
from llem_runner._shards.planned_files import needs_of
from llem_slurm import Slurm, SlurmSettings

FOLDER = Path("/data/study_20260131T120000Z_4f2a")
SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=llem-study_20260131T120000Z_4f2a
#SBATCH --array=1,3-5%2
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gres=gpu:a100:2
#SBATCH --partition=gpu
#SBATCH --mem=64G
#SBATCH --time=1:30:00
#SBATCH --exclusive
#SBATCH --exclude=n7,n8
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=/data/study_20260131T120000Z_4f2a/cluster/slurm/%A_%a.out
#SBATCH --signal=B:USR2@120
#SBATCH --mail-type=END
export HF_HUB_OFFLINE=1 PYTHONNOUSERSITE=1
trap '' USR2
module load cuda
exec apptainer exec --nv image.sif /opt/py -m llem_cli study shard \
/data/study_20260131T120000Z_4f2a "$SLURM_ARRAY_TASK_ID"
"""
ALL = {
    "partition": "gpu",
    "gpu_type": "a100",
    "mem": "64G",
    "time": "1h30m",
    "at_most": 2,
    "excluded_nodes": ["n7", "n8"],
    "extra": ["--mail-type=END"],
    "prologue": ["module load cuda"],
    "python": "/opt/py",
    "container": "apptainer exec --nv image.sif",
    "max_array": 1000,
}


def rendered(folder: Path, shards: list[int], **options: object) -> dict[str, str]:
    n = max(shards)
    plan = plan_of(folder, n, n_gpus=2, alone=True)
    return Slurm({"max_array": 1000, **options}).render(plan, shards).files


def test_the_script_asks_for_what_the_settings_say() -> None:
    files = rendered(FOLDER, [5, 1, 3, 4], **ALL)
    assert files == {"cluster/slurm/batch.sh": SCRIPT}


def test_arguments_of_the_shards_follow_their_number() -> None:
    plan = msgspec.structs.replace(plan_of(FOLDER, 2), arguments=("--retry", "2"))
    (text,) = Slurm({"max_array": 1000, "python": "py"}).render(plan, [1]).files.values()
    assert text.endswith(f'study shard {FOLDER} "$SLURM_ARRAY_TASK_ID" --retry 2\n')


def test_without_settings_only_what_the_study_needs_is_asked_for() -> None:
    plan = plan_of(FOLDER, 2)
    made = Slurm({"max_array": 1000}).render(plan, [1, 2])
    (text,) = made.files.values()
    for option in ("gres", "partition", "exclusive", "mem", "constraint", "account"):
        assert f"--{option}" not in text
    assert "--array=1-2\n" in text
    assert made.commands == (("sbatch", "--parsable", f"{FOLDER}/cluster/slurm/batch.sh"),)
    assert "share the nodes" in made.notes[0]


def test_indices_that_are_too_large_become_arrays_with_an_offset() -> None:
    files = rendered(FOLDER, [1, 3, 4, 9], max_array=3)
    assert list(files) == [
        "cluster/slurm/batch.sh",
        "cluster/slurm/batch-3.sh",
        "cluster/slurm/batch-6.sh",
    ]
    assert "--array=1,3\n" in files["cluster/slurm/batch.sh"]
    assert "--array=1\n" in files["cluster/slurm/batch-3.sh"]
    assert '"$((SLURM_ARRAY_TASK_ID + 6))"' in files["cluster/slurm/batch-6.sh"]
    assert "--array=3\n" in files["cluster/slurm/batch-6.sh"]


@pytest.mark.parametrize("name", ["a b", "it's", 'two "words"', "100%", "$HOME", "`id`", "#x"])
def test_the_shell_starts_the_shard_of_any_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    (text,) = rendered(folder, [7], python="/bin/echo").values()
    done = subprocess.run(
        ["bash"], input=text, env={"SLURM_ARRAY_TASK_ID": "7"}, capture_output=True, text=True
    )
    assert done.stdout == f"-m llem_cli study shard {folder} 7\n"


def test_a_folder_that_no_script_can_name_is_an_obstacle(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "two\nlines")
    assert any("line break" in problem for problem in Slurm({}).obstacles(plan))


@pytest.mark.parametrize(("time", "is_refused"), [("2m", True), ("90s", True), ("3m", False)])
def test_a_time_limit_that_the_warning_fills_is_an_obstacle(
    tmp_path: Path, time: str, is_refused: bool
) -> None:
    problems = Slurm({"time": time}).obstacles(plan_of(tmp_path))
    assert any("more than clusters.slurm.warn_seconds (120 s)" in p for p in problems) is is_refused
    assert not any(
        "warn_seconds" in p
        for p in Slurm({"time": "2m", "warn_seconds": 30}).obstacles(plan_of(tmp_path))
    )


def test_a_model_on_all_gpus_of_a_job_needs_their_number(tmp_path: Path) -> None:
    points = [{"pytorch": {"device": "cuda", "device_map": name}} for name in (None, "auto")]
    configs = [ExperimentConfig.model_validate({"model": "x", **point}) for point in points]
    for needs, is_refused in ((needs_of(configs[:1]), False), (needs_of(configs), True)):
        plan = msgspec.structs.replace(plan_of(tmp_path), needs=needs)
        problems = Slurm({}).obstacles(plan)
        assert any("clusters.slurm.gpus is not set" in p for p in problems) is is_refused
        assert not any("gpus" in problem for problem in Slurm({"gpus": 2}).obstacles(plan))


def test_without_sbatch_nothing_can_be_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (problem,) = Slurm({}).obstacles(plan_of(tmp_path, 20))
    assert problem.startswith("no Slurm here")
    assert "20 shards" in problem


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("partition", "'two words'", "that matches"),
        ("parttion", "gpu", "did you mean 'partition'"),
        ("time", "4", "such as 90m, 4h or 1d12h"),
        ("time", "30s", "at least a minute"),
        ("at_most", "0", "expected a whole number >= 1"),
        ("extra", "['--array=1-3']", "llem sets --array itself"),
        ("extra", "['-o x']", "llem sets --output itself"),
        ("extra", "['-a1-3']", "llem sets --array itself"),
        ("extra", "['--signal TERM']", "llem sets --signal itself"),
        ("extra", "['--clusters=other']", "the cluster of this machine only"),
        ("extra", "['-Mother']", "the cluster of this machine only"),
        ("extra", "['rm -rf x']", "expected an option of sbatch"),
        ("prologue", '["a\\nb"]', "that matches"),
        ("exclusive", "maybe", "expected true or false"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, problem: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"clusters:\n  slurm:\n    mem: 1G\n    {key}: {value}\n")
    monkeypatch.setenv("LLEM_CONFIG", str(file))
    with pytest.raises(ConfigError) as caught:
        _ = Slurm().settings
    (fault,) = caught.value.faults
    assert (fault.file, fault.line) == (file, 4)
    assert fault.key.startswith(f"clusters.slurm.{key}")
    assert problem in fault.problem


def test_an_option_replaces_a_setting_and_is_named_if_it_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("clusters:\n  slurm: {mem: 1G, time: 4h}\n")
    monkeypatch.setenv("LLEM_CONFIG", str(file))
    settings = Slurm({"time": "2h"}).settings
    assert (settings.mem, settings.time) == ("1G", "2h")
    with pytest.raises(ConfigError, match=r"<command line>: clusters\.slurm\.time: expected"):
        _ = Slurm({"time": "soon"}).settings


def test_a_variable_replaces_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLEM_CLUSTERS__SLURM__PARTITION", "gpu")
    monkeypatch.setenv("LLEM_CLUSTERS__SLURM__EXTRA", '["--nice=5"]')
    settings = Slurm().settings
    assert (settings.partition, settings.extra) == ("gpu", ("--nice=5",))
    monkeypatch.setenv("LLEM_CLUSTERS__SLURM__AT_MOST", "none")
    with pytest.raises(ConfigError, match="LLEM_CLUSTERS__SLURM__AT_MOST: expected a whole number"):
        _ = Slurm().settings


def test_config_set_writes_settings_of_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    monkeypatch.setenv("LLEM_CONFIG", str(file))
    file.write_text("devices:\n  gpus: [0]  # mine\n")
    write_setting("clusters.slurm.partition", "gpu")
    write_setting("clusters.slurm.prologue", "['module load cuda', 'source x']")
    write_setting("clusters.slurm.partition", "cpu")
    write_setting("devices.gpus", "[1]")
    assert file.read_text() == (
        "devices:\n  gpus: [1]  # mine\nclusters:\n  slurm:\n"
        '    prologue: ["module load cuda", "source x"]\n    partition: cpu\n'
    )
    settings = Slurm().settings
    assert (settings.partition, settings.prologue) == ("cpu", ("module load cuda", "source x"))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("clusters.slurm.partitions", "gpu", "did you mean 'partition'"),
        ("clusters.slurm.at_most", "many", "expected a whole number"),
        ("clusters.slrm.partition", "gpu", "did you mean 'slurm'"),
        ("clusters.slurm", "{}", "expected a setting"),
    ],
)
def test_config_set_refuses_what_a_cluster_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, problem: str
) -> None:
    monkeypatch.setenv("LLEM_CONFIG", str(tmp_path / "config.yaml"))
    with pytest.raises(ConfigError, match=problem):
        write_setting(key, value)
    assert not (tmp_path / "config.yaml").exists()


def test_jobs_of_a_plan_have_its_name() -> None:
    plan = plan_of(FOLDER)
    (text,) = rendered(FOLDER, [1]).values()
    assert f"--job-name=llem-{plan.name}\n" in text


def test_the_page_of_clusters_has_every_setting_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (`[^|]*`) \| `([^`]*)` \|", page, re.MULTILINE))
    stated = {name: rows[names] for names in rows for name in re.findall(r"`(\w+)`", names)}
    fields = SlurmSettings.model_fields.items()
    expected = {name: json.dumps(field.default).strip('"') for name, field in fields}
    assert stated == expected
