"""A backend of another package is detected, checked, measured and swept like ours (CM-10).

`tests/example_backend` is a separate package. It is installed into a folder that only the
processes of these tests see.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from energy.parts import run_python, with_gpus
from fakes.fake_nvml import FakeGpu

from llem_config import ExperimentConfig, load_study, measurement_config_hash

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "tests" / "example_backend"
HEAVY = ("torch", "transformers", "llem_energy", "llem_parrot._backend")
PARROT = {"model": "builtin:tiny-llama", "backend": "parrot", "precision": "fp32", "n": 3}

STUDY = """
model: builtin:tiny-llama
backend: parrot
precision: fp32
n: 3
max_input_tokens: 12
max_output_tokens: 6
warmup: {n_warmup: 1, convergence_detection: false}
baseline: {enabled: false}
energy: {min_window_seconds: 0.0}
parrot: {batch_size: 2}
sweep:
  parrot.memory: [2, 5]
  parrot.mood: [literal, playful]
execution: {config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


def test_the_example_passes_every_check_and_broken_rules_are_detected(
    installed: dict[str, str],
) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "checks.py"]
    done = subprocess.run(
        command,
        cwd=EXAMPLE,
        env=os.environ | installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


MEASURED = """
import json, sys
from llem_config import ExperimentConfig
from llem_energy import measure

for section in json.loads(sys.argv[1]):
    config = json.loads(sys.argv[2]) | {"parrot": section}
    result = measure(ExperimentConfig.model_validate(config))
    used = result.effective_config
    print(json.dumps([result.output_tokens, result.input_tokens, used["memory"], used["playful"]]))
print(json.dumps(sorted({"torch", "transformers"} & set(sys.modules))))
"""


def test_the_example_is_measured_with_its_own_options(installed: dict[str, str]) -> None:
    config = {
        "backend": "parrot", "model": "builtin:tiny-llama", "precision": "fp32", "n": 3,
        "max_input_tokens": 12, "max_output_tokens": 6,
        "warmup": {"n_warmup": 1, "convergence_detection": False},
        "baseline": {"enabled": False}, "energy": {"min_window_seconds": 0.0},
    }  # fmt: skip
    sections = [{}, {"memory": 4, "mood": "playful"}]
    lines = run_python(MEASURED, json.dumps(sections), json.dumps(config), env=installed)
    plain, playful, heavy = (json.loads(line) for line in lines.splitlines())
    assert plain == [18, 36, None, False]
    assert playful == [18, 36, 4, True]
    assert heavy == []


RUN = """
import sys
from llem_runner import run_study

if __name__ == "__main__":
    result = run_study(sys.argv[1], output=sys.argv[2])
    print([point.label for point in result.summary.points])
    print(result.summary.completed, [p.tokens_per_second.n for p in result.summary.points])
"""


def test_a_study_sweeps_the_options_of_the_example(
    installed: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "run.py").write_text(RUN)  # a file, because each run imports it again
    done = subprocess.run(
        [sys.executable, "run.py", "study.yaml", "results"],
        cwd=tmp_path, env=os.environ | installed, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    labels, completed = done.stdout.splitlines()
    assert completed == "4 [1, 1, 1, 1]"
    assert labels.count("memory") == 4
    results = sorted(tmp_path.glob("results/*/*/result.json"))
    settings = [json.loads(path.read_text())["effective_config"] for path in results]
    assert {(used["memory"], used["playful"]) for used in settings} == {
        (2, False), (2, True), (5, False), (5, True),
    }  # fmt: skip


READ = """
import json, sys
from llem_config import ConfigError, load_study, measurement_config_hash

studies = {}
for path in sys.argv[1:]:
    try:
        study = load_study(path)
        points = [measurement_config_hash(config) for config in study.experiments]
        studies[path] = {"points": points, "skipped": [point.reason for point in study.skipped]}
    except ConfigError as error:
        studies[path] = {"faults": [f"{f.line}: {f.key}: {f.problem}" for f in error.faults]}
studies["heavy"] = [name for name in %r if name in sys.modules]
print(json.dumps(studies))
""" % (HEAVY,)  # noqa: UP031  # the program contains braces


def read(tmp_path: Path, env: dict[str, str], **files: str) -> dict[str, Any]:
    """Return the points or the faults of each study file, as another process reads it."""
    paths = {name: tmp_path / f"{name}.yaml" for name in files}
    for name, text in files.items():
        paths[name].write_text(text)
    studies = json.loads(run_python(READ, *map(str, paths.values()), env=env))
    return {name: studies[str(path)] for name, path in paths.items()} | {"heavy": studies["heavy"]}


PYTORCH = """model: builtin:tiny-llama
sweep: {precision: [fp32, bf16], pytorch.batch_size: [1, 8]}
"""
BOTH = STUDY.replace("backend: parrot", "backend: [pytorch, parrot]")


def test_mistakes_in_the_options_of_the_example_are_reported_like_any_other(
    installed: dict[str, str], tmp_path: Path
) -> None:
    studies = read(
        tmp_path,
        installed,
        key=STUDY.replace("parrot: {batch_size", "parrot: {batchsize"),
        value=STUDY.replace("[literal, playful]", "[literal, playfull]"),
        kind=STUDY.replace("[2, 5]", "[2, five]"),
        backend=STUDY.replace("backend: parrot", "backend: parot"),
        precision=STUDY.replace("precision: fp32", "precision: bf16"),
        beams=STUDY.replace("sweep:", "sweep:\n  pytorch.num_beams: [1, 2]"),
        both=BOTH,
        pytorch=PYTORCH,
    )
    assert studies["key"]["faults"] == ["11: parrot.batchsize: unknown key 'batchsize'; did you mean"
                                      " 'batch_size'?"]  # fmt: skip
    assert studies["value"]["faults"] == [
        "14: sweep.parrot.mood[1]: expected one of literal, playful, found 'playfull'; did you mean"
        " 'playful'?"
    ]
    assert studies["kind"]["faults"] == [
        "13: sweep.parrot.memory[1]: expected a whole number >= 1, found 'five'"
    ]
    assert studies["backend"]["faults"][0] == (
        "3: backend: expected one of pytorch, vllm, tensorrt, parrot, found 'parot'; did you mean"
        " 'parrot'?"
    )
    assert studies["beams"]["faults"] == [
        "13: sweep.pytorch.num_beams: this study does not use pytorch, only parrot"
    ]
    # The axes of the parrot multiply only its points: one point of pytorch, four of the parrot.
    assert len(studies["both"]["points"]) == 5
    assert studies["heavy"] == []


def test_unsupported_points_of_the_example_are_skipped_with_the_reason(
    installed: dict[str, str], tmp_path: Path
) -> None:
    text = STUDY.replace("precision: fp32", "").replace(
        "sweep:", "sweep:\n  precision: [fp32, bf16]"
    )
    result = read(tmp_path, installed, precisions=text)["precisions"]
    assert len(result["points"]) == 4
    assert set(result["skipped"]) == {"parrot does not support bf16"}


def test_the_example_does_not_change_the_hashes_of_other_studies(
    installed: dict[str, str], tmp_path: Path
) -> None:
    studies = read(tmp_path, installed, pytorch=PYTORCH, both=BOTH)
    study = load_study(tmp_path / "pytorch.yaml")
    assert studies["pytorch"]["points"] == [
        measurement_config_hash(config) for config in study.experiments
    ]
    assert "parrot" not in ExperimentConfig.model_fields  # this process does not see the example
    assert len(set(studies["both"]["points"]) - set(studies["pytorch"]["points"])) >= 4


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("Section = dict", "expected a pydantic model"),
        ("from pydantic import BaseModel\nclass Section(BaseModel): pass", 'extra="forbid"'),
    ],
)
def test_a_broken_package_breaks_only_the_studies_that_use_it(
    tmp_path: Path, module: str, reason: str
) -> None:
    site = tmp_path / "site"
    metadata = site / "broken-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[llem.sections]\nbroken = broken_one:Section\n")
    (site / "broken_one.py").write_text(module)
    text = "model: builtin:tiny-llama\nbackend: broken\n"
    studies = read(tmp_path, {"PYTHONPATH": str(site)}, pytorch=PYTORCH, broken=text)
    assert len(studies["pytorch"]["points"]) == 4
    (fault, *_) = studies["broken"]["faults"]
    assert "; the section of its package cannot be used: " in fault
    assert reason in fault


