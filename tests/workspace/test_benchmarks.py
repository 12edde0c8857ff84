"""The benchmarks of energy measure with what everybody can import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def private_imports(text: str) -> Iterator[str]:
    """Yield the modules of llem that a program imports although their names begin with `_`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            if package.startswith("llem_") and any(part.startswith("_") for part in rest):
                yield name


def test_the_benchmarks_of_energy_import_nothing_private() -> None:
    benchmarks = ROOT / "benchmarks"
    files = [*benchmarks.glob("energy*.py"), *benchmarks.glob("energy/**/*.py")]
    assert {"energy_meter.py", "our_side.py", "tenants_side.py", "guarded_windows.py"} <= {
        file.name for file in files
    }
    found = [name for file in files for name in private_imports(file.read_text("utf-8"))]
    assert found == []


def test_a_private_import_is_found() -> None:
    assert [*private_imports("from llem_energy._metering import sampler")] == [
        "llem_energy._metering.sampler"
    ]
    assert [*private_imports("def f():\n    import llem_runner.plan, llem_cli._app as a")] == [
        "llem_cli._app"
    ]
    assert not [*private_imports("from llem_energy.sources import Sampler\nimport _thread")]
