"""`validate` and `plan` look at a study, its models and its data sets, and write no file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Run
from fakes.studies import model_folder

CODE = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
"""


def state(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize(
    "command", [["plan"], ["plan", "--json"], ["validate"], ["validate", "--data"]]
)
def test_looking_at_a_study_writes_no_file_and_runs_no_code_of_its_model(
    llem: Run, tmp_path: Path, command: list[str]
) -> None:
    model = Path(model_folder(tmp_path))
    classes = {"AutoConfig": "configuration_x.C", "AutoModelForCausalLM": "modeling_x.M"}
    (model / "config.json").write_text(json.dumps({"model_type": "x", "auto_map": classes}))
    (model / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["tokenization_x.T", None]}})
    )
    for name in ("configuration_x.py", "modeling_x.py", "tokenization_x.py", "sitecustomize.py"):
        (model / name).write_text(CODE)
        (tmp_path / name).write_text(CODE)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    (tmp_path / "study.yaml").write_text(
        f"model: ./{model.relative_to(tmp_path)}\npytorch: {{device: cpu}}\n"
        "sweep: {n: [1, 2]}\ndataset: {source: prompts.jsonl}\n"
    )
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    before = state(tmp_path)
    done = llem(
        "study", *command, "study.yaml",
        HOME=str(tmp_path / "home"), TMPDIR=str(tmp_path / "temporary"),
        XDG_CACHE_HOME=str(tmp_path / "home" / "cache"), LLEM_CACHE="",
        PYTHONDONTWRITEBYTECODE="", HF_HOME=str(tmp_path / "home" / "hub"),
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert "error in llem itself" not in done.stderr
    assert state(tmp_path) == before