PREFLIGHT = """
import json, sys
from pathlib import Path
from llem_config import ExperimentConfig, StudyConfig
from llem_runner.events import PreflightWarning
from llem_runner import PreflightError, run_study
folder = Path(sys.argv[1])
(folder / "config.json").write_text("{}")
base = {"backend": "parrot", "precision": "fp32", "n": 1, "dataset": "synthetic"}
def point(model):
    return ExperimentConfig.model_validate({**base, "model": model})
def reported(*models):
    events = []
    try:
        study = StudyConfig(experiments=tuple(map(point, models)))
        study = study.model_copy(update={"execution": study.execution.model_copy(
            update={"config_gap_seconds": 0.0})})
        run_study(study, output=folder / "results", on_event=events.append)
    except PreflightError as error:
        return list(error.failures)
    return [e.warning for e in events if isinstance(e, PreflightWarning) and "parrot" in e.warning]
if __name__ == "__main__":
    print(json.dumps([reported(str(folder)), reported("builtin:tiny-llama", str(folder))]))
"""


def test_requirements_of_the_example_are_reported_before_the_study_starts(
    installed: dict[str, str], tmp_path: Path
) -> None:
    program = tmp_path / "preflight.py"
    program.write_text(PREFLIGHT)
    done = subprocess.run(
        [sys.executable, program, tmp_path],
        env=os.environ | installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alone, with_another = json.loads(done.stdout)
    sentence = f"the parrot takes its vocabulary from a builtin model, found '{tmp_path}'"
    assert alone == [sentence]
    (line,) = with_another
    assert line.startswith(f"will fail: {sentence} (in 1 of 2 points, the first is model=")


FACTS = """
import json, sys
from llem_config import ExperimentConfig
from llem_energy.models import estimate_memory
from llem_energy.backends import facts_of
from llem_energy.preflight import find_machine, gpus_used

machine = find_machine()
answers = []
for section in json.loads(sys.argv[2]):
    config = ExperimentConfig.model_validate({**json.loads(sys.argv[1]), "parrot": section})
    estimate = estimate_memory(config)
    answers.append({
        "locked": list(gpus_used([config], machine)),
        "memory": None if estimate is None else estimate.total_bytes,
        "without_gpu": list(facts_of("parrot").requirements(config, has_gpu=False)),
    })
heavy = ["llem_parrot._backend", "llem_energy._backends.pytorch.facts", "torch"]
print(json.dumps([answers, [name for name in heavy if name in sys.modules]]))
"""


def test_facts_of_the_example_decide_on_locks_memory_and_requirements(
    installed: dict[str, str], library: Path, tmp_path: Path
) -> None:
    sections = [{}, {"device": "cpu", "memory": 5, "batch_size": 2}, {"device": "gpu"}]
    answers, heavy = with_gpus(
        FACTS, library, [FakeGpu(uuid="GPU-a"), FakeGpu(uuid="GPU-b")], tmp_path,
        json.dumps(PARROT), json.dumps(sections), env=installed,
    )  # fmt: skip
    assert answers == [
        {"locked": [], "memory": None, "without_gpu": []},
        {"locked": [], "memory": 2 * 5 * 8, "without_gpu": []},
        {
            "locked": ["GPU-a", "GPU-b"],
            "memory": None,
            "without_gpu": ["a parrot on a GPU needs a GPU, but there is none"],
        },
    ]
    assert heavy == []


WITH_LOCK = """
import json, sys
from pathlib import Path
from llem_config import StudyConfig
from llem_energy.sources import gpu_uuids
from llem_runner import StudyLocked, run_study
from llem_runner._gpus.locks import hold_gpus

if __name__ == "__main__":
    (uuid,) = gpu_uuids()
    outcomes = []
    for section in ({"device": "cpu"}, {"device": "gpu"}):
        point = {**json.loads(sys.argv[1]), "parrot": section}
        study = StudyConfig(experiments=[point])
        with hold_gpus([uuid]):
            try:
                result = run_study(study, output=sys.argv[2])
                outcomes.append(result.status)
            except StudyLocked:
                outcomes.append("locked")
    print(json.dumps(outcomes))
"""


def test_a_study_of_the_example_on_the_cpu_runs_beside_one_that_holds_the_gpu(
    installed: dict[str, str], library: Path, tmp_path: Path
) -> None:
    """Another study has locked the only GPU; a study on the CPU does not wait for it."""
    point = PARROT | {
        "warmup": {"n_warmup": 1, "convergence_detection": False},
        "baseline": {"enabled": False},
        "energy": {"min_window_seconds": 0.0},
    }
    gpu = FakeGpu(uuid=f"GPU-parrot-{os.getpid()}")
    outcomes = with_gpus(
        WITH_LOCK, library, [gpu], tmp_path, json.dumps(point), str(tmp_path / "results"),
        env=installed,
    )  # fmt: skip
    assert outcomes == ["completed", "locked"]
