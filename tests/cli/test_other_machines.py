"""Studies on several kinds of machines: no run of another kind is in a comparison, and all places say so."""

from __future__ import annotations

import html
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes.machines import on_machine, on_processor
from fakes.results import make_result
from fakes.shard_studies import divided
from fakes.studies import only_folder, study

from llem_cli._commands.study.compare import compare as compare_command
from llem_cli._commands.study.methods import methods as methods_command
from llem_cli._commands.study.show import show
from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_report import analyse, compare, describe_methods, export, table, write_report
from llem_runner import read_manifest, read_study, read_study_result, run_study
from llem_runner.executors import InlineExecutor
from llem_runner.shards import merge_study, run_shard

N_POINTS = 4
Place = Callable[[int, int], Mapping[str, Any]]
"""Returns the fields of a result that describe the machine of a run, from its cycle and its `n`."""


def low_in(*cycles: int, **gpu: Any) -> Place:
    """Put some cycles on another kind of machine."""
    return lambda cycle, _: on_machine("n2", gpu) if cycle in cycles else on_machine()


class Mixture:
    """A study whose runs are on several kinds of machines."""

    def __init__(self, place: Place, cycles: int, left_out: Callable[[int, int], bool]) -> None:
        self.place = place
        self.cycles = cycles
        self.is_left_out = left_out


MIXTURES = {
    "name": Mixture(low_in(3, name="A100"), 5, lambda cycle, _: cycle == 3),
    "memory": Mixture(low_in(3, memory_bytes=80 << 30), 5, lambda cycle, _: cycle == 3),
    "set limit": Mixture(low_in(1, power_limit_w=300.0), 5, lambda cycle, _: cycle == 1),
    "default limit": Mixture(low_in(5, power_limit_default_w=300.0), 5, lambda c, _: c == 5),
    "MIG": Mixture(low_in(2, 4, mig=True), 5, lambda cycle, _: cycle in (2, 4)),
    "tie": Mixture(low_in(4, 5, 6, name="A100"), 6, lambda cycle, _: cycle > 3),
    "first cycles": Mixture(low_in(1, 2, name="A100"), 5, lambda cycle, _: cycle < 3),
    "three kinds": Mixture(
        lambda cycle, _: on_machine(f"n{cycle}", {"power_limit_w": 100.0 * max(cycle, 4)}),
        6, lambda cycle, _: cycle > 4,
    ),
    "within a cycle": Mixture(
        lambda cycle, n: on_machine(gpu={"power_limit_w": 300.0 if (cycle, n) == (3, 2) else 700.0}),
        5, lambda cycle, n: (cycle, n) == (3, 2),
    ),
    "a point alone": Mixture(
        lambda _, n: on_machine(gpu={"power_limit_w": 300.0 if n == 2 else 700.0}),
        5, lambda _, n: n == 2,
    ),
    "processor": Mixture(
        lambda cycle, _: on_processor("n2", "EPYC") if cycle == 2 else on_processor(),
        5, lambda cycle, _: cycle == 2,
    ),
}  # fmt: skip


class Meter:
    """A stand-in for `measure` on the machines of a mixture."""

    def __init__(self, mixture: Mixture, factor: float) -> None:
        """Make a meter that multiplies the energy of the runs that are not compared."""
        self._mixture = mixture
        self._factor = factor
        self._random = random.Random(3)
        self._n_calls = 0

    def __getstate__(self) -> dict[str, Any]:
        return {}  # this process calls the object itself; its functions cannot be pickled

    def __call__(self, config: ExperimentConfig, **_: Any) -> ExperimentResult:
        cycle = self._n_calls // N_POINTS + 1
        self._n_calls += 1
        is_left_out = self._mixture.is_left_out(cycle, config.n)
        ratio = (1 + 0.05 * config.n) * self._random.gauss(1, 0.002)
        ratio *= self._factor if is_left_out else 1.0
        now = datetime.now(UTC)
        return make_result(
            config,
            started_at=now.isoformat(),
            ended_at=(now + timedelta(seconds=1)).isoformat(),
            **{"energy_per_output_token_j": 2.0 * ratio, "tokens_per_second": 50.0 / ratio}
            | dict(self._mixture.place(cycle, config.n)),
        )


def measured(parent: Path, mixture: Mixture, factor: float = 1.0) -> Path:
    planned = study(range(1, N_POINTS + 1), n_cycles=mixture.cycles, cycle_order="shuffled")
    run_study(planned, output=parent, measure=Meter(mixture, factor), executor=InlineExecutor())
    return only_folder(parent)


