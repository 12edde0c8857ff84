"""Data sets of the hub through the `datasets` library: folder, cache, subset, split (CM-19, CFG-08)."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from energy.parts import run_python

from llem_config import DatasetConfig
from llem_energy import DatasetError
from llem_energy._prompts.load import read_prompts

CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*}
  - {split: test, path: data/test-*}
- config_name: small
  data_files:
  - {split: validation, path: data/small-*}
---
"""
N = {"train": 5, "test": 4, "small": 3}

_READ = """
import json, sys
from llem_config import DatasetConfig
from llem_energy import DatasetError
from llem_energy._prompts.load import read_prompts
def read(source):
    try:
        return read_prompts(DatasetConfig(source=source), 2)
    except DatasetError as error:
        return str(error)
print(json.dumps([read(source) for source in sys.argv[1:]]))
assert "torch" not in sys.modules
"""
_WITHOUT_LIBRARY = "import sys\nsys.modules['datasets'] = None\n" + _READ


def make(folder: Path) -> Path:
    """Write a data set in the layout of the hub: a card, and a Parquet file per subset and split."""
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    for name, n in N.items():
        table = pa.table({"id": list(range(n)), "text": [f"{name} {i}" for i in range(n)]})
        pq.write_table(table, folder / "data" / f"{name}-00000-of-00001.parquet")
    return folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "datasets"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make(tmp_path_factory.mktemp("hub") / "set"))


def test_a_folder_with_the_layout_of_the_hub_is_read_in_order(folder: str) -> None:
    assert read_prompts(DatasetConfig(source=folder), 3) == ("train 0", "train 1", "train 2")


def test_split_and_subset_select_rows(folder: str) -> None:
    assert read_prompts(DatasetConfig(source=folder, split="test"), 1) == ("test 0",)
    assert read_prompts(DatasetConfig(source=folder, subset="small"), 1) == ("small 0",)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"split": "absent"}, "cannot be read.*absent.*'train', 'test'"),
        ({"subset": "absent"}, "cannot be read.*absent.*'default', 'small'"),
        ({"column": "id"}, "row 1: expected text in the column 'id', found a number"),
        (
            {"column": "absent"},
            "expected a column 'absent', found 'id', 'text'; correct `dataset.col",
        ),
    ],
)
def test_a_missing_part_of_a_data_set_is_an_error_that_lists_the_existing_parts(
    folder: str, option: dict[str, str], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        read_prompts(DatasetConfig(source=folder, **option), 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (b'{"prompt": "a"}\n{"prompt": "\\ud800"}\n', "cannot be read: .*: .*surrogate"),
        ('{"prompt": "a"}\n'.encode("utf-16"), "cannot be read: .*: JSON parse error"),
        (b'{"instruction": "a", "input": "b"}\n', "found instruction, input; set `dataset"),
        (b'{"prompt": ""}\n', "row 1: the prompt is empty; remove the row"),
    ],
)
def test_rows_of_a_folder_are_checked_as_those_of_a_file(
    tmp_path: Path, rows: bytes, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_bytes(rows)
    with pytest.raises(DatasetError, match=message):
        read_prompts(DatasetConfig(source=str(tmp_path / "set")), 1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_of_several_files_the_one_with_the_bad_row_is_named(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "set" / "data"
    folder.mkdir(parents=True)
    for number, texts in enumerate((["a", "b"], ["c", " ", "d"], ["e"])):
        file = folder / f"train-{number}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.table({"prompt": texts}), file)
        elif kind == "csv":
            file.write_text("".join(f'"{text}"\n' for text in ["prompt", *texts]))
        else:
            file.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    with pytest.raises(DatasetError) as error:
        read_prompts(DatasetConfig(source=str(tmp_path / "set")), 5)
    assert str(error.value) == (
        f"{tmp_path / 'set'}: row 4 (row 2 of data/train-1.{kind}): the prompt is only white space; "
        "remove the row"
    )


def test_of_several_files_the_damaged_one_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = {
        "b.jsonl": b'{"prompt": "a"}\n{"prompt": \n',
        "b.csv": b'prompt\n"a\n',
        "b.parquet": b"PAR1 no Parquet file PAR1",
    }
    for name, content in damaged.items():
        folder = tmp_path / f"set {name}"
        folder.mkdir()
        for good in ("a", "c"):
            table = pa.table({"prompt": ["x"]})
            file = folder / name.replace("b.", f"{good}.")
            if name.endswith("parquet"):
                pq.write_table(table, file)
            else:
                file.write_text("prompt\nx\n" if name.endswith("csv") else '{"prompt": "x"}\n')
        (folder / name).write_bytes(content)
        with pytest.raises(DatasetError) as caught:
            read_prompts(DatasetConfig(source=str(folder)), 3)
        assert str(folder / name) in str(caught.value), name
        assert capfd.readouterr().err == ""


def test_too_few_rows_are_an_error_with_both_numbers(folder: str) -> None:
    with pytest.raises(DatasetError, match="at least n = 6 prompts, found 5"):
        read_prompts(DatasetConfig(source=folder), 6)


def test_a_cached_data_set_is_read_without_network_and_without_torch(
    tmp_path: Path,
) -> None:
    repository = tmp_path / "hub" / "datasets--AIEnergyScore--text_generation"
    make(repository / "snapshots" / "0123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    env = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    cached, absent = json.loads(run_python(_READ, "aienergyscore", "someone/prompts", env=env))
    assert cached == ["train 0", "train 1"]
    message = (
        "the data set someone/prompts is not in the local cache, and {0} is set; download the "
        "data set, or unset {0}"
    )
    assert absent == message.format("HF_HUB_OFFLINE")
    env = {"HF_HOME": str(tmp_path), "HF_DATASETS_OFFLINE": "1"}
    (absent,) = json.loads(run_python(_READ, "someone/prompts", env=env))
    assert absent == message.format("HF_DATASETS_OFFLINE")


def test_a_hub_out_of_reach_is_reported_at_once_and_the_cache_is_read(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "datasets--someone--texts"
    make(repository / "snapshots" / "0123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nothing listens there
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        env = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": f"http://{address}", "HF_HUB_OFFLINE": "0"}
        cached, absent = json.loads(run_python(_READ, "someone/texts", "someone/else", env=env))
    assert cached == ["train 0", "train 1"]
    assert absent == (
        "the data set someone/else is not in the local cache, and the hub cannot be reached "
        f"({address}: Connection refused); download the data set where the hub can be reached"
    )


def test_without_the_library_the_error_says_how_to_install_it() -> None:
    (message,) = json.loads(run_python(_WITHOUT_LIBRARY, "someone/prompts"))
    assert message == (
        "the data set someone/prompts needs the library datasets; install it with "
        "`pip install 'llem-energy[datasets]'`"
    )
