"""Which source data are, by what lies there and not by who asks."""

import functools
import http.server
import io
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
    assert found.labelled.found.runs == [(1, b"0", ""), (1, b"1", "")]
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


def tarred(path, members):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, number in members:
            data = encode(texture(number)) if isinstance(number, int) else number
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def runs(place, **said):
    return {(name, split) for _, name, split in opened(place, **said)[0].labelled.found.runs}


def test_pictures_beside_packed_data_do_not_hide_them(tmp_path):
    hub = tmp_path / "hub"
    (hub / "data").mkdir(parents=True)
    (hub / "assets").mkdir()
    (hub / "assets" / "logo.jpg").write_bytes(encode(texture(9, 8, 8)))
    cells = [{"bytes": encode(texture(i)), "path": None} for i in range(6)]
    pq.write_table(pa.table({"image": cells, "label": list("xyxyxy")}), hub / "data" / "train-00000-of-00001.parquet")
    found, _ = opened(hub)
    assert found.labelled.layout == "parquet" and len(found.labelled.found.paths) == 6
    assert any(
        "1 pictures beside the Parquet files left out (such as assets/logo.jpg)" in n for n in found.labelled.notes
    )
    assert opened(hub, layout="class-folders")[0].labelled.layout != "parquet"


def test_plain_archives_in_a_folder_are_read_as_what_they_hold(tmp_path):
    for name in ("one", "parts", "classes", "wrapped"):
        (tmp_path / name).mkdir()
    tarred(tmp_path / "one" / "pets.tar", [(f"pets/{c}/{i}.jpg", i) for c in ("cat", "dog") for i in range(2)])
    assert runs(tmp_path / "one") == {(b"cat", ""), (b"dog", "")}
    for part in ("train.tar.gz", "val.tar"):
        tarred(tmp_path / "parts" / part, [(f"pets/{c}/{i}.jpg", i) for c in ("cat", "dog") for i in range(2)])
    assert runs(tmp_path / "parts") == {(c, p) for c in (b"cat", b"dog") for p in ("train", "val")}
    for name in ("n01440764", "n01443537"):
        tarred(tmp_path / "classes" / f"{name}.tar", [(f"{name}_{i}.JPEG", i) for i in range(2)])
    assert runs(tmp_path / "classes") == {(b"n01440764", ""), (b"n01443537", "")}
    for shard in range(2):
        tarred(
            tmp_path / "wrapped" / f"a-00{shard}.tar",
            [(f"data/{part}/{c}/{i}.jpg", i) for part in ("train", "test") for c in ("cat", "dog") for i in range(2)],
        )
    assert runs(tmp_path / "wrapped") == {(c, p) for c in (b"cat", b"dog") for p in ("train", "test")}


def test_images_without_a_label_are_taken_where_that_is_asked_for_alone(tmp_path):
    samples = [("0.jpg", 0), ("0.cls", b"1"), ("1.jpg", 1), ("1.cls", b"0"), ("2.jpg", 2)]
    archive = tarred(tmp_path / "a.tar", samples)
    found, _ = opened(archive)
    assert len(found.labelled.found.paths) == 2
    assert "1 images without a label left out; `unlabelled=True` takes such images, too" in found.labelled.notes
    assert len(opened(archive, unlabelled=True)[0].labelled.found.paths) == 3
    pq.write_table(pa.table({"image": [{"bytes": encode(texture(0)), "path": None}]}), tmp_path / "a.parquet")
    with pytest.raises(ImageSetError, match="none of the 1 images in .*a.parquet has a label; say where"):
        open_data(tmp_path / "a.parquet", Reading())


def test_shards_beside_a_picture_are_still_shards(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "figure.jpg").write_bytes(encode(texture(9, 8, 8)))
    for shard in range(2):
        samples = [(f"{shard}{i}.jpg", 10 * shard + i) for i in range(3)]
        tarred(tmp_path / f"train-00{shard}.tar", [*samples, *((f"{shard}{i}.cls", b"%d" % (i % 2)) for i in range(3))])
    assert runs(tmp_path) == {(b"0", "train"), (b"1", "train")}
    assert any("docs/figure.jpg" in note for note in opened(tmp_path)[0].labelled.notes)
