"""Fixtures that write and load a study file; tests/conftest.py isolates the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from llem_config import ConfigError, StudyConfig, load_study


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., StudyConfig]:
    """Return a function that writes a study file, and files beside it, and loads it."""

    def load(
        text: str | bytes, *, files: Mapping[str, str] | None = None, **layers: Any
    ) -> StudyConfig:
        for name, content in (files or {}).items():
            (tmp_path / name).write_text(content)
        path = tmp_path / "study.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_study(path, **layers)

    return load


@pytest.fixture
def faults(load: Callable[..., StudyConfig], tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that loads a broken study file and returns its faults as text."""

    def faults(text: str | bytes, **options: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, **options)
        return [str(fault).replace(f"{tmp_path}/", "") for fault in caught.value.faults]

    return faults
