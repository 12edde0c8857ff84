"""Measure the cost of a point, from the text of a study file to a hashed, validated experiment.

    uv run python benchmarks/config_speed.py [--quick]

The same run compares it with the floor (only pydantic validation and hashing of the same points),
an explicit list, OmegaConf merging the same overrides, and `aiperf config expand` of a grid of the
same size. Each is measured in its own process. uv installs the two other libraries into separate
environments; if that fails, the table says so. A time is the minimum processor time of several
repeats, so that other work on the machine has little effect. Imports and a first small file are
not included, except for aiperf: it is measured as a command, and its cost per point is the
difference between two sizes. The loader should take at most 1.6 times the floor for 10,000 points;
the benchmark prints the ratio and does not check it.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

AXES = ("n", "random_seed", "max_output_tokens", "pytorch.batch_size", "decoder.top_k")
VALUES = range(1, 11)
FIXED = {"model": "builtin:tiny-llama", "pytorch": {"device": "cpu", "attn_implementation": "sdpa"}}
AIPERF = "aiperf==0.13.*"
AIPERF_GRID = """\
schemaVersion: "2.0"
sweep:
  type: grid
  parameters:
{axes}
benchmark:
  model: m
  endpoint: {{url: "http://localhost:8000/v1/chat/completions", type: chat}}
  datasets:
    - {{name: main, type: synthetic, entries: 10, prompts: {{isl: 512, osl: 128}}}}
  phases:
    - {{name: profiling, type: concurrency, requests: 10, concurrency: 1}}
"""
AIPERF_AXES = (
    "datasets.main.prompts.isl",
    "datasets.main.prompts.osl",
    "datasets.main.entries",
    "phases.profiling.concurrency",
)
_OMEGACONF = """
import itertools, json, sys, time
from omegaconf import OmegaConf
fixed, axes, n = json.loads(sys.argv[1])
base = OmegaConf.create(fixed)
start = time.process_time()
for values in itertools.islice(itertools.product(range(1, 11), repeat=len(axes)), n):
    dots = [f"{key}={value}" for key, value in zip(axes, values)]
    OmegaConf.to_container(OmegaConf.merge(base, OmegaConf.from_dotlist(dots)))
