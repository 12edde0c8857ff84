"""Small Parquet files that would fill the memory, and the sizes of pages that tell (CM-19)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llem_config import DatasetConfig
from llem_energy._prompts.examine import examine
from llem_energy._prompts.parquet_files import parquet_table
from llem_energy._prompts.parquet_pages import Page, pages

MB = 2**20


def write(path: Path, column: Any, **options: Any) -> Path:
    pq.write_table(pa.table({"prompt": column}), path, **options)
    return path


def found(path: Path) -> list[Page]:
    with pq.ParquetFile(path) as file, path.open("rb") as content:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        return [page for group in groups for page in pages(content, group.column(0))]


def problems(path: Path, n: int) -> list[str]:
    examined = examine(DatasetConfig(source=str(path)), n)
    return [str(problem) for problem in examined.problems_of(n)]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
@pytest.mark.parametrize("use_dictionary", [True, False])
@pytest.mark.parametrize("is_nested", [True, False])
def test_the_sizes_of_the_pages_add_up_to_those_of_the_file(
    tmp_path: Path, version: str, compression: str, use_dictionary: bool, is_nested: bool
) -> None:
    texts = [f"{number % 700} " * 50 for number in range(20_000)]
    column = [{"text": [text]} for text in texts] if is_nested else texts
    path = write(
        tmp_path / "s.parquet", column, data_page_version=version, compression=compression,
        use_dictionary=use_dictionary, row_group_size=7000, data_page_size=50_000,
        write_page_checksum=version == "1.0",
    )  # fmt: skip
    metadata = pq.read_metadata(path)
    sizes = [metadata.row_group(number).column(0) for number in range(metadata.num_row_groups)]
    total = sum(chunk.total_uncompressed_size for chunk in sizes)  # includes the headers
    assert total * 0.97 < sum(page.n_bytes for page in found(path)) < total
    assert sum(page.is_dictionary for page in found(path)) == (3 if use_dictionary else 0)
    assert len(found(path)) > (3 if use_dictionary else 15)


def test_a_page_of_300_megabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "s.parquet", ["x" * 300 * MB], compression="zstd", use_dictionary=False)
    assert path.stat().st_size < MB
    content = bytearray(path.read_bytes())
    content[1000:2000] = bytes(1000)  # a reader of the page finds it damaged
    path.write_bytes(content)
    (problem,) = problems(path, 1)
    assert "row 1: expected a page of at most 64 MiB from" in problem


def test_rows_before_a_page_that_is_too_large_are_used(tmp_path: Path) -> None:
    texts = ["a", "b", "x" * 300 * MB]
    path = write(
        tmp_path / "s.parquet", texts, compression="zstd", use_dictionary=False, row_group_size=2
    )
    assert problems(path, 2) == []
    assert "row 3: expected a page of at most 64 MiB from" in problems(path, 3)[0]


def test_rows_that_repeat_a_large_value_are_read_one_at_a_time(tmp_path: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), ["x" * 10 * MB])
    path = write(tmp_path / "s.parquet", column, compression="zstd")
    assert path.stat().st_size < MB
    del column
    rows = parquet_table(path).rows(("prompt",))
    for _ in range(5):
        assert len(str(next(rows).cells["prompt"])) == 10 * MB
        assert pa.total_allocated_bytes() < 100 * MB  # a batch of 64 rows has 640 MB


def test_a_large_page_of_text_that_compresses_little_is_read(tmp_path: Path) -> None:
    letters = random.Random(1).choices("abcdefgh", k=2**20)  # not for cryptography
    texts = ["".join(letters)] * 100
    path = write(tmp_path / "s.parquet", texts, compression="snappy", use_dictionary=False)
    assert max(page.n_bytes for page in found(path)) > 64 * MB
    assert problems(path, 100) == []
