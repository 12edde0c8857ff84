"""Pre-flight checks run before any file is written (CM-10); studies lock their GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import fake_nvml, measures
from fakes.studies import experiment, study

from llem_config import ExperimentConfig, Settings, StudyConfig
from llem_energy.models import builtin_architecture
from llem_energy.preflight import Machine, gpus_used
from llem_runner import PreflightError, run_study
from llem_runner.events import Event, PreflightWarning, StudyStarted


def failures(tmp_path: Path, *configs: ExperimentConfig) -> tuple[str, ...]:
    with pytest.raises(PreflightError) as caught:
        run_study(
            StudyConfig(experiments=configs), output=tmp_path / "results", measure=measures.quick
        )
    assert not (tmp_path / "results").exists()
    return caught.value.failures


def test_more_than_one_backend_is_a_hard_error(tmp_path: Path) -> None:
    vllm = ExperimentConfig(model="a/b", backend="vllm")
    lines = failures(tmp_path, experiment(), vllm)
    assert any("one backend" in line and "pytorch and vllm" in line for line in lines)


def test_a_backend_without_a_package_is_an_error(tmp_path: Path) -> None:
    (line,) = failures(tmp_path, ExperimentConfig(model="a/b", backend="vllm"))
    assert "vllm" in line
    assert "pytorch" in line


def test_every_failure_is_reported_at_once(tmp_path: Path) -> None:
    lines = failures(
        tmp_path,
        experiment(model=str(tmp_path / "nowhere")),
        experiment(model=str(tmp_path / "nothing")),
        experiment(dataset=str(tmp_path / "missing.jsonl")),
    )
    text = "\n".join(lines)
    assert "nowhere" in text
    assert "nothing" in text
    assert "missing.jsonl" in text


def test_a_failure_of_some_points_says_which(tmp_path: Path) -> None:
    here, on_gpu = experiment(), [experiment(n=n, pytorch={"device": "cuda"}) for n in (5, 6)]
    nowhere = experiment(model=str(tmp_path / "nothing"), weights="random")
    lines = failures(tmp_path, here, *on_gpu, nowhere)
    first = "the first is model=builtin:tiny-llama n=5 pytorch.device=cuda"
    assert any(
        line.endswith(f"doctor` shows the reason (in 2 of 4 points, {first})") for line in lines
    )
    assert any("nothing" in line and "(in 1 of 4 points, " in line for line in lines)
    assert all(" points, " not in line for line in failures(tmp_path, nowhere))  # all points fail


def test_a_missing_model_that_is_its_own_draft_model_is_one_failure(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    options = {"device": "cpu", "assistant_model": nowhere}
    twice = experiment(model=nowhere, pytorch=options)
    assert failures(tmp_path, twice) == (
        f"there is no model folder {nowhere}; correct the path, or use a hub id",
    )
    first, _ = failures(tmp_path, twice, experiment(model=f"{nowhere}2"))
    assert first.startswith(
        f"there is no model folder {nowhere}; correct the path, or use a hub id (in 1 of 2 points, "
    )


def test_a_missing_revision_affects_only_its_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--some--model" / "snapshots" / "v1"
    snapshot.mkdir(parents=True)
    revisions = ({"device": "cpu", "revision": r} for r in ("v2", "v1"))
    cached_and_missing = [experiment(model="some/model", pytorch=options) for options in revisions]
    for points in (cached_and_missing, cached_and_missing[::-1]):
        (line,) = failures(tmp_path, *points)
        assert line.endswith("(in 1 of 2 points, the first is pytorch.revision=v2)")


def test_pre_flight_loads_no_inference_library(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fakes.studies import experiment, study\n"
        "from llem_energy.preflight import find_machine\n"
        "from llem_runner._study.preflight import check\n"
        "options = {'device': 'cpu', 'load_in_4bit': True, 'torch_compile': True}\n"
        "study_config = study().model_copy(update={'experiments': (experiment(pytorch=options),)})\n"
        "check(study_config.model_copy(update={'experiments': (*study().experiments, *study_config.experiments)}),\n"
        "      Path(sys.argv[1]), find_machine())\n"
        "loaded = {'torch', 'transformers', 'bitsandbytes'} & set(sys.modules)\n"
        "assert 'llem_energy._backends.pytorch.requirements' in sys.modules and not loaded, loaded\n"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], env=env, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_a_model_that_is_not_cached_is_an_error_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (line,) = failures(tmp_path, experiment(model="some/model"))
    assert "HF_HUB_OFFLINE" in line


def test_a_missing_gpu_is_an_error(tmp_path: Path) -> None:
    (line,) = failures(tmp_path, experiment(pytorch={"device": "cuda"}))
    assert "no NVIDIA GPU was found" in line


def test_weights_larger_than_the_memory_are_reported_with_the_other_failures(
    tmp_path: Path,
) -> None:
    architecture = builtin_architecture("builtin:tiny-llama") or {}
    huge = {"vocab_size": 10**8, "intermediate_size": 10**7, "num_hidden_layers": 10**4}
    (tmp_path / "config.json").write_text(json.dumps({**architecture, **huge}))
    large = experiment(model=str(tmp_path), weights="random")
    lines = failures(tmp_path, experiment(model=str(tmp_path / "nothing")), large)
    assert any("nothing" in line for line in lines)
    assert any("for its weights alone, but the device has" in line for line in lines)


def test_memory_that_may_not_be_enough_is_a_warning_before_the_study_starts(
    tmp_path: Path,
) -> None:
    many = {"n": 10**7, "pytorch": {"device": "cpu", "batch_size": 10**7}}
    none = {"energy": {"sources": ["none"]}}
    points = (experiment(**none), experiment(**none, **many))
    study_config = study().model_copy(update={"experiments": points})
    events: list[Event] = []
    result = run_study(
        study_config, output=tmp_path, measure=measures.quick, on_event=events.append
    )
    assert result.status == "completed"
    first, second, *rest = events
    assert isinstance(first, PreflightWarning)
    assert first.warning.startswith("the memory may be too small: the estimate is up to ")
    assert "(in 1 of 2 points, the first is " in first.warning
    assert isinstance(second, PreflightWarning)
    assert second.warning.startswith("the points will not be compared: expected at least ")
    assert isinstance(rest[0], StudyStarted)
    assert not any(isinstance(event, PreflightWarning) for event in rest)


def test_points_that_cannot_run_are_warnings_unless_no_point_can_run(
    tmp_path: Path,
) -> None:
    pinned = experiment(pytorch={"device": "cpu", "revision": "v2"})
    packed = experiment(weights="random", pytorch={"device": "cpu", "load_in_8bit": True})
    study_config = study().model_copy(update={"experiments": (experiment(), pinned, packed)})
    events: list[Event] = []
    result = run_study(
        study_config, output=tmp_path, measure=measures.quick, on_event=events.append
    )
    assert result.status == "completed"  # measured by a stand-in; the real backend refuses them
    warnings = [event.warning for event in events if isinstance(event, PreflightWarning)]
    of_revision = "revision v2 has no effect on builtin:tiny-llama, which is not on a hub"
    of_weights = "load_in_8bit needs pretrained weights, found weights: random"
    where = "in 1 of 3 points, the first is"
    assert f"will fail: {of_revision} ({where} pytorch.revision=v2)" in warnings
    assert f"will fail: {of_weights} ({where} pytorch.load_in_8bit=true)" in warnings
    lines = failures(tmp_path / "none", pinned, packed)
    assert any(line.startswith(f"{of_revision} (in 1 of 2 points") for line in lines)
    assert any(line.startswith(f"{of_weights} (in 1 of 2 points") for line in lines)


def test_a_gpu_that_all_points_need_but_nvml_does_not_list_is_only_a_warning(
    tmp_path: Path, no_meter: dict[str, str]
) -> None:
    """The inference library may find a GPU; otherwise a few failures in a row end the study."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fakes.studies import experiment\n"
        "from llem_config import StudyConfig\n"
        "from llem_energy.preflight import find_machine\n"
        "from llem_runner._study.preflight import check\n"
        "options = {'device': 'auto', 'cache_implementation': 'offloaded'}\n"
        "points = tuple(experiment(pytorch=options, n=n) for n in (1, 2))\n"
        "report = check(StudyConfig(experiments=points), Path(sys.argv[1]), find_machine())\n"
        "assert report.expected_failures == frozenset(), report\n"
        "assert any(w.startswith('will fail: cache_implementation') for w in report.warnings)\n"
    )
    env = os.environ | no_meter | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], env=env, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_expected_failures_do_not_end_a_study(tmp_path: Path) -> None:
    doomed = experiment(n=measures.BAD_N, pytorch={"device": "cpu", "revision": "v2"})
    study_config = study(n_cycles=3, max_consecutive_failures=2, cycle_order="sequential")
    study_config = study_config.model_copy(update={"experiments": (doomed, experiment())})
    result = run_study(study_config, output=tmp_path, measure=measures.fails_at_bad_n)
    assert (result.status, result.summary.failed, result.summary.completed) == ("failed", 3, 3)
    unexpected = study_config.model_copy(
        update={"experiments": (experiment(n=measures.BAD_N), experiment())}
    )
    result = run_study(unexpected, output=tmp_path, measure=measures.fails_at_bad_n)
    assert (result.status, result.summary.failed, result.summary.completed) == ("aborted", 2, 0)


