"""`llem-cli meter`: the energy of a command, of a process and of some seconds."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cli.conftest import Run
from cli.meter.conftest import GPU, Meter, Start
from fakes.fake_nvml import true_energy_j
from fakes.powercap import add_domain

_CLOCK_J = 4.0  # 400 W for 10 ms, by which the two clocks of this test may differ


def report_of(text: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(text)
    return report


def true_j(run: dict[str, Any], env: dict[str, str]) -> float:
    """Return the true energy of a run, from its start on the clock of the machine."""
    start_s = run["started_unix_s"] - time.time() + time.monotonic()
    start_s -= float(env["LLEM_FAKE_NVML_EPOCH"])
    return true_energy_j(GPU, start_s, start_s + run["duration_s"])


def test_the_energy_of_a_command_is_within_its_bound_of_the_truth(
    meter: Meter, gpu_env: dict[str, str]
) -> None:
    done = meter("--json", "--tokens", "200", "--", "sleep", "2.2")
    report = report_of(done.stdout)
    (measured,) = report["measured"]
    (run,) = measured["runs"]
    assert (done.returncode, report["source"], run["exit_code"]) == (0, "nvml", 0)
    assert run["duration_s"] >= 2.2
    assert run["energy_j"] == pytest.approx(true_j(run, gpu_env), abs=run["bound_j"] + _CLOCK_J)
    (device,) = run["devices"]
    assert device["device"] == "GPU-meter"
    assert device["power_mean_w"] == pytest.approx(run["energy_j"] / run["duration_s"])
    assert device["power_max_w"] <= 400
    assert measured["energy_per_token_j"] == pytest.approx(run["energy_j"] / 200)
    assert 0 <= run["cpu_time_s"] < 2


def test_output_input_and_exit_code_are_those_of_the_command(meter: Meter) -> None:
    script = "cat; echo error >&2; exit 7"
    done = meter("--", "sh", "-c", script, input="first\nsecond\n")
    assert (done.returncode, done.stdout) == (7, "first\nsecond\n")
    first, energy, *lines = done.stderr.splitlines()
    assert first == "error"
    assert energy.startswith("energy")
    assert " J, " in energy
    assert any(line.startswith("GPU-meter") and "peak" in line for line in lines)


def test_arguments_after_the_two_dashes_belong_to_the_command(meter: Meter) -> None:
    print_arguments = "import sys; print(sys.argv[1:])"
    arguments = ("--json", "--version", "--help", "--", "--runs", "3", "")
    done = meter("--", sys.executable, "-c", print_arguments, *arguments)
    assert (done.returncode, done.stdout) == (0, f"{list(arguments)}\n")


def test_a_command_that_a_signal_ends_gives_the_exit_code_of_a_shell(meter: Meter) -> None:
    done = meter("--", "sh", "-c", "kill -KILL $$")
    assert done.returncode == 128 + 9
    assert done.stderr.startswith("energy")


def test_the_json_of_the_command_is_not_mixed_with_ours_in_a_file(
    meter: Meter, tmp_path: Path
) -> None:
    done = meter("--output", "energy.json", "--", "echo", "{}")
    assert (done.returncode, done.stdout) == (0, "{}\n")
    report = report_of((tmp_path / "energy.json").read_text())
    assert report["measured"][0]["command"] == ["echo", "{}"]


def test_a_full_disk_costs_the_file_and_not_the_figures(
    llem: Run, no_meter: dict[str, str]
) -> None:
    done = llem("meter", "--output", "/dev/full", "--", "sh", "-c", "exit 3", **no_meter)
    assert done.returncode == 3
    assert done.stderr.startswith("energy")
    assert "warning: /dev/full was not written: No space left on device" in done.stderr


def test_a_stderr_that_cannot_be_written_does_not_cost_the_exit_code(start: Start) -> None:
    with Path("/dev/full").open("w") as full:
        process = start("--", "sh", "-c", "exit 6", stderr=full)
        process.communicate(timeout=120)
    assert process.returncode == 6


def test_without_a_meter_the_command_runs_and_the_energy_is_missing_with_the_reason(
    llem: Run, no_meter: dict[str, str]
) -> None:
    done = llem("meter", "--tokens", "5", "--", "sh", "-c", "echo out; exit 3", **no_meter)
    assert (done.returncode, done.stdout) == (3, "out\n")
    energy, per_token, *others = done.stderr.splitlines()
    assert energy.split() == ["energy", "missing"]
    assert per_token.split() == ["J/token", "missing"]
    (reason,) = [line for line in others if line.startswith("energy missing: ")]
    assert "NVIDIA driver" in reason
    done = llem("meter", "--json", "--", "true", **no_meter)
    report = report_of(done.stdout)
    (run,) = report["measured"][0]["runs"]
    assert (report["source"], run["energy_j"], run["status"]) == (None, None, "missing")
    assert report["measured"][0]["energy_j"] is None
    assert run["reasons"]
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "code", "problem"),
    [
        ("absent", None, 127, "command not found: ./absent; check its name and PATH"),
        ("text", "no program\n", 126, "file without permission to execute"),
        ("bad", "#!/absent/interpreter\n", 127, "the interpreter in its first line does not exist"),
        ("plain", "echo no\n", 126, "has no line #!"),
    ],
)
def test_a_command_that_cannot_be_started_gives_one_sentence(
    meter: Meter, tmp_path: Path, name: str, content: str | None, code: int, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o644 if name == "text" else 0o755)
    done = meter("--", f"./{name}")
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert problem in line


def test_a_span_of_time_is_measured_and_printed_to_stdout(
    meter: Meter, gpu_env: dict[str, str]
) -> None:
    done = meter("--for", "1.5s", "--json")
    (run,) = report_of(done.stdout)["measured"][0]["runs"]
    assert run["duration_s"] >= 1.5
    assert run["cpu_time_s"] is None
    assert run["energy_j"] == pytest.approx(true_j(run, gpu_env), abs=run["bound_j"] + _CLOCK_J)
    assert meter("--for", "0.2s").stdout.startswith("energy")


def test_a_process_that_runs_is_measured_to_its_end(meter: Meter, gpu_env: dict[str, str]) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            done = meter("--pid", str(process.pid), "--for", "0.5s", "--json")
            assert report_of(done.stdout)["measured"][0]["subject"] == f"process {process.pid}"
            assert process.poll() is None  # it is only watched
        finally:
            process.kill()
    # A process that ends by itself ends the measurement.
    with subprocess.Popen(["sleep", "8"]) as process:
        done = meter("--pid", str(process.pid), "--json")
        if done.returncode == 127:  # this machine took longer than that to start
            assert "expected the id of a process that runs" in done.stderr
            return
    (run,) = report_of(done.stdout)["measured"][0]["runs"]
    assert (done.returncode, run["exit_code"]) == (0, 0)
    assert run["energy_j"] == pytest.approx(true_j(run, gpu_env), abs=run["bound_j"] + _CLOCK_J)


def test_a_process_that_does_not_run_gives_one_sentence(meter: Meter) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    done = meter("--pid", str(process.pid))
    assert done.returncode == 127
    (line,) = done.stderr.splitlines()
    assert line == f"error: --pid: expected the id of a process that runs, found {process.pid}"


def test_the_processor_is_shown_beside_the_gpus_and_not_added(
    meter: Meter, gpu_env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "powercap").mkdir()
    counter = add_domain(tmp_path / "powercap", "intel-rapl:0", "package-0", 10**10)
    # 50 W: the counter moves every 20 ms. Its number of digits is constant, so no reader finds a part.
    moves = (
        "import os, sys, time\n"
        "file, start_s = os.open(sys.argv[1], os.O_WRONLY), time.time()\n"
        "while True:\n"
        "    time.sleep(0.02)\n"
        "    os.pwrite(file, b'%d' % (10**10 + int(50e6 * (time.time() - start_s))), 0)\n"
    )
    env = {**gpu_env, "LLEM_POWERCAP": str(tmp_path / "powercap")}
    with subprocess.Popen([sys.executable, "-S", "-c", moves, str(counter)]) as mover:
        try:
            done = meter("--json", "--", "sleep", "2", env=env)
        finally:
            mover.kill()
    (run,) = report_of(done.stdout)["measured"][0]["runs"]
    assert [device["device"] for device in run["devices"]] == ["GPU-meter"]
    assert run["energy_j"] == run["devices"][0]["energy_j"]
    # The counter is late by 20 ms, and by as long as this machine withholds its processor.
    assert run["host_energy_j"] == pytest.approx(50 * run["duration_s"], abs=50)
    assert run["host_bound_j"] is not None


def test_samples_are_written_as_parquet_and_as_csv(meter: Meter, tmp_path: Path) -> None:
    assert meter("--timeseries", "power.parquet", "--", "sleep", "1").returncode == 0
    table = pq.read_table(tmp_path / "power.parquet")
    assert set(table["device"].to_pylist()) == {"GPU-meter"}
    assert set(table["power_w"].to_pylist()) >= {150.0, 400.0}
    assert meter("--timeseries", "power.csv", "--", "sleep", "1").returncode == 0
    with (tmp_path / "power.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["device"] for row in rows} == {"GPU-meter"}
    assert rows[0].keys() == set(table.column_names)


def test_samples_that_cannot_be_written_are_reported(
    llem: Run, no_meter: dict[str, str], tmp_path: Path
) -> None:
    done = llem("meter", "--timeseries", "power.csv", "--", "true", **no_meter)
    assert done.returncode == 0
    assert "warning: power.csv was not written: nothing was metered" in done.stderr
    assert not (tmp_path / "power.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "expected a command after --, or --pid N, or --for 30s"),
        (("--for", "3x"), "--for: expected a time such as 90s, 30m or 8h, found '3x'"),
        (("--pid", "1", "--", "true"), "--pid: expected no command beside it"),
        (("--for", "1s", "--runs", "3"), "--runs, --warmup and --compare repeat a command"),
        (("--runs", "0", "--", "true"), "--runs: expected a whole number from 1"),
        (("--warmup", "-1", "--", "true"), "--warmup: expected a whole number from 0"),
        (("--tokens", "0", "--", "true"), "--tokens: expected a whole number above 0"),
        (("--gap", "soon", "--", "true"), "--gap: expected a time"),
        (("--compare", "sh 'x", "--", "true"), "--compare: expected a command"),
        (("--compare", "", "--", "true"), "--compare: expected a command, found none"),
        (("--compare", "absent-program", "--", "true"), "command not found: absent-program"),
        (("--timeseries", "x.txt", "--", "true"), "ends with .parquet or .csv: x.txt"),
        (("--timeseries", "no/x.csv", "--", "true"), "the folder of the file does not exist"),
        (("--output", ".", "--", "true"), "--output: expected a file, found a folder"),
        (("--gpus", "0,", "--", "true"), "--gpus: expected indices or UUIDs"),
        (("sleep", "1", "--quickly"), "Put -- before the command to measure."),
    ],
)
def test_wrong_flags_give_one_sentence_and_start_nothing(
    capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], problem: str
) -> None:
    from llem_cli._app import run

    assert run(["meter", *arguments]) in (2, 127)
    captured = capfd.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert problem in line


@pytest.mark.parametrize("gpus", ["7", "0,GPU-absent"])
def test_a_gpu_that_does_not_exist_is_a_wrong_flag_and_nothing_is_started(
    meter: Meter, tmp_path: Path, gpus: str
) -> None:
    done = meter("--gpus", gpus, "--", "touch", "started")
    assert (done.returncode, done.stdout) == (2, "")
    absent = gpus.rpartition(",")[2]
    assert f"--gpus: expected GPUs of this machine, found {absent}; it has 0 (GPU-meter)" in (
        " ".join(done.stderr.split())
    )
    assert not (tmp_path / "started").exists()
    assert meter("--gpus", "GPU-meter", "--", "true").returncode == 0


def test_without_a_driver_any_gpu_may_be_named(llem: Run, no_meter: dict[str, str]) -> None:
    done = llem("meter", "--gpus", "7", "--", "sh", "-c", "exit 3", **no_meter)
    assert done.returncode == 3
    assert done.stderr.startswith("energy")
