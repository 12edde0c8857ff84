"""The browser that opens pages in tests: found, required in CI, and able to run a script."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from report.browser.chromium import NAMES, VARIABLE, find_chromium
from workspace.repository import ROOT

PAGE = "<!doctype html><title>no</title><script>document.title = 6 * 7</script>"


def test_the_first_browser_of_the_list_is_found(tmp_path: Path) -> None:
    for name in NAMES[1:]:
        (tmp_path / name).touch(mode=0o755)
    assert find_chromium(path=str(tmp_path)) == str(tmp_path / NAMES[1])


def test_without_a_browser_a_test_is_skipped_or_fails(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="found none"):
        find_chromium(path=str(tmp_path), required=False)
    with pytest.raises(pytest.fail.Exception, match=f"do not set {VARIABLE}"):
        find_chromium(path=str(tmp_path), required=True)


def test_ci_installs_a_browser_and_requires_it() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert f"export {VARIABLE}=1\n" in script
    assert script.index(VARIABLE) < script.index("uv run pytest")
    (searched,) = re.findall(r"command -v (chromium [\w -]+?) >", script)
    assert tuple(searched.split()) == NAMES


def test_the_browser_runs_the_script_of_a_local_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE)
    program = find_chromium()
    # Processes of root have no sandbox of Chromium; the page is our own.
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    done = subprocess.run(
        [program, *options, "--dump-dom", page.as_uri()],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "<title>42</title>" in done.stdout