@pytest.mark.parametrize(("n_input", "warned"), [(4093, False), (4094, True)])
def test_sequences_beyond_the_context_length_cause_a_warning_before_the_study_starts(
    tmp_path: Path, n_input: int, warned: bool
) -> None:
    points = (experiment(), experiment(max_input_tokens=n_input))  # plus 4 output tokens
    study_config = study().model_copy(update={"experiments": points})
    events: list[Event] = []
    run_study(study_config, output=tmp_path, measure=measures.quick, on_event=events.append)
    warnings = [event.warning for event in events if isinstance(event, PreflightWarning)]
    too_long = [line for line in warnings if "sequences of up to 4098 tokens exceed" in line]
    assert len(too_long) == warned
    assert all("the context length of builtin:tiny-llama (4096 tokens)" in w for w in too_long)


def test_a_misspelt_setting_is_a_warning_before_the_study_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLEM_CONFIG_GAP_SECONDS", "5")
    events: list[Event] = []
    run_study(study(), output=tmp_path, measure=measures.quick, on_event=events.append)
    text = "LLEM_CONFIG_GAP_SECONDS has no effect; did you mean LLEM_EXECUTION__CONFIG_GAP_SECONDS?"
    assert PreflightWarning(f"the environment variable {text}") in events


def test_missing_energy_sources_are_a_warning_before_the_study_starts(tmp_path: Path) -> None:
    sources = (["rapl"], ["none"], ["nvml"])  # a study on the CPU has no GPU to meter
    points = tuple(experiment(n=n, energy={"sources": s}) for n, s in enumerate(sources, 1))
    study_config = study().model_copy(update={"experiments": points})
    events: list[Event] = []
    run_study(study_config, output=tmp_path, measure=measures.quick, on_event=events.append)
    warnings = [event.warning for event in events if isinstance(event, PreflightWarning)]
    start = "no energy will be measured: nvml: the experiment uses no GPU (in 1 of 3 points, "
    assert any(warning.startswith(start) for warning in warnings)
    of_energy = [line for line in warnings if "no energy will be measured" in line]
    assert len(of_energy) == (1 if _can_read_rapl() else 2)
    assert isinstance(events[len(warnings)], StudyStarted)


