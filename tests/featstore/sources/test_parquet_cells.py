import os
import threading

import pytest

from featstore.sources.address import ParquetCell
from featstore.sources.parquet_cells import cell, open_parquet
from tests.support.archives import parquet_of, pictures


def place(path, group, row, column=b"image.bytes"):
    return ParquetCell(group, row, column, os.fsencode(path))


def test_cells_are_read_in_any_order_and_by_any_thread(tmp_path):
    files = list(pictures(20).items())
    path = parquet_of(dict(files), tmp_path / "a.parquet", rows=17)
    order = [*range(40), *range(39, -1, -1), 3, 30, 3]
    wrong = []

    def run():
        wrong.extend(i for i in order if cell(place(path, i // 17, i % 17)) != files[i][1])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_not_there_is_an_oserror(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = parquet_of(pictures(2), tmp_path / "a.parquet")
    for group, row, column in ((0, 99, b"image.bytes"), (99, 0, b"image.bytes"), (0, 0, b"none.bytes")):
        with pytest.raises(OSError, match="Parquet|row"):
            cell(place(path, group, row, column))
    pq.write_table(pa.table({"image": pa.array([b"x", None])}), tmp_path / "b.parquet")
    assert cell(place(tmp_path / "b.parquet", 0, 0, b"image")) == b"x"
    with pytest.raises(OSError, match="cell of the Parquet file is empty"):
        cell(place(tmp_path / "b.parquet", 0, 1, b"image"))


def test_a_damaged_file_is_an_oserror(tmp_path):
    path = parquet_of(pictures(20), tmp_path / "a.parquet")
    data = bytearray(path.read_bytes())
    for at in range(200, len(data) // 2, 97):
        data[at] ^= 255
    path.write_bytes(data)
    failures = 0
    for group in range(10):
        try:
            cell(place(path, group, 1))
        except OSError as error:
            failures += 1
            assert error.strerror
    assert failures
    path.write_bytes(data[:-100])
    with pytest.raises(OSError, match="not a Parquet file"):
        open_parquet(os.fsencode(path))
