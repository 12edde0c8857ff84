"""Mistakes in a trace are reported, and the demo can be used from a shell."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu
from fakes.nvml_probe import Rig


@pytest.mark.parametrize(
    ("trace", "complaint"),
    [
        ("point 0 100\n", "1: expected `gpu`"),
        ("gpu 1\npoint 0 100\n", "1: expected `gpu` alone"),
        ("gpu\n", "1: a GPU has no point"),
        ("gpu\n# a comment\n\npoint 0 100 3\n", "4: unknown statement"),
        ("gpu\npoint 0 watts\n", "2: unknown statement"),
        ("gpu\npoint 0 100W\n", "2: unknown statement"),
        ("gpu\npoint nan 100\n", "2: unknown statement"),
        ("gpu\npoint 0 -1\n", "2: points need"),
        ("gpu\npoint 1 100\npoint 1 200\n", "3: points need"),
        ("gpu\npoint 0 100\nwatts 3\n", "3: unknown statement"),
        ("gpu\npoint 0 100\ncounter 0.1 0 0\n", "3: unknown statement"),
        ("gpu\npoint 0 100\ncounter 0 0 0 1\n", "3: periods must be above 0"),
        ("gpu\npoint 0 100\ncounter_seen 0.2\n", "3: the flaws of a counter"),
        ("gpu\npoint 0 100\ncounter_burst 0.1\n", "3: bursts of a counter"),
        ("gpu\npoint 0 100\ncounter_every 0 0 inf\n", "3: expected a whole number"),
        ("gpu\npoint 0 100\npower 0.1 -1 0\n", "3: periods must be above 0"),
        ("gpu\npoint 0 100\nrepeat inf\n", "3: expected a finite number"),
        ("gpu\npoint 0 100\npoint 2 100\nrepeat 1\n", "4: with repeat"),
        ("gpu\npoint 0 100\nshape curved\n", "3: expected step or linear"),
        ("gpu\npoint 0 100\nname\n", "3: expected a text"),
        ("gpu\npoint 0 100\nstall 2 1\n", "3: an interval must end"),
        ("gpu\npoint 0 100\nfault nvmlDeviceGetPowerUsge 3 0 1\n", "3: this fake has no such"),
        ("gpu\npoint 0 100\nfault printf 3 0 1\n", "3: this fake has no such"),
        ("gpu\npoint 0 100\nfault field:83x 3 0 1\n", "3: this fake has no such"),
        ("gpu\npoint 0 100\nfault field:83 0 0 1\n", "3: expected: fault FUNCTION"),
        ("gpu\npoint 0 100\nmissing nvmlDeviceGetFanSpeed\n", "3: this fake has no such"),
        ("gpu\npoint 0 100\nmissing nvmlDeviceGetName 3\n", "3: expected: missing FUNCTION"),
        ("gpu\npoint 0 100\nfault_call nvmlDeviceGetName 3 2 1\n", "3: an interval must end"),
        ("gpu\npoint 0 100\ncounter_jitter 0.05\n", "3: the jitter"),
        ("gpu\npoint 0 100\ncounter_quantum 0.5\n", "3: the quantum"),
        ("gpu\npoint 0 100\nsamples 0\n", "3: periods must be above 0"),
        ("gpu\npoint 0 100\ntemperature 1 40\ntemperature 0 50\n", "4: points need"),
        ("gpu\npoint 0 100\nprocess 0 4096\n", "3: unknown statement"),
        ("gpu\npoint 0 100\nprocess 9 4096 2 1\n", "3: an interval must end"),
    ],
)
def test_malformed_trace_fails_init_and_prints_one_line_with_the_position(
    rig: Rig, trace: str, complaint: str
) -> None:
    rig.trace.write_text(trace)
    done = rig.run(["nvmlInit()", "nvmlDeviceGetCount()"])
    assert json.loads(done.stdout) == ["NVMLError_Unknown", "NVMLError_Uninitialized"]
    assert done.stderr.startswith(f"fake_nvml: {rig.trace}:{complaint}")
    assert done.stderr.count("\n") == 1


def test_corrected_trace_is_read_by_the_next_init(rig: Rig) -> None:
    rig.trace.write_text("gpu\npoint 0 100\ngpu\npoint 0 watts\n")
    correction = f"open({str(rig.trace)!r}, 'w').write('gpu\\npoint 0 100\\n')"
    done = rig.run(["nvmlInit()", correction, "nvmlInit()", "nvmlDeviceGetCount()"])
    init, _, later_init, count = json.loads(done.stdout)
    assert (init, later_init, count) == ("NVMLError_Unknown", None, 1)


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"LLEM_FAKE_NVML": "/nowhere/gpus.trace"}, "cannot open the trace"),
        ({"LLEM_FAKE_NVML_EPOCH": "yesterday"}, "LLEM_FAKE_NVML_EPOCH is not a number"),
    ],
)
def test_wrong_environment_fails_init_and_prints_one_line(
    rig: Rig, extra: dict[str, str], complaint: str
) -> None:
    fake_nvml.write_trace(rig.trace, [FakeGpu()])
    done = Rig(rig.library, rig.trace, extra).run(["nvmlInit()"])
    assert json.loads(done.stdout) == ["NVMLError_Unknown"]
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_library_path_of_the_caller_follows_that_of_the_fake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/cuda/lib")
    assert fake_nvml.environment(tmp_path, tmp_path / "t")["LD_LIBRARY_PATH"] == (
        f"{tmp_path}:/opt/cuda/lib"
    )
    monkeypatch.delenv("LD_LIBRARY_PATH")
    assert fake_nvml.environment(tmp_path, tmp_path / "t")["LD_LIBRARY_PATH"] == str(tmp_path)


def test_error_without_a_compiler_names_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="needs a C compiler"):
        fake_nvml.build(tmp_path)


def test_a_shell_with_the_printed_exports_sees_the_demo_gpu(library: Path, tmp_path: Path) -> None:
    python, folder = shlex.quote(sys.executable), shlex.quote(str(tmp_path / "a folder"))
    program = shlex.quote(str(Path(fake_nvml.__file__)))
    ask = (
        "from pynvml import *; nvmlInit(); print(nvmlDeviceGetName(nvmlDeviceGetHandleByIndex(0)))"
    )
    script = f'set -e; eval "$({python} {program} {folder})"; {python} -c {shlex.quote(ask)}'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "Fake H200\n"
