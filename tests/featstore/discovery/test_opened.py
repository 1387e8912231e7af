"""Which source data are, by what lies there and not by who asks."""

import functools
import http.server
import tarfile
import threading
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featstore.discovery.opened import open_data
from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images.reading import Reading
from tests.support.pictures import encode, texture, write_tree


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "pets", each=2)


def opened(place, **said):
    found = open_data(place, Reading(**said))
    paths = found.labelled.found.paths
    return found, found.addresses(paths, np.arange(len(paths)))


def zipped(tree):
    path = tree.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(tree.rglob("*.jpg")):
            archive.write(file, file.relative_to(tree.parent))
    return path


def test_a_folder_an_archive_and_a_list_of_the_same_images(tree):
    folder, plain = opened(tree)
    assert folder.root == bytes(tree.resolve()) and all(address.startswith(folder.root) for address in plain)
    archive, inside = opened(zipped(tree))
    assert archive.root == bytes(tree.with_suffix(".zip").resolve()) and all(a[:1] == b"\0" for a in inside)
    rows = "".join(f"{file.relative_to(tree)},{file.parent.name}\n" for file in tree.rglob("*.jpg"))
    (tree / "list.csv").write_text("path,label\n" + rows)
    listed, there = opened(tree / "list.csv")
    assert sorted(there) == sorted(plain) and listed.labelled.layout == "list"
    for data in (archive, listed):
        assert {name for _, name, _ in data.labelled.found.runs} == {b"ants", b"bees"}


def test_a_folder_of_nothing_but_shards_or_parquet_files_is_opened_as_these(tmp_path):
    for kind in ("shards", "hub/data"):
        (tmp_path / kind).mkdir(parents=True)
    image = encode(texture(1))
    with tarfile.open(tmp_path / "shards" / "train-000.tar", "w") as archive:
        for number in range(2):
            (tmp_path / "a").write_bytes(image)
            archive.add(tmp_path / "a", f"{number}.jpg")
            (tmp_path / "a").write_text(str(number))
            archive.add(tmp_path / "a", f"{number}.cls")
    found, addresses = opened(tmp_path / "shards")
    assert found.labelled.layout == "webdataset" and len(addresses) == 2
    assert found.labelled.found.runs == [(1, b"0", "train"), (1, b"1", "train")]
    table = pa.table({"image": [{"bytes": image, "path": "1.jpg"}] * 2, "label": ["x", "y"]})
    pq.write_table(table, tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    found, addresses = opened(tmp_path / "hub")
    assert found.labelled.layout == "parquet" and len(addresses) == 2


def test_a_parquet_file_without_bytes_is_a_list(tree):
    files = sorted(tree.rglob("*.jpg"))
    table = pa.table({"path": [str(f.relative_to(tree)) for f in files], "label": [f.parent.name for f in files]})
    pq.write_table(table, tree / "list.parquet")
    assert opened(tree / "list.parquet")[0].labelled.layout == "list"


def test_an_address_is_downloaded_once_and_recorded_with_its_hash(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    zipped(tree)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/pets.zip"
        for _ in range(2):
            found, places = opened(address)
            assert len(places) == 4 and len(found.about["sha256"]) == 64 and found.about["address"] == address
    finally:
        server.shutdown()
        server.server_close()
    assert asked == ["/pets.zip"]


@pytest.mark.parametrize(
    ("name", "content", "error", "sentence"),
    [
        ("nothing", None, ImagesNotFoundError, "nothing does not exist; expected a folder of images, a list"),
        ("notes.doc", b"text", ImageSetError, "notes.doc is a file; expected a folder of images, a list"),
        ("page.zip", b"<!doctype html>", ImageSetError, "page.zip is named like an archive"),
        ("shard-{0..9}.tar", None, ImagesNotFoundError, "none of the 10 files"),
        ("cut.parquet", b"PAR1", ImageSetError, "cut.parquet"),
    ],
)
def test_what_cannot_be_opened_is_told(tmp_path, name, content, error, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=sentence.replace("{", r"\{")):
        open_data(tmp_path / name, Reading())