def conclusions(folder: Path, base: Path) -> tuple[object, ...]:
    """Return everything that is concluded from comparisons of points."""
    found, analysis = read_study_result(folder).summary, analyse(folder)
    assert found.comparisons is not None
    compared = compare(base, folder)
    return (
        found.comparisons.reference_hash,
        found.comparisons.points,
        found.comparisons.blocks,
        found.comparisons.residual_cv,
        [outlier.index for outlier in found.outliers],
        [(point.compared, point.runs_needed, point.runs_needed_high) for point in found.points],
        analysis.finding,
        analysis.factors,
        analysis.level_pairs,
        analysis.detectable_ratio,
        [
            (point.ratio_to_best, point.on_front, point.front_is_certain)
            for point in analysis.points
        ],
        (compared.verdict, compared.ratio, [point.ratio for point in compared.points]),
    )


def _at(host: str, gpu: Mapping[str, Any], cycle: int, n: int) -> Mapping[str, Any]:
    del cycle, n
    return on_machine(host, gpu)


def _nowhere(cycle: int, n: int) -> bool:
    del cycle, n
    return False


def is_said(sentence: str, text: str) -> bool:
    """Return whether a text has a sentence, whatever its line breaks; long ones may be cut off."""
    return " ".join(sentence.split())[:200] in " ".join(text.split())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An earlier study of the same points, on one kind of machine."""
    return measured(tmp_path_factory.mktemp("base"), Mixture(low_in(), 3, _nowhere))


def expected_runs(folder: Path, mixture: Mixture) -> list[int]:
    """Return the indices of the runs that must not be compared."""
    ns = {point: config.n for point, config in _points(folder)}
    return [entry.index for entry in read_manifest(folder).entries
            if mixture.is_left_out(entry.cycle, ns[entry.config_hash])]  # fmt: skip


def _points(folder: Path) -> Iterator[tuple[str, ExperimentConfig]]:
    found = read_study(folder)
    return zip(found.config_hashes, found.experiments, strict=True)


@pytest.mark.parametrize("name", MIXTURES)
def test_runs_of_another_kind_change_no_conclusion(name: str, tmp_path: Path, base: Path) -> None:
    mixture = MIXTURES[name]
    folder = measured(tmp_path / "one", mixture)
    tenfold = measured(tmp_path / "ten", mixture, 10.0)
    assert conclusions(folder, base) == conclusions(tenfold, base)
    result, analysis = read_study_result(folder), analyse(folder)
    found = result.summary.comparisons
    assert found is not None and found.reason is None and found.left_out_machines
    expected = expected_runs(folder, mixture)
    assert list(found.left_out_runs) == expected != []
    assert [run.index for run in analysis.runs if run.other_machine] == expected
    # The results of these runs, and the figures of their points, stay.
    assert result.summary.completed == N_POINTS * mixture.cycles
    assert all(point.energy_per_output_token_j for point in result.summary.points)
    assert all(point.value is not None for point in analysis.points)
    assert sum(point.n_other_machine for point in analysis.points) == len(expected)


@pytest.mark.parametrize("name", ["within a cycle", "a point alone", "tie"])
def test_runs_of_another_kind_are_named_wherever_a_comparison_is_shown(
    name: str, tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = measured(tmp_path / "one", MIXTURES[name])
    expected = expected_runs(folder, MIXTURES[name])
    found = read_study_result(folder).summary.comparisons
    assert found is not None
    show(folder)
    shown = capsys.readouterr().out
    compare_command(folder, base)
    compared = capsys.readouterr().out
    methods_command(folder)
    methods = capsys.readouterr().out
    write_report(folder, tmp_path / "report.html")
    page = html.unescape((tmp_path / "report.html").read_text("utf-8"))
    said = " ".join(shown.split()).count("because the kind of machine is another one")
    assert said == len(found.left_out_machines)  # once each
    for sentence in found.left_out_machines:
        assert is_said(sentence, shown)
        assert is_said(f"base: {sentence}", compared)
        assert is_said(sentence, methods)
        assert is_said(sentence, page)
    assert "on another kind of machine" in page
    rows = table(folder).to_pylist()
    assert [row["run_index"] for row in rows if row["other_machine"]] == expected
    points = table(folder, "points").to_pylist()
    assert sum(row["n_other_machine"] for row in points) == len(expected)
    exported = export(folder, tmp_path / "tables", format="csv")
    (runs,) = [Path(file.path) for file in exported.files if file.table == "runs"]
    assert runs.read_text("utf-8").count(" instead of ") == len(expected)
    assert f"{len(expected)}, not compared" in str(describe_methods(folder).rows)


def test_a_point_that_ran_on_the_other_kind_alone_is_named_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = measured(tmp_path, MIXTURES["a point alone"])
    found = read_study_result(folder).summary.comparisons
    assert found is not None
    (label,) = found.left_out
    (reason,) = found.left_out_reasons
    assert reason == "too few results: 5 of its runs are on another kind of machine"
    show(folder)
    shown = capsys.readouterr().out
    assert f"not compared ({reason}): {label}" in shown
    assert any(sentence.startswith(f"{label} is not compared: 5 of its runs are")
               for sentence in analyse(folder).left_out)  # fmt: skip
    (alone,) = [point for point in analyse(folder).points if point.n_runs == 0]
    assert (alone.value is None, alone.ratio_to_best, alone.on_front) == (False, None, False)
    compared = compare(folder, folder)
    assert any("5 runs on another kind of machine" in point.reason for point in compared.unpaired)


def without_energy(place: Place, where: Callable[[int, int], bool]) -> Place:
    """Take the energy from some runs."""
    dark = {"energy_per_output_token_j": None}
    return lambda cycle, n: dict(place(cycle, n)) | (dark if where(cycle, n) else {})


def test_a_point_whose_energy_is_of_another_machine_is_on_no_front(tmp_path: Path) -> None:
    place = without_energy(low_in(5, power_limit_w=300.0), lambda cycle, n: n == 1 and cycle < 5)
    mixture = Mixture(place, 5, lambda cycle, _: cycle == 5)
    first, second, *_ = sorted(
        analyse(measured(tmp_path, mixture, 0.1)).points, key=lambda point: point.label
    )
    assert (first.label, first.on_front, first.on_first_token_front) == ("n=1", False, False)
    assert first.energy_per_output_token_j is not None and first.tokens_per_second is not None
    assert second.on_front and second.front_is_certain


def test_runs_elsewhere_without_the_figure_hide_no_unused_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = without_energy(
        low_in(5, power_limit_w=300.0), lambda cycle, n: cycle == 5 or (n == 3 and cycle > 1)
    )
    folder = measured(tmp_path, Mixture(place, 5, lambda cycle, _: cycle == 5))
    found = read_study_result(folder).summary.comparisons
    assert found is not None and len(found.left_out_runs) == N_POINTS
    assert (found.n_unused, found.n_unused_other_machine) == (1, 0)
    show(folder)
    shown = " ".join(capsys.readouterr().out.split())
    assert "not compared: 1 run with a result, whose point has too few results" in shown


def test_attempts_on_another_kind_of_machine_are_named_in_a_divided_study(tmp_path: Path) -> None:
    plan = divided(tmp_path, n_points=10, n_cycles=4, n=2)
    for shard in plan.shards:
        gpu = {"name": "A100"} if shard.number == 3 else {}
        place = partial(_at, "n2" if gpu else "n1", gpu)
        meter = Meter(Mixture(place, 4, _nowhere), 1.0)
        run_shard(plan.folder, shard.number, executor=InlineExecutor(), measure=meter)
    found = merge_study(plan.folder).summary.comparisons
    assert found is not None and found.reason is None
    assert found.left_out_runs == tuple(sorted(plan.shards[2].runs))
    assert {block.shard for block in found.blocks} == {1, 2, 4, 5, 6, 7, 8}
    (sentence,) = found.left_out_machines
    assert sentence.startswith("5 runs on n2 are not compared")
    assert analyse(plan.folder).n_runs_used == 35


def test_a_study_on_one_kind_of_machine_says_nothing_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = measured(tmp_path, Mixture(lambda c, _: on_machine(f"n{c}"), 4, lambda *_: False))
    found = read_study_result(folder).summary.comparisons
    assert found is not None and found.n_blocks == 4
    assert (found.left_out_runs, found.left_out_machines, found.left_out) == ((), (), ())
    show(folder)
    assert "kind of machine" not in capsys.readouterr().out
    assert not any("kind of machine" in text for text in describe_methods(folder).admissions)
