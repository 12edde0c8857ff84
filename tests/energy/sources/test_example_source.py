"""A source of another package is detected, metered and diagnosed without changes to llem (CM-11).

`tests/example_source` is a separate package. It is installed, beside the example backend, into a
folder that only the processes of these tests see.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from energy.parts import run_python
from workspace.repository import uv

from llem_config import load_study, measurement_config_hash
from llem_energy.sources import source_names

ROOT = Path(__file__).parents[3]
EXAMPLES = (ROOT / "tests" / "example_source", ROOT / "tests" / "example_backend")

STUDY = """
model: builtin:tiny-llama
backend: parrot
precision: fp32
n: 3
max_input_tokens: 12
max_output_tokens: 6
warmup: {n_warmup: 1, convergence_detection: false}
baseline: {enabled: false}
energy: {min_window_seconds: 1.0, sources: [steady]}
execution: {config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a process that sees both examples, and no RAPL counter."""
    folder = tmp_path_factory.mktemp("site")
    command = [uv(), "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run([*command, "--target", str(folder), *map(str, EXAMPLES)], check=True, timeout=60)
    return {"PYTHONPATH": str(folder), "LLEM_POWERCAP": str(folder / "absent")}


RUN = """
import sys
from llem_runner import run_study

if __name__ == "__main__":
    run_study(sys.argv[1], output=sys.argv[2])
"""


@pytest.fixture(scope="module")
def result(installed: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the result of a study that names the source."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_text(STUDY)
    (folder / "run.py").write_text(RUN)  # a file, since each run starts a process
    done = subprocess.run(
        [sys.executable, "run.py", "study.yaml", "results"],
        cwd=folder, env=os.environ | installed, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("results/*/*/result.json")
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def test_a_study_is_metered_by_the_example(result: dict[str, Any]) -> None:
    assert (result["energy_source"], result["energy_source_kind"]) == ("steady", "board")
    error_j = abs(result["energy_total_j"] - 80 * result["window_s"])
    assert error_j <= result["energy_bound_j"] + 0.01
    # Late readings on a busy machine widen the bound.
    assert result["energy_bound_j"] < 0.5 * result["energy_total_j"]
    assert result["energy_per_device_j"] == {"board-0": result["energy_total_j"]}
    (calibration,) = result["calibration"]
    assert (calibration["driver"], calibration["binding"]) == ("firmware 7", None)
    assert calibration["counter_period_s"] == pytest.approx(0.01, rel=0.5)
    assert result["error_budget"]["gain_share"] == 0.01
    (device,) = result["devices"]
    assert device["throttle_reasons"] == ["hardware thermal"]
    assert device["power_limit_w"] == 200


def test_a_board_gets_no_warning_about_gpus(result: dict[str, Any]) -> None:
    reasons = result["figures"]["energy_total_j"]["reasons"]
    assert not [reason for reason in reasons if "GPU" in reason]
    assert any("temperature" in reason for reason in reasons)  # a reason that it reports itself


def test_doctor_shows_the_example_beside_our_sources(installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "llem_cli", "doctor"]
    environment = os.environ | installed | {"COLUMNS": "200"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "steady board yes" in rows
    assert [row for row in rows if row.startswith("board-0 ") and " ± " in row]
    assert "steady firmware 7" in rows
    assert "problem: the board has firmware 7; update it to 8" in rows
    assert not [row for row in rows if row.startswith("problem: no energy")]


READ = """
import json, sys
from llem_config import ConfigError, load_study, measurement_config_hash

answers = []
for path in sys.argv[1:]:
    try:
        answers.append([measurement_config_hash(each) for each in load_study(path).experiments])
    except ConfigError as error:
        answers.append([fault.problem for fault in error.faults])
print(json.dumps(answers + ["llem_steady" in sys.modules]))
"""


def test_a_misspelt_source_is_a_mistake_in_the_file(
    installed: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.replace("[steady]", "[nvml, stedy]"))
    problems, is_imported = json.loads(run_python(READ, str(file), env=installed))
    assert problems == [
        "expected one of nvml, amd, rapl, none, steady, found 'stedy'; did you mean 'steady'?"
    ]
    assert not is_imported


def test_an_installed_source_changes_no_hash(installed: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("model: builtin:tiny-llama\nsweep: {energy.sources: [[nvml], [rapl, none]]}\n")
    hashes, _ = json.loads(run_python(READ, str(file), env=installed))
    assert hashes == [measurement_config_hash(each) for each in load_study(file).experiments]
    assert "steady" not in source_names()  # this process does not see the example


OPEN = """
import json, sys
from llem_energy.sources import open_source, source_names
answers = {"names": source_names()}
for name in sys.argv[1:]:
    source, reasons = open_source([name], ())
    answers[name] = [source and type(source).__module__, reasons]
print(json.dumps(answers))
"""


def package(site: Path, name: str, entry_points: str, code: str) -> None:
    """Put a package with energy sources into a folder, as an installer would."""
    described = site / f"{name}-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[llem.energy_sources]\n{entry_points}\n")
    (site / f"{name}_module.py").write_text(code)


def opened(site: Path, *names: str) -> dict[str, Any]:
    env = {"PYTHONPATH": str(site), "LLEM_POWERCAP": str(site / "absent")}
    answers: dict[str, Any] = json.loads(run_python(OPEN, *names, env=env))
    return answers


METER = """
import time
from llem_energy.sources import Sample, SourceVersions
class Meter:
    name, kind, devices, gain_share = "odd", "cpu", ("a", "b"), None
    def __init__(self, gpus): pass
    def versions(self): return SourceVersions()
    def read(self, *, details=False): return tuple(Sample(d, 0.0, 0.0) for d in self.devices)
    def power_limit_w(self, device): return None
    def close(self): pass
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_library", "cannot be imported (ModuleNotFoundError: No module named"),
        ("Meter = None", "failed to open it (TypeError: "),
        (METER.replace('"odd"', '"nvml"'), "expected a source named odd, found 'nvml'"),
        (METER.replace('"cpu"', '"tpu"'), "expected one of gpu, cpu, board as its kind, found"),
        (METER.replace("def close", "def shut"), "its source has no close"),
        (METER.replace("in self.devices)", "in 'ba')"), "one sample per device, in the order"),
        (
            METER.replace("Sample(d, 0.0, 0.0)", "d"),
            "expected a tuple of Sample from read(), found 'a' in it",
        ),
        (
            METER.replace("return tuple(", "list("),
            "expected a tuple of Sample from read(), found None",
        ),
        (METER.replace("(self, gpus): pass", "(self, gpus): 1 / 0"), "failed to open it (ZeroDiv"),
    ],
    ids=["import", "no class", "name", "kind", "method", "order", "samples", "no samples", "open"],
)
def test_a_broken_source_is_reported_in_one_sentence_with_its_package(
    tmp_path: Path, code: str, reason: str
) -> None:
    package(tmp_path, "broken", "odd = broken_module:Meter", code)
    module, reasons = opened(tmp_path, "odd")["odd"]
    assert module is None
    (sentence,) = reasons
    assert sentence.startswith("odd: the package broken, which provides it, ")
    assert reason in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "broken",
    [
        METER.replace('"cpu"', '"tpu"'),
        METER.replace("Sample(d, 0.0, 0.0)", "1 / 0"),
    ],
    ids=["kind", "read"],
)
def test_a_source_that_is_broken_after_opening_is_closed(tmp_path: Path, broken: str) -> None:
    code = broken.replace("close(self): pass", "close(self): open(__file__ + '.closed', 'w')")
    package(tmp_path, "broken", "odd = broken_module:Meter", code)
    assert opened(tmp_path, "odd")["odd"][0] is None
    assert (tmp_path / "broken_module.py.closed").exists()


