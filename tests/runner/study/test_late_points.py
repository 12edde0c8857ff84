"""Points that were added to a study, and that no anchor or only one connects with the others."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.machines import on_machine
from fakes.results import make_result
from fakes.studies import experiment, study
from report.comparison.folders import KnownMeter, make_folder

from llem_cli._commands.study.show import show
from llem_cli._display.comparison_notes import comparison_lines
from llem_config import ExperimentConfig
from llem_energy import ExperimentResult, MeasurementError
from llem_energy.preflight import MachineGpu
from llem_energy.records import GpuSnapshot
from llem_report import analyse, describe_methods
from llem_runner import (
    StudyError,
    StudyResult,
    extend_study,
    read_manifest,
    read_study,
    resume_study,
    run_study,
)
from llem_runner._analysis.compared_runs import NO_COMMON_BLOCK
from llem_runner._storage.layout import Layout
from llem_runner._study.growth import grow
from llem_runner.events import Event, PreflightWarning
from llem_runner.executors import InlineExecutor
from llem_runner.records import Comparisons

NS = (1, 2, 3, 4)


class Unlucky:
    """A meter with which runs of some points fail, or have no energy."""

    def __init__(self, failing: Collection[int] = (), dark: Collection[int] = ()) -> None:
        self.meter, self.failing, self.dark = KnownMeter(5, 3), failing, dark
        self.without_energy = KnownMeter(6, 3, energy_per_output_token_j=None)

    def __call__(self, config: ExperimentConfig, **others: Any) -> ExperimentResult:
        if config.n in self.failing:
            raise MeasurementError("the GPU is gone")
        return (self.without_energy if config.n in self.dark else self.meter)(config, **others)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("results"), 1, ns=NS, cycles=3)


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "study"))


def extend(
    folder: Path, ns: Sequence[int] = (6,), meter: Any = None, **arguments: Any
) -> StudyResult:
    return extend_study(
        folder, study(ns, n_cycles=3, cycle_order="shuffled"),
        measure=meter or KnownMeter(5, 3), executor=InlineExecutor(), **arguments,
    )  # fmt: skip


def on_gpu(name: str) -> dict[str, Any]:
    """Return the fields of a result that was metered on a GPU of this name."""
    result = make_result(experiment())
    gpu = GpuSnapshot(
        index=0, uuid="GPU-1", name=name, power_limit_w=700.0, power_limit_default_w=700.0,
        vbios=None, memory_bytes=141 << 30, sm_clock_max_mhz=1980.0, application_sm_clock_mhz=None,
        persistence_mode=True, ecc=True, mig=False, compute_mode=0, n_other_processes=0,
        temperature_c=30.0,
    )  # fmt: skip
    snapshot = msgspec.structs.replace(result.environment_snapshot, gpus=(gpu,))
    return {"environment_snapshot": snapshot, "energy_per_device_j": {"GPU-1": 100.0}}


def comparisons_of(result: StudyResult) -> Comparisons:
    assert result.summary.comparisons is not None
    return result.summary.comparisons


def _apart(comparisons: Comparisons) -> set[str]:
    """Return the labels of the points that have results, but no block in common with the others."""
    reasons = zip(comparisons.left_out, comparisons.left_out_reasons, strict=True)
    return {label for label, reason in reasons if reason == NO_COMMON_BLOCK}


def warned(folder: Path, **arguments: Any) -> list[str]:
    """Extend a study, and return the warnings before the first run that are about anchors."""
    events: list[Event] = []
    extend(folder, on_event=events.append, **arguments)
    sent = [event.warning for event in events if isinstance(event, PreflightWarning)]
    return [text for text in sent if "connects" in text or text.startswith("anchors")]


@pytest.mark.parametrize(
    ("meter", "reason"),
    [
        (Unlucky(failing={1, 4}), "n=1, n=4: failed in these cycles"),
        (Unlucky(dark={1, 4}), "n=1, n=4: no J per output token in these cycles"),
    ],
    ids=["failed", "without energy"],
)
@pytest.mark.parametrize("new", [(6, 7), (6, 7, 8, 9, 10)], ids=["fewer", "more"])
def test_points_that_no_anchor_connects_are_named_beside_the_table(
    folder: Path,
    meter: Unlucky,
    reason: str,
    new: tuple[int, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whichever group is larger is compared; the other has no ratio, and a sentence says why."""
    result = extend(folder, new, meter)
    comparisons = comparisons_of(result)
    (sentence,) = comparisons.late_points
    assert sentence.startswith("the points added in cycles 4 to 6 (n=6, n=7")
    assert (
        f"are not compared with the others, because no anchor connects them: {reason}. " in sentence
    )
    assert "Figures of both groups are not a ranking" in sentence
    assert "`llem-cli study resume FOLDER --cycles 9`" in sentence
    apart = {"n=6", "n=7"} if len(new) == 2 else {"n=1", "n=2", "n=3", "n=4"}
    assert _apart(comparisons) == apart
    compared = {point.label for point in comparisons.points} | {comparisons.reference_label}
    assert not compared & apart
    analysis = analyse(folder)
    assert sentence in analysis.caveats
    assert {p.label for p in analysis.points if p.ratio_to_best is not None} == compared
    assert sentence in describe_methods(folder).admissions
    lines = list(comparison_lines(result))
    assert f"warning: {sentence}" in lines
    named = [line for line in lines if line.startswith(f"not compared ({NO_COMMON_BLOCK})")]
    assert len(named) == len(apart)
    show(folder)
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("are not compared with the others, because no anchor connects them") == 1


