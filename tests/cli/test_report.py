"""`study report` and `study run --report`: files, output and exit codes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cli.conftest import Run
from report.study_data.folders import make_folder

SWEEP = "sweep: {pytorch.batch_size: [1, 8], precision: [fp32, bf16]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    return make_folder(tmp_path / "made", SWEEP, n_cycles=3)


@pytest.mark.slow
def test_the_report_is_in_the_folder_of_the_study(llem: Run, folder: Path) -> None:
    for _ in range(2):  # the second one replaces the first one
        done = llem("study", "report", folder, "--static")
        assert (done.returncode, done.stderr) == (0, "")
        n_bytes = (folder / "report.html").stat().st_size
        assert f"{folder / 'report.html'}: {n_bytes:,} bytes; open it" in done.stdout
    page = (folder / "report.html").read_text()
    assert "<script" not in page
    assert "4 points \N{MULTIPLICATION SIGN} 3 cycles" in page


@pytest.mark.slow
def test_figures_and_tables_for_a_paper(llem: Run, folder: Path, tmp_path: Path) -> None:
    done = llem(
        "study", "report", folder, "--static", "--output", "page.html", "--figures", "paper",
        "--format", "svg,json,pdf", "--width", "column", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["report"] == "page.html"
    assert printed["analysis"]["n_points"] == 4
    names = {Path(path).name for path in printed["figures"]}
    assert {"1_effects.svg", "1_effects.json", "1_effects.pdf", "table_effects.tex"} <= names
    assert {path.name for path in (tmp_path / "paper").iterdir()} == names
    svg = ET.parse(tmp_path / "paper" / "1_effects.svg").getroot()
    assert float(svg.attrib["width"]) < 400
    again = ("study", "report", folder, "--static", "--figures", "paper")
    refused = llem(*again)
    assert refused.returncode == 1
    assert "1_effects.svg exists; use another name, or --force" in refused.stderr
    assert llem(*again, "--force").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--format", "svg,gif"), 2, "--format: expected svg, pdf, png or json, found 'gif'"),
        (("--figure", "energy"), 2, "--figure: expected the name of a figure, found 'energy'"),
        (
            ("--figure", "speed"),
            2,
            "speed is a picture of the report: `study report --figures DIR`",
        ),
        (("--figure", "inter_token_latency_s"), 1, "no run has inter_token_latency_s"),
        (("--output", "study.yaml"), 1, "study.yaml exists; use another name, or --force"),
        (("--output", "none/page.html"), 1, "none/page.html cannot be written"),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    llem: Run, folder: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    (tmp_path / "study.yaml").write_text("kept")
    done = llem("study", "report", folder, *arguments)
    assert done.returncode == code
    assert problem in done.stderr
    assert (tmp_path / "study.yaml").read_text() == "kept"
    assert not (folder / "report.html").exists()


def test_a_folder_that_is_no_study_is_one_sentence(llem: Run, tmp_path: Path) -> None:
    done = llem("study", "report", tmp_path / "none")
    assert done.returncode == 2
    assert "none" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_written_is_a_sentence_and_leaves_nothing(
    llem: Run, folder: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = llem("study", "report", folder, "--output", "absent/page.html")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: absent/page.html cannot be written: No such file or directory; nothing was written\n"
    )
    assert sorted(tmp_path.rglob("*")) == before
