import gzip
import random

import pytest

from featstore.sources import gzip_stream
from featstore.sources.gzip_stream import BombError, GzipStream


@pytest.fixture
def content():
    return random.Random(0).randbytes(700_000) + bytes(300_000) + random.Random(1).randbytes(200_001)


def test_it_reads_what_gzip_reads(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    stream = GzipStream(bytes(tmp_path / "a.gz"))
    assert stream.read() == content and stream.read(10) == b"" and stream.tell() == len(content)


def test_files_behind_each_other_and_padding_are_one_stream(tmp_path, content):
    packed = gzip.compress(content[:1000]) + gzip.compress(content[1000:5000]) + bytes(100_000)
    (tmp_path / "a.gz").write_bytes(packed)
    assert GzipStream(bytes(tmp_path / "a.gz")).read() == content[:5000]


def test_any_place_is_reached_in_any_order_with_few_checkpoints(tmp_path, content, monkeypatch):
    monkeypatch.setattr(gzip_stream, "SPACING", 10_000)
    monkeypatch.setattr(gzip_stream, "CHECKPOINTS", 8)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    stream = GzipStream(bytes(tmp_path / "a.gz"))
    rng = random.Random(0)
    for _ in range(60):
        at, size = rng.randrange(len(content)), rng.randrange(50_000)
        assert stream.seek(at) == at
        assert stream.read(size) == content[at : at + size]
        assert len(stream._checkpoints) <= 8


def test_going_back_costs_no_more_than_from_the_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(gzip_stream, "SPACING", 100_000)
    content = random.Random(0).randbytes(2_000_000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    stream = GzipStream(bytes(tmp_path / "a.gz"))
    stream.seek(1_900_000)
    passed = []
    real = stream._some
    stream._some = lambda most: passed.append(piece := real(most)) or piece
    stream.seek(1_800_000)
    assert sum(map(len, passed)) <= 100_000 + gzip_stream.INPUT + gzip_stream.PIECE


def test_who_waits_hears_that_it_goes_on(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(5 << 20)))
    heard = []
    GzipStream(bytes(tmp_path / "a.gz"), lambda: heard.append(1)).seek(5 << 20)
    assert len(heard) >= 5


def test_a_cut_or_damaged_file_is_an_oserror(tmp_path, content):
    packed = gzip.compress(content)
    (tmp_path / "cut.gz").write_bytes(packed[:-5000])
    with pytest.raises(OSError, match="ends too early"):
        GzipStream(bytes(tmp_path / "cut.gz")).read()
    (tmp_path / "bad.gz").write_bytes(packed[:-6] + b"\1\2" + packed[-4:])
    with pytest.raises(OSError, match="damaged"):
        GzipStream(bytes(tmp_path / "bad.gz")).read()


def test_a_bomb_is_not_unpacked_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(gzip_stream, "GRACE", 1 << 20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(40 << 20)))
    with pytest.raises(BombError, match="a bomb is not read"):
        GzipStream(bytes(tmp_path / "bomb.gz")).seek(40 << 20)
