"""What the intervals of an analysis do not cover is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report.comparison.folders import make_folder
from report.study_data.folders import edit_manifest

from llem_report import analyse


def test_an_unfinished_study_says_when_its_intervals_do_not_hold(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 1, ns=(1, 2), cycles=5)
    assert not any("planned cycles" in caveat for caveat in analyse(folder).caveats)

    def stop_after_three_cycles(manifest: dict[str, Any]) -> None:
        manifest["status"] = "interrupted"
        for entry in manifest["entries"]:
            if entry["cycle"] > 3:
                entry |= {"status": "pending", "result_file": None, "result_sha256": None}

    edit_manifest(folder, stop_after_three_cycles)
    (caveat,) = [caveat for caveat in analyse(folder).caveats if "planned cycles" in caveat]
    assert caveat == (
        "3 of 5 planned cycles have run; the intervals do not hold if the study ends here because "
        "of what these results show"
    )