def test_added_cycles_connect_the_groups_as_the_sentence_says(folder: Path) -> None:
    extend(folder, (6, 7), Unlucky(failing={1, 4}))
    result = resume_study(folder, cycles=9, measure=KnownMeter(7, 6), executor=InlineExecutor())
    comparisons = comparisons_of(result)
    assert (comparisons.late_points, comparisons.left_out) == ((), ())
    assert len(comparisons.points) == 5


def test_a_single_anchor_that_worked_is_named_with_what_it_cannot_show(folder: Path) -> None:
    comparisons = comparisons_of(extend(folder, meter=Unlucky(failing={1})))
    (sentence,) = comparisons.late_points
    assert sentence.startswith(
        "only n=4 connects the points added in cycles 4 to 6 with the others; n=1: failed in these cycles; "
        "so it cannot be checked whether the runs of both times agree."
    )
    assert len(comparisons.points) == 4


def test_new_points_without_a_figure_are_not_blamed_on_the_anchors(folder: Path) -> None:
    comparisons = comparisons_of(extend(folder, meter=Unlucky(dark={6})))
    assert comparisons.late_points == (
        "the points added in cycles 4 to 6 (n=6) are not compared with the others: none of their runs has "
        "J per output token",
    )


_LOW = on_machine("n2", {"power_limit_w": 300.0})
_ELSEWHERE = "ran on another kind of machine than the runs that are kept"


class TwoPlaces:
    """A meter whose first runs are on the usual machine, and the others at a lower power limit."""

    def __init__(self, n_usual: int) -> None:
        self.n_left = n_usual
        self.usual, self.low = KnownMeter(5, 3, **on_machine()), KnownMeter(6, 3, **_LOW)

    def __call__(self, config: ExperimentConfig, **others: Any) -> ExperimentResult:
        self.n_left -= 1
        return (self.low if self.n_left < 0 else self.usual)(config, **others)


@pytest.mark.parametrize(
    ("n_usual", "reason"),
    [
        (0, f"all their runs with J per output token {_ELSEWHERE}"),
        (
            3,
            f"of their 3 runs with J per output token, 2 {_ELSEWHERE}, and the others are too few",
        ),
    ],
)
def test_new_points_at_another_power_limit_do_not_lack_a_figure(
    tmp_path: Path, n_usual: int, reason: str
) -> None:
    folder = make_folder(tmp_path, 1, ns=NS, cycles=3, **on_machine())
    comparisons = comparisons_of(extend(folder, meter=TwoPlaces(n_usual)))
    assert comparisons.late_points == (
        f"the points added in cycles 4 to 6 (n=6) are not compared with the others: {reason}",
    )


def test_an_extension_that_leaves_out_the_original_study_is_named(tmp_path: Path) -> None:
    """The kind of machine with the most runs stays, and it is that of the added points."""
    folder = make_folder(tmp_path, 1, ns=NS, cycles=3, **on_machine())
    comparisons = comparisons_of(extend(folder, (6, 7, 8, 9), TwoPlaces(0)))
    assert set(comparisons.left_out) == {"n=2", "n=3"}
    assert comparisons.late_points == (
        "most runs from before cycle 4, the first with added points (n=6, n=7, n=8, n=9), are not "
        f"compared: 12 of 12 with J per output token {_ELSEWHERE}",
    )


