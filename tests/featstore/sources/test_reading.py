import os
import resource
import subprocess
import sys

import pytest

from featstore.sources import reading
from featstore.sources.address import FileRange, ParquetCell, StreamRange
from featstore.sources.addresses import addresses
from featstore.sources.reading import pieces, read, size_of
from tests.support.archives import KINDS, pictures, written


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("folder", "shards")])
def test_more_than_the_limit_is_refused_in_every_container(tmp_path, kind):
    files = pictures(1)
    place = written(files, tmp_path, kind)
    (address,) = addresses([os.fsencode(place / "ants/0.jpg")])
    size = len(files["ants/0.jpg"])
    assert read(address, size) == files["ants/0.jpg"]
    with pytest.raises(OSError, match=f"{size:,} bytes, more than the {size - 1:,} that an image may take"):
        read(address, size - 1)


def test_plain_files_are_read_and_others_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"hello")
    path = os.fsencode(tmp_path / "a")
    assert read(path, 5) == b"hello" and size_of(path) == 5 and b"".join(pieces(path)) == b"hello"
    with pytest.raises(OSError, match="5 bytes, more than the 4"):
        read(path, 4)
    with pytest.raises(OSError, match="not a regular file"):
        read(os.fsencode(tmp_path), 4)
    with pytest.raises(FileNotFoundError):
        read(os.fsencode(tmp_path / "b"), 4)


def test_a_range_beyond_the_end_is_an_oserror(tmp_path):
    (tmp_path / "a").write_bytes(b"hello")
    with pytest.raises(OSError, match="ends 3 bytes too early"):
        read(FileRange(3, 5, os.fsencode(tmp_path / "a")).address(), 100)


def test_a_stream_is_opened_once_for_members_in_order_and_anew_when_it_changes(tmp_path, monkeypatch):
    opened = []
    real = reading.GzipStream
    monkeypatch.setattr(reading, "GzipStream", lambda path: opened.append(path) or real(path))
    files = pictures(20)
    place = written(files, tmp_path, "tar.gz")
    found = addresses([os.fsencode(place / name) for name in files])
    assert [read(address, 10**6) for address in found] == list(files.values()) and len(opened) == 1
    written(pictures(3), tmp_path, "tar.gz")
    with pytest.raises(OSError, match="ends"):
        read(found[-1], 10**6)
    assert len(opened) == 2
    assert read(found[0], 10**6) == files["ants/0.jpg"]


def test_a_stream_that_is_no_gzip_file_is_an_oserror(tmp_path):
    (tmp_path / "a.tgz").write_bytes(b"hello" * 100)
    with pytest.raises(OSError, match="damaged"):
        read(StreamRange(5, 5, os.fsencode(tmp_path / "a.tgz")).address(), 100)
    (tmp_path / "a.parquet").write_bytes(b"hello" * 100)
    with pytest.raises(OSError, match="Parquet"):
        read(ParquetCell(0, 0, b"image.bytes", os.fsencode(tmp_path / "a.parquet")).address(), 100)


def test_pyarrow_is_loaded_for_cells_only_and_works_under_a_limit_of_memory(tmp_path):
    place = written(pictures(30), tmp_path, "parquet")
    tar = written(pictures(1), tmp_path, "tar.gz")
    code = f"""
import os, resource, sys
from featstore.decoding.worker import _limit_memory
from featstore.sources.address import ParquetCell, StreamRange
from featstore.sources.reading import read
_limit_memory(1 << 30)
read(StreamRange(512, 10, {os.fsencode(tar)!r}).address(), 100)
assert "pyarrow" not in sys.modules and "torch" not in sys.modules
for group in range(20):
    assert read(ParquetCell(group, 2, b"image.bytes", {os.fsencode(place)!r}).address(), 10**6)[:2] == b"\\xff\\xd8"
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert resource.getrlimit(resource.RLIMIT_AS)
