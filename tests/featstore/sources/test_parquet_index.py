import os

import pytest

from featstore.sources.address import ParquetCell, parse
from featstore.sources.parquet_index import ParquetIndex
from featstore.sources.reading import read
from tests.support.archives import parquet_of, pictures


def test_rows_go_by_their_number_and_by_the_cells_own_path(tmp_path):
    files = pictures(4)
    path = os.fsencode(parquet_of(files, tmp_path / "a.parquet"))
    index = ParquetIndex(path)
    assert parse(index.address(b"7")) == ParquetCell(2, 1, b"image.bytes", path)
    assert index.address(b"bees/3.jpg") == index.address(b"7") == index.address(b"image.bytes:7")
    assert read(index.address(b"7"), 10**6) == files["bees/3.jpg"]
    assert [index.address(name) for name in (b"8", b"-1", b"07", b"x", b"", b"none:1", b"9" * 30)] == [None] * 7


@pytest.mark.parametrize("paths", [["a", "a"], ["a", None], ["/a", "b"], ["../a", "b"], ["1", "b"], ["a\\b", "c"]])
def test_paths_that_are_not_unique_or_lead_astray_are_not_used(tmp_path, paths):
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = [{"bytes": b"x", "path": path} for path in paths]
    pq.write_table(pa.table({"image": image}), tmp_path / "a.parquet")
    index = ParquetIndex(os.fsencode(tmp_path / "a.parquet"))
    assert index.names("image.bytes") == {} and index.address(b"1") is not None


def test_a_table_without_bytes_has_no_cells(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"path": ["a.jpg"], "label": [1]}), tmp_path / "a.parquet")
    assert ParquetIndex(os.fsencode(tmp_path / "a.parquet")).address(b"0") is None
