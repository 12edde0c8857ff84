"""A backend that keeps earlier prompts in a cache: prompts are read, or the result says how many were not.

The example backend has a real prefix cache, which knows the beginnings of all prompts that it has
read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from energy.parts import run_python, with_gpus
from fakes.fake_nvml import FakeGpu

from llem_energy._measurement.raw_measurement import GenerationRecord
from llem_energy.backends import Batch

PROGRAM = """
import json, sys
from pathlib import Path
import msgspec
from llem_config import ExperimentConfig, Settings
from llem_energy import measure

config = ExperimentConfig.model_validate_json(sys.argv[1])
settings = Settings.model_validate({"devices": {"gpus": [0]}})
result = measure(config, settings=settings, timeseries=Path(sys.argv[2]) / "timeseries.parquet")
print(msgspec.json.encode(result).decode())
"""
SYNTHETIC = {
    "backend": "parrot", "model": "builtin:tiny-llama", "precision": "fp32", "n": 3,
    "max_input_tokens": 12, "max_output_tokens": 6,
    "warmup": {"n_warmup": 3, "convergence_detection": False},
    "baseline": {"enabled": False}, "energy": {"min_window_seconds": 0.0},
}  # fmt: skip
PER_TOKEN = "energy_per_input_token_j"


def run(installed: dict[str, str], folder: Path, **changes: Any) -> dict[str, Any]:
    config = json.dumps(SYNTHETIC | changes)
    result: dict[str, Any] = json.loads(run_python(PROGRAM, config, str(folder), env=installed))
    return result


def texts(folder: Path, *lines: str) -> dict[str, Any]:
    """Return the part of an experiment that reads these lines as its prompts."""
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": line}) + "\n" for line in lines))
    return {"dataset": str(path), "n": len(lines)}


def cache_warnings(result: dict[str, Any]) -> list[str]:
    return [w for w in result["measurement_warnings"] if "cache" in w]


@pytest.mark.parametrize("cache", ["clearable", "permanent"])
def test_the_window_of_synthetic_prompts_takes_nothing_from_the_cache(
    installed: dict[str, str], tmp_path: Path, cache: str
) -> None:
    """The warm-up answered other prompts, and each pass has prompts of its own."""
    result = run(
        installed, tmp_path, parrot={"prefix_cache": cache}, energy={"min_window_seconds": 0.02}
    )
    assert result["n_repeats"] > 1
    assert result["input_tokens"] == 3 * 12 * result["n_repeats"]
    assert result["cached_input_tokens"] == 0
    assert cache_warnings(result) == []


def test_the_prompts_of_a_data_set_are_read_although_the_warm_up_and_each_pass_have_their_shapes(
    installed: dict[str, str], tmp_path: Path
) -> None:
    lines = [" ".join(f"{i}-{j}" for j in range(4 + i)) for i in range(5)]
    result = run(
        installed, tmp_path, **texts(tmp_path, *lines), parrot={"prefix_cache": "clearable"},
        energy={"min_window_seconds": 0.02},
    )  # fmt: skip
    assert result["n_repeats"] > 1
    assert result["input_tokens"] == (4 + 5 + 6 + 7 + 8) * result["n_repeats"]
    assert result["cached_input_tokens"] == 0
    assert cache_warnings(result) == []


def test_a_cache_that_cannot_be_emptied_answers_repeated_passes_and_the_result_has_its_share(
    installed: dict[str, str], tmp_path: Path
) -> None:
    lines = ("a b c d e f g h", "i j k l m n o p")
    result = run(
        installed, tmp_path, **texts(tmp_path, *lines), parrot={"prefix_cache": "permanent"},
        energy={"min_window_seconds": 0.02},
    )  # fmt: skip
    n_later = result["n_repeats"] - 1
    assert n_later > 0
    # The warm-up answered other prompts, so the first pass was read; no later pass was.
    assert result["cached_input_tokens"] == 2 * 8 * n_later
    (warning,) = cache_warnings(result)
    share = n_later / result["n_repeats"]
    total = result["input_tokens"]
    assert warning.startswith(f"{share:.1%} of the input tokens ({16 * n_later} of {total}) came")
    requests = pq.read_table(tmp_path / "requests.parquet")
    assert sum(requests["cached_input_tokens"].to_pylist()) == result["cached_input_tokens"]
    assert set(requests["cached_input_tokens"].to_pylist()[:2]) == {0}


def test_a_beginning_that_the_prompts_share_counts_as_cached(
    installed: dict[str, str], tmp_path: Path
) -> None:
    lines = [f"you are a parrot answer {i} {i} {i}" for i in range(4)]
    result = run(
        installed, tmp_path, **texts(tmp_path, *lines), parrot={"prefix_cache": "clearable"}
    )
    assert result["n_repeats"] == 1
    # Blocks of 4 tokens: the first prompt is read, the three others begin with a known block.
    assert result["cached_input_tokens"] == 3 * 4
    (warning,) = cache_warnings(result)
    assert warning.startswith("37.5% of the input tokens (12 of 32) came from the prefix cache")


def metered(
    installed: dict[str, str], library: Path, folder: Path, **changes: Any
) -> dict[str, Any]:
    """Return the result of a measurement beside a scripted GPU of 300 W."""
    result: dict[str, Any] = with_gpus(
        PROGRAM, library, [FakeGpu(points=((0.0, 300.0),))], folder,
        json.dumps(SYNTHETIC | changes), str(folder), env=installed,
    )  # fmt: skip
    return result


def test_the_energy_per_input_token_is_that_of_the_tokens_that_were_read(
    installed: dict[str, str], library: Path, tmp_path: Path
) -> None:
    lines = [f"you are a parrot answer {i} {i} {i}" for i in range(4)]
    result = metered(
        installed, library, tmp_path, **texts(tmp_path, *lines),
        parrot={"device": "gpu", "prefix_cache": "clearable"}, energy={"min_window_seconds": 1.0},
    )  # fmt: skip
    n_read = result["input_tokens"] - result["cached_input_tokens"]
    assert n_read == result["n_repeats"] * (32 - 12)
    assert result[PER_TOKEN] == pytest.approx(result["energy_total_j"] / n_read)


def test_without_a_token_that_was_read_there_is_no_energy_per_input_token(
    installed: dict[str, str], library: Path, tmp_path: Path
) -> None:
    """An earlier measurement filled the same cache with the same prompts."""
    program = PROGRAM.replace(
        "result =",
        "import llem_parrot._backend as parrot\n"
        "cache = parrot.PrefixCache()\n"
        "parrot.PrefixCache = lambda: cache\n"
        "first = measure(config)\n"
        "result =",
    )
    result = with_gpus(
        program, library, [FakeGpu(points=((0.0, 300.0),))], tmp_path,
        json.dumps(
            SYNTHETIC | texts(tmp_path, "a b c d", "e f g h")
            | {"parrot": {"device": "gpu", "prefix_cache": "permanent"}}
            | {"energy": {"min_window_seconds": 1.0}}
        ),
        str(tmp_path), env=installed,
    )  # fmt: skip
    assert result["cached_input_tokens"] == result["input_tokens"] == 8 * result["n_repeats"]
    assert result["energy_total_j"] > 0
    assert result[PER_TOKEN] is None
    quality = result["figures"][PER_TOKEN]
    assert quality["status"] == "missing"
    n_tokens = result["input_tokens"]
    reason = f"there were no input tokens to read: all {n_tokens} came from the prefix cache"
    assert reason in quality["reasons"]
    assert result["energy_per_output_token_j"] > 0


UNKNOWN = """
import llem_parrot._backend as parrot
{}
"""


@pytest.mark.parametrize(
    ("change", "n_warnings"),
    [
        ("del parrot.ParrotGeneration.cached_input_tokens", 0),
        ("parrot.ParrotGeneration.cached_input_tokens = lambda self: None", 0),
        ("parrot.ParrotGeneration.cached_input_tokens = lambda self: (13,)", 1),
    ],
)
def test_a_number_that_is_unknown_or_impossible_is_missing_and_every_token_counts_as_read(
    installed: dict[str, str], library: Path, tmp_path: Path, change: str, n_warnings: int
) -> None:
    program = PROGRAM.replace("result =", UNKNOWN.format(change) + "result =")
    result = with_gpus(
        program, library, [FakeGpu(points=((0.0, 300.0),))], tmp_path,
        json.dumps(SYNTHETIC | {"parrot": {"device": "gpu"}}), str(tmp_path), env=installed,
    )  # fmt: skip
    assert result["cached_input_tokens"] is None
    assert result[PER_TOKEN] == pytest.approx(result["energy_total_j"] / result["input_tokens"])
    quality = result["figures"][PER_TOKEN]
    assert quality["status"] == "flagged"
    assert any("does not report how many input tokens" in r for r in quality["reasons"])
    impossible = [w for w in result["measurement_warnings"] if "impossible numbers of cached" in w]
    assert len(impossible) == n_warnings
    table = pq.read_table(tmp_path / "requests.parquet")
    assert set(table["cached_input_tokens"].to_pylist()) == {None}


@pytest.mark.parametrize("counts", [(-1, 0), (0, 4), (0,), (0, 0, 0)])
def test_impossible_numbers_of_cached_tokens_are_unknown(counts: tuple[int, ...]) -> None:
    batch = Batch(2, (2, 3), (2, 3), None)
    assert GenerationRecord(batch, (4, 4), None, counts).cached_tokens is None
    assert GenerationRecord(batch, (4, 4), None, (2, 3)).cached_tokens == (2, 3)