def test_nothing_is_said_where_two_anchors_connect_all_points(folder: Path) -> None:
    assert comparisons_of(extend(folder)).late_points == ()


def test_a_study_of_one_point_needs_no_second_anchor(tmp_path: Path) -> None:
    """All that is compared ran in the same cycles."""
    folder = make_folder(tmp_path, 2, ns=(1,), cycles=3)
    assert warned(folder) == []
    comparisons = comparisons_of(extend(folder, (8,)))
    assert (comparisons.reason, comparisons.late_points) == (None, ())


def test_only_points_with_the_compared_figure_become_anchors(tmp_path: Path) -> None:
    parent = tmp_path / "r"
    planned = study(NS, n_cycles=3, cycle_order="shuffled")
    run_study(planned, output=parent, measure=Unlucky(dark={1, 4}), executor=InlineExecutor())
    (folder,) = parent.iterdir()
    extend(folder)
    n = {h: c.n for h, c in zip(planned.config_hashes, planned.experiments, strict=True)}
    (extension,) = read_manifest(folder).extensions
    assert [n[point] for point in extension.anchors] == [2, 3]


def test_a_single_possible_anchor_is_told_before_the_first_run(tmp_path: Path) -> None:
    planned = study(NS, n_cycles=3, cycle_order="shuffled")
    run_study(
        planned, output=tmp_path / "r", measure=Unlucky(dark={1, 2, 4}), executor=InlineExecutor()
    )
    (folder,) = (tmp_path / "r").iterdir()
    requested, (warning) = warned(folder, anchors=3)
    assert requested == (
        "anchors: 3 were requested, but only 1 can run again: too few runs of n=1, n=2, n=4 have J per "
        "output token"
    )
    assert warning.startswith(
        "only one point, n=3, connects the new points with the old ones, so it cannot"
    )
    assert "too few runs of n=1, n=2, n=4 have J per output token" in warning


def test_one_requested_anchor_is_too_few_to_check_it(folder: Path) -> None:
    (warning,) = warned(folder, anchors=1)
    assert warning.startswith("only one point, n=1, connects the new points with the old ones")
    assert warning.endswith(
        "agree; more cycles of all points, with `llem-cli study resume FOLDER --cycles N`, help"
    )


def test_a_study_without_any_usable_figure_cannot_be_extended(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path, 1, ns=NS, cycles=3, energy_per_output_token_j=None, tokens_per_second=0.0
    )
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(
        StudyError, match="has no point with tokens per second, which could connect"
    ):
        extend(folder)
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"name": "NVIDIA A100"}, "GPU NVIDIA H200 -> NVIDIA A100"),
        ({"power_limit_w": 400.0}, "power limit 700 W -> 400 W"),
        ({"power_limit_default_w": 600.0}, "default power limit 700 W -> 600 W"),
        ({"mig": True}, "MIG off -> on"),
    ],
)
def test_another_kind_of_gpu_is_refused_because_its_runs_would_be_left_out(
    tmp_path: Path, changes: dict[str, Any], refused: str
) -> None:
    folder = make_folder(tmp_path, 1, ns=NS, cycles=3, **on_gpu("NVIDIA H200"))
    arguments: dict[str, Any] = {"n_anchors": None, "n_cycles": 3, "file_sha256": None}
    files = Layout(folder), read_study(folder), read_manifest(folder)
    requested = study((6,), n_cycles=3, cycle_order="shuffled")
    same = MachineGpu("GPU-2", 141 << 30, "NVIDIA H200", 700.0, 700.0, mig=False)
    other = msgspec.structs.replace(same, uuid="GPU-3", **changes)
    with pytest.raises(
        StudyError, match=rf"not be comparable: {refused} \(new, and no obstacle: n \+ 6\)"
    ):
        grow(*files, requested, gpus_here=[other], **arguments)
    unknown = MachineGpu("GPU-4", None)
    for gpus in ([same], [other, same], [unknown]):
        assert grow(*files, requested, gpus_here=gpus, **arguments).warnings == ()
    assert grow(*files, requested, gpus_here=(), **arguments).warnings == ()
