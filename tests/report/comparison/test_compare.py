"""A study compared with an earlier one: pairs, ratios, verdicts and what limits them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from report.comparison.folders import make_folder

from llem_energy import read_result
from llem_energy.records import encode_result
from llem_report import ReportError, compare
from llem_runner import read_manifest


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def base(results: Path) -> Path:
    return make_folder(results, 1)


def change_results(folder: Path, **changes: Any) -> Path:
    """Change fields of all results of a folder, as another machine would have written them."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["entries"]:
        file = folder / entry["result_file"]
        file.write_bytes(encode_result(msgspec.structs.replace(read_result(file), **changes)))
    return folder


def test_a_folder_compared_with_itself_is_the_same(base: Path) -> None:
    compared = compare(base, base)
    assert compared.verdict == "same"
    assert compared.ratio is not None
    assert (compared.ratio.ratio, compared.ratio.ci95_low, compared.ratio.ci95_high) == (1, 1, 1)
    assert {point.ratio.ratio for point in compared.points} == {1.0}
    assert {point.verdict for point in compared.points} == {"same"}
    assert (compared.differences, compared.unpaired, compared.reason) == ((), (), None)
    assert compared.text == "both folders hold the same runs"


def test_swapped_studies_have_the_inverse_ratio(base: Path, results: Path) -> None:
    new = make_folder(results, 2, factor=1.03)
    there, back = compare(base, new), compare(new, base)
    assert (there.verdict, back.verdict) == ("worse", "better")
    backwards = {point.config_hash: point.ratio for point in back.points}
    pairs = [(point.ratio, backwards[point.config_hash]) for point in there.points]
    for one, other in [(there.ratio, back.ratio), *pairs]:
        assert one is not None
        assert other is not None
        assert math.isclose(one.ratio, 1 / other.ratio, rel_tol=1e-12)
        assert math.isclose(one.ci95_low or 0, 1 / (other.ci95_high or 0))


def test_the_overall_ratio_is_that_of_the_geometric_means(base: Path, results: Path) -> None:
    new = make_folder(results, 3, factor=1.10, noise=0.0, cycle_sd=0.0)
    flat = make_folder(results, 4, noise=0.0, cycle_sd=0.0)
    compared = compare(flat, new)
    assert compared.ratio is not None
    assert math.isclose(compared.ratio.ratio, 1.10)
    assert math.isclose(compared.new.mean or 0, 2.2 * math.factorial(4) ** 0.25)
    assert (compared.base.n_cycles, compared.base.n_runs, compared.base.n_points) == (5, 20, 4)
    assert compare(base, new).ratio != compared.ratio


def test_a_gate_is_on_the_interval_and_not_on_the_mean(base: Path, results: Path) -> None:
    new = make_folder(results, 5, factor=1.05)
    assert compare(base, new, gate=0.02).verdict == "worse"
    assert "worse by more than 2.0 %" in compare(base, new, gate=0.02).text
    undecided = compare(base, new, gate=0.05)
    assert undecided.verdict == "cannot_be_told"
    assert undecided.cycles_needed is None or undecided.cycles_needed > 5
    assert compare(base, new, gate=0.10).verdict == "same"
    assert compare(new, base, gate=0.02).verdict == "better"


def test_equal_studies_are_the_same_within_a_stated_share(base: Path, results: Path) -> None:
    compared = compare(base, make_folder(results, 6))
    assert compared.verdict == "same"
    assert compared.same_within is not None
    assert 0 < compared.same_within < 0.02
    assert "the same within" in compared.text


def test_a_wide_interval_says_how_many_cycles_would_do(results: Path) -> None:
    noisy = [make_folder(results, seed, cycles=3, cycle_sd=0.05, factor=f) for seed, f in
             ((7, 1.0), (8, 1.02))]  # fmt: skip
    compared = compare(*noisy)
    assert compared.verdict == "cannot_be_told"
    assert compared.cycles_needed is not None
    assert compared.cycles_needed > 3
    assert compared.reason == (
        f"the interval is too wide; about {compared.cycles_needed} cycles of each study would be "
        "enough"
    )