def _can_read_rapl() -> bool:
    files = Path("/sys/class/powercap").glob("intel-rapl:*/energy_uj")
    return any(os.access(file, os.R_OK) for file in files)


_HOLDER = """
import sys
from pathlib import Path
from fakes import measures
from fakes.studies import study, experiment
from llem_config import StudyConfig
from llem_runner import StudyLocked, run_study
study_config = StudyConfig(experiments=(experiment(pytorch={"device": "auto"}),))
output = sys.argv[1]
def nested(config, **rest):
    # A second study on the same GPU during this run, as another user would start it.
    import subprocess
    code = subprocess.run([sys.executable, __file__, output + "/second", "inner"]).returncode
    assert code == 7, code
    return measures.quick(config, **rest)
if __name__ == "__main__":
    try:
        run_study(study_config, output=output, measure=measures.quick if sys.argv[2:] else nested)
    except StudyLocked as error:
        assert "GPU-" in str(error), error
        sys.exit(7)
"""


def test_two_studies_do_not_share_a_gpu(tmp_path: Path) -> None:
    try:
        library = fake_nvml.build(tmp_path)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    trace = tmp_path / "trace"
    fake_nvml.write_trace(trace, [fake_nvml.FakeGpu(uuid=f"GPU-test-{os.getpid()}")])
    script = tmp_path / "holder.py"
    script.write_text(_HOLDER)
    env = {
        **os.environ,
        **fake_nvml.environment(library, trace),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run([sys.executable, script, tmp_path / "results"], env=env, check=False)
    assert done.returncode == 0
    (folder,) = (tmp_path / "results").glob("study_*")
    assert (folder / "study_result.json").is_file()
    assert not (tmp_path / "results" / "second").exists()


def test_studies_on_the_cpu_lock_no_gpu_and_unknown_devices_lock_all() -> None:
    machine = Machine(settings=Settings(), visible_gpus=("GPU-a",))
    assert gpus_used(study().experiments, machine) == ()
    assert gpus_used([experiment(pytorch={"device": "auto"})], machine) == ("GPU-a",)
    assert gpus_used([ExperimentConfig(model="a/b", backend="vllm")], machine) == ("GPU-a",)


def test_a_rule_without_effect_is_reported_before_the_first_run(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "model: builtin:tiny-llama\npytorch: {device: cpu}\nenergy: {sources: [none]}\n"
        "sweep: {n: [1]}\nexclude: [{n: 3}]\nexecution: {config_gap_seconds: 0}\n"
    )
    events: list[Event] = []
    run_study(path, output=tmp_path / "results", measure=measures.quick, on_event=events.append)
    warnings = [event.warning for event in events if isinstance(event, PreflightWarning)]
    assert f"{path}:5:11: exclude[0]: this rule matches no point; " in warnings[0]