def test_a_working_source_is_opened_and_an_unknown_one_is_not(
    tmp_path: Path,
) -> None:
    package(tmp_path, "fine", "odd = fine_module:Meter", METER)
    answers = opened(tmp_path, "odd", "absent")
    assert answers["odd"] == ["fine_module", []]
    assert answers["absent"][1][0].startswith("absent: no installed package provides it")
    assert answers["names"] == ["amd", "nvml", "rapl", "odd"]


def test_another_package_cannot_replace_our_sources(tmp_path: Path) -> None:
    names = "\n".join(f"{name} = thief_module:Meter" for name in ("nvml", "rapl", "none"))
    package(tmp_path, "thief", names, "raise AssertionError('this must not be imported')")
    answers = opened(tmp_path, "nvml", "rapl", "none")
    assert answers["names"] == ["amd", "nvml", "rapl"]
    assert answers["nvml"][1] == ["nvml: the experiment uses no GPU"]
    assert answers["rapl"][1][0].startswith("rapl: no energy counters below")
    assert answers["none"][1] == ["the experiment requests no energy source"]


def test_two_packages_cannot_provide_the_same_source(tmp_path: Path) -> None:
    package(tmp_path, "first", "odd = first_module:Meter", METER)
    package(tmp_path, "second", "odd = second_module:Meter", METER)
    module, reasons = opened(tmp_path, "odd")["odd"]
    assert (module, reasons) == (
        None,
        ["odd: the packages first and second both provide it; uninstall one of them"],
    )