def test_an_interval_without_an_end_is_finite_and_stays_readable(results: Path) -> None:
    ns = tuple(range(1, 21))
    noisy = [
        make_folder(results, seed, ns=ns, cycles=2, noise=9.0, cycle_sd=40.0) for seed in (51, 52)
    ]
    compared = compare(*noisy)
    assert compared.verdict == "cannot_be_told"
    highs = [point.ratio.ci95_high for point in compared.points]
    assert None not in highs
    assert 1e300 < max(high or 0 for high in highs) < math.inf
    assert compared.text.endswith("% to over +100,000 %): cannot be told")
    assert len(compared.text) < 80


def test_one_cycle_gives_a_ratio_without_an_interval(base: Path, results: Path) -> None:
    compared = compare(base, make_folder(results, 9, cycles=1, factor=1.5))
    assert compared.verdict == "cannot_be_told"
    assert compared.ratio is not None
    assert compared.ratio.ratio > 1.4
    assert compared.ratio.ci95_low is None
    assert compared.reason == (
        "the new study has 1 complete cycle, but an interval needs at least 2 of each study; use 5 "
        "cycles"
    )
    assert "without an interval" in compared.text


def test_the_point_that_changed_is_found_among_those_that_did_not(
    base: Path, results: Path
) -> None:
    compared = compare(base, make_folder(results, 10, factors={3: 1.2}))
    verdicts = {point.label: point.verdict for point in compared.points}
    assert verdicts["n=3"] == "worse"
    assert "worse" not in {verdicts[label] for label in ("n=1", "n=2", "n=4")}
    relative = {point.label: point.ratio_to_overall for point in compared.points}
    assert math.isclose(relative["n=3"].ratio, 1.2**0.75, rel_tol=0.02)
    assert (relative["n=3"].ci95_low or 0) > 1.1
    assert (relative["n=1"].ci95_high or 9) < 1


def test_another_board_takes_away_verdicts_below_its_gain(base: Path, results: Path) -> None:
    other = change_results(
        make_folder(results, 11, factor=1.04), energy_per_device_j={"GPU-2": 100.0}
    )
    compared = compare(base, other)
    assert (compared.verdict, compared.sensor_gain) == ("cannot_be_told", 0.05)
    assert "--same-meter" in (compared.reason or "")
    assert any("different boards" in caveat for caveat in compared.caveats)
    (devices,) = [each for each in compared.differences if each.what == "metered devices"]
    assert (devices.kind, devices.base, devices.new) == ("meter", ("GPU-1",), ("GPU-2",))
    assert compare(base, other, same_meter=True).verdict == "worse"
    much = change_results(
        make_folder(results, 12, factor=1.10), energy_per_device_j={"GPU-2": 100.0}
    )
    assert compare(base, much).verdict == "worse"


def test_figures_of_different_meters_are_not_compared(base: Path, results: Path) -> None:
    other = change_results(make_folder(results, 13, factor=2.0), energy_source="rapl")
    compared = compare(base, other)
    assert compared.verdict == "cannot_be_told"
    assert (compared.ratio, compared.points) == (None, ())
    assert compared.text == "J/token: not compared"
    assert compared.reason == (
        "the base was metered by nvml and the new study by rapl, which measure different devices"
    )


def test_speed_is_compared_if_a_study_has_no_energy_and_higher_is_better(
    base: Path, results: Path
) -> None:
    slower = change_results(
        make_folder(results, 14, factor=1.05), energy_per_output_token_j=None, energy_source=None
    )
    compared = compare(base, slower, gate=0.02)
    assert (compared.figure, compared.lower_is_better) == ("tokens_per_second", False)
    assert compared.ratio is not None
    assert compared.ratio.ratio < 0.97
    assert compared.verdict == "worse"