print(json.dumps({"us": (time.process_time() - start) / n * 1e6}))
"""


def _grid_text(n_axes: int) -> str:
    values = ", ".join(map(str, VALUES))
    axes = "".join(f"  {key}: [{values}]\n" for key in AXES[:n_axes])
    fixed = "".join(f"{key}: {json.dumps(value)}\n" for key, value in FIXED.items())
    return f"max_experiments: 1000000\n{fixed}sweep:\n{axes}"


def _points(n_axes: int) -> list[dict[str, Any]]:
    points = []
    for values in itertools.product(VALUES, repeat=n_axes):
        point: dict[str, Any] = {**FIXED, "pytorch": {**FIXED["pytorch"]}}  # type: ignore[dict-item]
        for key, value in zip(AXES, values, strict=False):
            section, _, field = key.rpartition(".")
            (point.setdefault(section, {}) if section else point)[field] = value
        points.append(point)
    return points


def _list_text(n: int) -> str:
    fields = "{{n: {}, pytorch.batch_size: {}, decoder: {{temperature: 0.7, top_p: 0.9}}}}"
    lines = "".join(f"  - {fields.format(i + 1, i % 7 + 1)}\n" for i in range(n))
    return f"model: builtin:tiny-llama\nexperiments:\n{lines}"


def _best(work: Callable[[], object], repeats: int) -> float:
    """Return the minimum processor time of `work` in seconds."""
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
        del result
    return best


def _study_file(folder: str, text: str) -> Path:
    path = Path(folder) / "study.yaml"
    path.write_text(text)
    return path


def _rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def part_grid(n_axes: int, repeats: int) -> dict[str, float]:
    """Return the cost per point of a grid of 10**n_axes points, and of its floor."""
    from llem_config import ExperimentConfig, load_study, measurement_config_hash

    with tempfile.TemporaryDirectory() as folder:
        load_study(_study_file(folder, "model: m\n"))
        path = _study_file(folder, _grid_text(n_axes))
        n = 10**n_axes
        before = _rss_bytes()
        load_study(path)
        rss = (_rss_bytes() - before) / n
        points = _points(n_axes)

        def floor() -> list[str]:
            configs = [ExperimentConfig.model_validate(point) for point in points]
            return [measurement_config_hash(config) for config in configs]

        assert load_study(path).config_hashes == tuple(floor())
        ours = lowest = float("inf")
        for _ in range(repeats):  # in turns, so that a busy machine affects both equally
            ours = min(ours, _best(lambda: load_study(path), 1))
            lowest = min(lowest, _best(floor, 1))
        return {"us": ours / n * 1e6, "floor_us": lowest / n * 1e6, "rss_bytes": rss}


def part_memory(n_axes: int, _repeats: int) -> dict[str, float]:
    """Return the memory per point of a study of 10**n_axes points, and the max while loading."""
    from llem_config import load_study

    with tempfile.TemporaryDirectory() as folder:
        load_study(_study_file(folder, "model: m\n"))
        path = _study_file(folder, _grid_text(n_axes))
        tracemalloc.start()
        study = load_study(path)
        held, peak = tracemalloc.get_traced_memory()
        n = len(study.experiments)
        return {"held_bytes": held / n, "peak_bytes": peak / n}


def part_list(n: int, repeats: int) -> dict[str, float]:
    """Return the cost per point of an explicit list, and of parsing its YAML alone."""
    import yaml

    from llem_config import load_study

    with tempfile.TemporaryDirectory() as folder:
        load_study(_study_file(folder, "model: m\n"))
        text = _list_text(n)
        path = _study_file(folder, text)
        ours = _best(lambda: load_study(path), repeats)
        safe = _best(lambda: yaml.load(text, Loader=yaml.CSafeLoader), repeats)
        return {"us": ours / n * 1e6, "yaml_us": safe / n * 1e6}


def part_count(n_axes: int, repeats: int) -> dict[str, float]:
    """Return the time to refuse a product of 10**n_axes points; the limit is 9 points."""
    from llem_config import ConfigError, load_study

    keys = ("n", "random_seed", "max_input_tokens", "max_output_tokens", "warmup.n_warmup",
            "warmup.max_warmup", "pytorch.batch_size", "pytorch.num_beams", "decoder.top_k",
            "pytorch.no_repeat_ngram_size", "pytorch.prompt_lookup_num_tokens",
            "decoder.min_new_tokens")  # fmt: skip
    short = json.dumps([1])
    long = json.dumps(list(VALUES))
    # Every size has 12 axes and the same number of values to parse; the rest is padding.
    axes = "".join(f"  {key}: {long if i < n_axes else short}\n" for i, key in enumerate(keys))
    padding = json.dumps({"rest": [list(VALUES)[1:]] * (12 - n_axes)})
    text = f"model: m\nmax_experiments: 9\npassthrough_kwargs: {padding}\nsweep:\n{axes}"

    def refuse() -> None:
        try:
            load_study(path)
        except ConfigError as error:
            assert f"found {10**n_axes}" in str(error), error
        else:
            raise AssertionError("accepted")

    with tempfile.TemporaryDirectory() as folder:
        path = _study_file(folder, text)
        refuse()
        return {"ms": _best(refuse, repeats) * 1e3}


def _part(name: str, size: int, repeats: int) -> dict[str, float]:
    """Run one part in a fresh process."""
    command = [sys.executable, __file__, "--part", name, str(size), str(repeats)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _omegaconf(n: int) -> float | None:
    command = ["uv", "run", "--quiet", "--no-project", "--python", sys.executable]
    command += ["--with", "omegaconf", "python", "-c", _OMEGACONF]
    done = subprocess.run(
        [*command, json.dumps([FIXED, AXES[:4], n])], capture_output=True, text=True, check=False
    )
    return None if done.returncode else float(json.loads(done.stdout)["us"])


def _aiperf(n_axes: int) -> float | None:
    """Return the processor seconds of one `aiperf config expand`."""
    values = ", ".join(map(str, VALUES))
    axes = "\n".join(f"    {key}: [{values}]" for key in AIPERF_AXES[:n_axes])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.yaml"
        path.write_text(AIPERF_GRID.format(axes=axes))
        command = ["uv", "tool", "run", "--quiet", "--python", sys.executable, "--from", AIPERF]
        command += ["aiperf", "config", "expand", str(path), "--format", "json"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        print(f"aiperf: {done.stderr.strip()[-500:] or done.stdout[-500:]}", file=sys.stderr)
        return None
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _row(what: str, n: str, us: float | None, comment: str) -> None:
    print(f"{what:34} {n:>9} {'not installed' if us is None else f'{us:.1f}':>13}  {comment}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="no 100,000 points, no aiperf")
    parser.add_argument("--part", nargs=3, metavar=("NAME", "SIZE", "REPEATS"))
    options = parser.parse_args()
    if options.part:
        name, size, repeats = options.part
        print(json.dumps(globals()[f"part_{name}"](int(size), int(repeats))))
        return
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{'what':34} {'points':>9} {'us per point':>13}")
    sizes = (2, 4) if options.quick else (2, 4, 5)
    grids = {n: _part("grid", n, {2: 20, 4: 7, 5: 3}[n]) for n in sizes}
    for n, grid in grids.items():
        memory = _part("memory", n, 1)
        _row("load_study, grid", f"{10**n:,}", grid["us"],
             f"{grid['us'] / grid['floor_us']:.2f} x floor; bytes per point: "
             f"{memory['held_bytes']:.0f} held, {memory['peak_bytes']:.0f} peak (tracemalloc), "
             f"{grid['rss_bytes']:.0f} resident")  # fmt: skip
        _row("  floor: validation and hash alone", f"{10**n:,}", grid["floor_us"], "")
    if 5 in grids:
        print(f"10,000 to 100,000 points: {grids[5]['us'] / grids[4]['us']:.2f} x per point")
    ours = grids[4]["us"]
    listed = _part("list", 10_000, 3)
    _row("load_study, explicit list", "10,000", listed["us"], "")
    _row("  yaml.load with CSafeLoader alone", "10,000", listed["yaml_us"],
         f"{listed['us'] / listed['yaml_us']:.2f} x this for the whole")  # fmt: skip
    omegaconf = _omegaconf(1000)
    _row("OmegaConf, merging the overrides", "1,000", omegaconf,
         f"{omegaconf / ours:.0f} x load_study" if omegaconf else "")  # fmt: skip
    if not options.quick:
        _aiperf(1)  # installs it
        small, large = _aiperf(1), _aiperf(4)
        per_point = None if small is None or large is None else (large - small) / 9990 * 1e6
        _row("aiperf 0.13, config expand", "10,000", per_point,
             f"{per_point / ours:.0f} x load_study" if per_point else "")  # fmt: skip
    few, many = _part("count", 1, 30)["ms"], _part("count", 12, 30)["ms"]
    print(f"refusing 10 points: {few:.2f} ms; 10**12 points: {many:.2f} ms")


if __name__ == "__main__":
    main()