DIAGNOSE = """
import json
from llem_config import Settings
from llem_energy.doctor import diagnose
print(json.dumps({s.name: [s.available, s.reason] for s in diagnose(Settings()).sources}))
"""
BREAKS_LATER = METER.replace("def read(", "n = 0\n    def read(").replace(
    "return tuple(", "self.n += 1; 1 / (4 - self.n); return tuple("
)


def test_doctor_continues_with_sources_that_fail(tmp_path: Path) -> None:
    raising = METER + "    @classmethod\n    def diagnose(cls): 1 / 0\n"
    package(tmp_path, "first", "raising = first_module:Meter", raising)
    package(tmp_path, "second", "wrong = second_module:Meter", raising.replace("1 / 0", "return 7"))
    package(tmp_path, "third", "odd = third_module:Meter", BREAKS_LATER)
    package(tmp_path, "fourth", "absent = fourth_module:Meter", "import no_such_library")
    env = {"PYTHONPATH": str(tmp_path), "LLEM_POWERCAP": str(tmp_path / "absent")}
    sources = json.loads(run_python(DIAGNOSE, env=env))
    assert list(sources) == ["amd", "nvml", "rapl", "absent", "odd", "raising", "wrong"]
    failed = ", which provides it, failed"
    assert sources["raising"][1].startswith(f"diagnose() of the package first{failed} (ZeroDiv")
    assert sources["wrong"][1].endswith(f"second{failed} (expected a SourceDiagnosis, found 7)")
    assert sources["odd"] == [
        False,
        "it failed while it was read (ZeroDivisionError: division by zero)",
    ]
    assert sources["absent"][1].startswith("the package fourth, which provides it, cannot be")


def test_only_the_sources_know_their_names() -> None:
    """Code that depends on a source uses its kind, gain and versions, never its name."""
    # They are defined and listed here, and Slurm has a plugin that is called `rapl` too.
    at_home = ("llem_energy/_sources", "llem_config/_spec", "llem_slurm/_node_energy")
    n_files = 0
    for path in (ROOT / "packages").glob("*/src/**/*.py"):
        if any(folder in path.as_posix() for folder in at_home):
            continue
        n_files += 1
        tree = ast.parse(path.read_text("utf-8"))
        constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert not constants & {"amd", "nvml", "rapl"}, path
    assert n_files > 100