def test_what_differs_between_the_machines_is_listed(base: Path, results: Path) -> None:
    first = read_result(next(base.glob("0001*/result.json")))
    environment = msgspec.structs.replace(
        first.environment_snapshot, driver="9", packages={"torch": "3.0"}, cpu_governor="powersave"
    )
    other = change_results(make_folder(results, 15), environment_snapshot=environment)
    compared = compare(base, other)
    assert [(each.kind, each.what, each.base, each.new) for each in compared.differences] == [
        ("machine", "CPU governor", (), ("powersave",)),
        ("software", "GPU driver", (), ("9",)),
        ("software", "package torch", (), ("3.0",)),
    ]


def test_points_of_one_study_only_are_listed_with_what_differs(base: Path, results: Path) -> None:
    compared = compare(base, make_folder(results, 16, ns=(2, 3, 4, 9)))
    assert sorted(point.label for point in compared.points) == ["n=2", "n=3", "n=4"]
    unpaired = {point.study: point for point in compared.unpaired}
    assert unpaired["base"].label == "n=1"
    assert unpaired["new"].label == "n=9"
    (field,) = unpaired["new"].differences
    assert (field.field, field.new) == ("n", "9")
    assert unpaired["new"].reason == "the other study does not have this point"


def test_an_ignored_field_pairs_points_that_differ_in_it(base: Path, results: Path) -> None:
    single, other = make_folder(results, 17, ns=(1,)), make_folder(results, 18, ns=(9,))
    with pytest.raises(ReportError) as caught:
        compare(single, other)
    assert "have no common point with results" in str(caught.value)
    assert "which differ in n (1 and 9); --ignore FIELD pairs" in str(caught.value)
    compared = compare(single, other, ignore=["n"])
    assert compared.ignored == ("n",)
    assert len(compared.points) == 1
    assert compared.verdict == "worse"
    with pytest.raises(ReportError, match="differ in ignored fields only"):
        compare(base, other, ignore=["n"])
    with pytest.raises(ReportError, match=r"no point has the field precsion; did you mean prec"):
        compare(single, other, ignore=["precsion"])


def test_a_damaged_result_counts_as_missing_and_its_cycle_as_incomplete(
    base: Path, results: Path
) -> None:
    other = make_folder(results, 19)
    damaged = read_manifest(other).entries[5]
    assert damaged.result_file is not None
    (other / damaged.result_file).write_text("{")
    compared = compare(base, other)
    assert (compared.new.n_cycles, compared.base.n_cycles) == (4, 5)
    assert any(
        caveat.startswith(f"new: run {damaged.index} counts as missing:")
        for caveat in compared.caveats
    )


def test_a_point_with_few_results_is_left_out_and_named(base: Path, results: Path) -> None:
    other = make_folder(results, 20)
    for entry in [e for e in read_manifest(other).entries if e.label == "n=2"][:4]:
        assert entry.result_file is not None
        (other / entry.result_file).unlink()
    compared = compare(base, other)
    (left_out,) = compared.unpaired
    assert (left_out.study, left_out.label) == ("new", "n=2")
    assert left_out.reason == "too few results: 1 of up to 5"
    assert (compared.new.n_cycles, len(compared.points)) == (5, 3)


def test_several_comparisons_with_one_base_have_wider_intervals(base: Path, results: Path) -> None:
    new = make_folder(results, 21)
    once, often = compare(base, new), compare(base, new, n_comparisons=4)
    assert once.ratio is not None
    assert often.ratio is not None
    assert once.ratio.ratio == often.ratio.ratio
    assert (often.ratio.ci95_low or 9) < (once.ratio.ci95_low or 0)
    assert (often.ratio.ci95_high or 0) > (once.ratio.ci95_high or 9)


def test_runs_that_both_folders_hold_are_named(base: Path, results: Path) -> None:
    copy = results / "copy"
    copy.mkdir()
    manifest = json.loads((base / "manifest.json").read_text())
    manifest["entries"] = manifest["entries"][:12]
    manifest["status"] = "interrupted"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    for entry in manifest["entries"]:
        target = copy / entry["result_file"]
        target.parent.mkdir()
        target.write_bytes((base / entry["result_file"]).read_bytes())
    compared = compare(base, copy)
    assert "12 runs are in both studies, so the intervals are too wide" in compared.caveats
    assert any(caveat.startswith("new is interrupted:") for caveat in compared.caveats)
