"""Images without labels, wherever they lie: files, folders, archives, lists."""

import os
import zipfile

import pytest

from featstore import FeatureStore
from featstore.discovery.unlabelled import find_images
from featstore.errors import FeatstoreError, ImageSetError, ImagesNotFoundError
from featstore.images.reading import Reading
from featstore.sources.reading import read
from tests.support.archives import KINDS, parquet_of, written
from tests.support.pictures import encode, texture

JPEG = encode(texture(0))
PSD = b"8BPS" + bytes(60)
PICTURES = {name: encode(texture(number)) for number, name in enumerate(("cats/2.jpg", "cats/10.jpg", "dogs/1.png"))}


def put(path, data=JPEG):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def folder_of(root, files=None):
    for name, data in (files or PICTURES).items():
        put(root / name, data)
    return root


def test_folders_are_searched_to_the_bottom_in_byte_order(tmp_path):
    names = ("b.jpg", "a/z.jpg", "a/b/c.PNG", "a b.jpg", "new\nline.jpg", "no-extension", ".hidden.jpg", ".git/x.jpg")
    for name in names:
        put(tmp_path / name)
    found = find_images([tmp_path])
    relative = [os.path.relpath(path, os.fsencode(tmp_path)) for path in found.paths]
    assert relative == [b"a b.jpg", b"a/b/c.PNG", b"a/z.jpg", b"b.jpg", b"new\nline.jpg", b"no-extension"]
    assert found.failed == found.skipped == ()
    assert found.names[4] == f"{tmp_path}/new\\nline.jpg" and found.ids == found.names


def test_a_named_file_is_taken_whatever_its_name_and_order_is_kept(tmp_path):
    first, second = put(tmp_path / "z.dat", b"no image"), put(tmp_path / "a.jpg")
    assert find_images([first, second, first]).paths == (os.fsencode(first), os.fsencode(second))
    put(tmp_path / "folder" / "b.jpg")
    assert len(find_images([second, tmp_path]).paths) == 2


def test_names_that_are_no_text(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe.jpg"
    with open(path, "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(JPEG)
    found = find_images([tmp_path])
    assert found.paths == (path,) and found.names == (f"{tmp_path}/\\xff\\xfe.jpg",)


def test_links_that_lead_in_circles_end_and_are_not_told_for_nothing_is_lost(tmp_path):
    put(tmp_path / "a" / "b.jpg")
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    (tmp_path / "up").symlink_to(tmp_path)
    found = find_images([tmp_path])
    assert len(found.paths) == 1 and found.failed == found.skipped == ()


def test_what_is_named_like_an_image_but_is_none_has_failed_with_its_reason(tmp_path):
    put(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    found = find_images([tmp_path])
    assert len(found.paths) == 1 and found.skipped == ()
    assert dict(found.failed) == {
        str(tmp_path / "pipe.jpg"): "a named pipe", str(tmp_path / "broken.png"): "a link that leads nowhere",
    }  # fmt: skip


def test_every_other_file_is_told_with_what_it_is_and_those_of_the_system_are_not(tmp_path):
    put(tmp_path / "a.jpg")
    for name in ("x/1.PSD", "x/2.psd"):
        put(tmp_path / name, PSD)
    put(tmp_path / "notes.md", b"hello")
    for name in ("Thumbs.db", ".DS_Store", "__MACOSX/._a.jpg", "@eaDir/a.jpg/S.jpg"):
        put(tmp_path / name, b"any")
    found = find_images([tmp_path])
    assert len(found.paths) == 1 and found.failed == ()
    assert dict(found.skipped) == {
        str(tmp_path / "x/1.PSD"): "not a supported image: PSD",
        str(tmp_path / "x/2.psd"): "not a supported image: PSD",
        str(tmp_path / "notes.md"): "not a supported image: text",
    }


def test_where_there_is_no_image_what_is_there_is_told(tmp_path):
    put(tmp_path / "a.PSD", PSD)
    put(tmp_path / "b.PSD", PSD)
    with pytest.raises(
        ImagesNotFoundError, match=r"there is no image in .* \(2 other files, such as .*a\.PSD: PSD\); expected JPEG"
    ):
        find_images([tmp_path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImagesNotFoundError, match=r"there is no image in .*/empty; expected JPEG"):
        find_images([tmp_path / "empty"])
    with pytest.raises(ImagesNotFoundError, match=r"none\.jpg cannot be opened: No such file"):
        find_images([tmp_path / "none.jpg"])


def test_a_feature_store_is_called_what_it_is(tmp_path):
    FeatureStore(tmp_path / "s", create=True)
    with pytest.raises(ImagesNotFoundError, match="is a feature store and holds no images; name the image files"):
        find_images([tmp_path / "s"])


def test_a_place_that_does_not_exist_does_not_stop_the_others(tmp_path):
    image = put(tmp_path / "a.jpg")
    found = find_images([tmp_path / "none.jpg", image])
    assert found.paths == (os.fsencode(image),)
    assert found.failed == ((str(tmp_path / "none.jpg"), "cannot be opened: No such file or directory"),)


@pytest.mark.parametrize("kind", KINDS)
def test_one_set_in_every_container_is_listed_alike_and_read_in_place(kind, tmp_path):
    found = find_images([written(PICTURES, tmp_path, kind)], id="name")
    contents = {name: read(address, 1 << 20) for name, address in zip(found.names, found.addresses, strict=True)}
    assert sorted(contents.values()) == sorted(PICTURES.values()) and found.failed == found.skipped == ()
    if kind not in ("shards", "parquet"):  # where members have other names or lie in other orders
        assert found.ids == ("10.jpg", "2.jpg", "1.png")
        assert all(contents[name] == PICTURES["/".join(name.split("/")[-2:])] for name in found.names)


def test_what_is_no_image_in_an_archive_is_told_as_in_a_folder(tmp_path):
    files = {**PICTURES, "readme.md": b"about", "x/3.psd": PSD, "__MACOSX/x/._3.psd": b"any"}
    kinds = [find_images([written(files, tmp_path / kind, kind)]).skipped for kind in ("folder", "zip", "tar.gz")]
    assert [[(path.split("pets")[1], reason) for path, reason in skipped] for skipped in kinds[:1]] == [
        [("/readme.md", "not a supported image: text"), ("/x/3.psd", "not a supported image: PSD")]
    ]
    assert len({tuple(reason for _, reason in skipped) for skipped in kinds}) == 1


def test_a_folder_of_parquet_files_and_one_of_shards_are_read(tmp_path):
    (tmp_path / "hub" / "data").mkdir(parents=True)
    parquet_of(PICTURES, tmp_path / "hub" / "data" / "train-00000.parquet")
    (tmp_path / "hub" / "README.md").write_text("about")
    for place in (tmp_path / "hub", written(PICTURES, tmp_path / "shards", "shards").parent):
        found = find_images([place])
        assert sorted(read(address, 1 << 20) for address in found.addresses) == sorted(PICTURES.values())


def test_an_archive_at_an_address_is_fetched_and_named_by_it(tmp_path, monkeypatch):
    archive = written(PICTURES, tmp_path, "zip")
    monkeypatch.setattr("featstore.discovery.unlabelled.fetched", lambda url: archive)
    found = find_images(["https://example.org/pets.zip"])
    assert found.names[0] == "https://example.org/pets.zip/cats/10.jpg"
    assert read(found.addresses[0], 1 << 20) == PICTURES["cats/10.jpg"]


def test_what_is_said_of_an_archive_is_handed_on(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = zipfile.ZipFile(tmp_path / "a.zip", "w")
        with archive:
            for data in (PICTURES["cats/2.jpg"], PICTURES["cats/10.jpg"]):
                archive.writestr("a.jpg", data)
    found = find_images([tmp_path / "a.zip"])
    assert read(found.addresses[0], 1 << 20) == PICTURES["cats/10.jpg"]
    assert len(found.notes) == 1 and "more than once" in found.notes[0]


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt"])
def test_a_list_gives_its_images_in_its_order(ending, tmp_path, monkeypatch):
    folder_of(tmp_path)
    mark = {"csv": ",", "tsv": "\t", "txt": " "}[ending]
    order = ["dogs/1.png", "cats/2.jpg", "cats/10.jpg"]
    rows = [f"{name}{mark}any" for name in order]
    put(tmp_path / f"list.{ending}", "\n".join([f"path{mark}label", *rows]).encode())
    monkeypatch.chdir(tmp_path)
    found = find_images([f"list.{ending}"])
    assert found.names == tuple(order) and found.failed == ()
    assert [read(address, 1 << 20) for address in found.addresses] == [PICTURES[name] for name in order]


def test_a_list_needs_no_labels_and_a_column_of_it_names_the_images(tmp_path):
    folder_of(tmp_path)
    put(tmp_path / "test.csv", b"id,file\nr7,cats/10\nr3,cats/2\n")
    found = find_images([tmp_path / "test.csv"], Reading(path_column="file", suffix=".jpg"), id="id")
    assert found.ids == ("r7", "r3") and [path.rpartition(b"/")[2] for path in found.paths] == [b"10.jpg", b"2.jpg"]
    put(tmp_path / "test.csv", b"id,file\nr7,cats/10.jpg\nr3,cats/2.jpg\n")
    found = find_images([tmp_path / "test.csv"], Reading(path_column="file"), id="id")
    assert found.ids == ("r7", "r3") and [path.rpartition(b"/")[2] for path in found.paths] == [b"10.jpg", b"2.jpg"]


def test_json_lines_and_a_root_elsewhere(tmp_path):
    folder_of(tmp_path / "photos")
    put(tmp_path / "lists" / "t.jsonl", b'{"path": "cats/2.jpg"}\n{"path": "dogs/1.png"}\n')
    found = find_images([tmp_path / "lists" / "t.jsonl"], Reading(root=str(tmp_path / "photos")))
    assert found.names == (f"{tmp_path}/photos/cats/2.jpg", f"{tmp_path}/photos/dogs/1.png")


def test_a_row_whose_file_is_missing_keeps_its_place_and_fails_when_it_is_read(tmp_path):
    folder_of(tmp_path)
    put(tmp_path / "t.csv", b"path\ncats/2.jpg\nnone.jpg\ncats/10.jpg\ndogs/1.png\n")
    found = find_images([tmp_path / "t.csv"])
    assert [path.rpartition(b"/")[2] for path in found.paths] == [b"2.jpg", b"none.jpg", b"10.jpg", b"1.png"]
    with pytest.raises(FileNotFoundError):
        read(found.addresses[1], 100)


def test_ids_are_names_or_stems_and_two_images_of_one_are_refused(tmp_path):
    folder_of(tmp_path)
    assert find_images([tmp_path], id="name").ids == ("10.jpg", "2.jpg", "1.png")
    assert find_images([tmp_path], id="stem").ids == ("10", "2", "1")
    put(tmp_path / "dogs" / "2.jpg")
    with pytest.raises(ImageSetError, match=r"both called '2' by `id=\"stem\"`: .*cats/2.jpg and .*dogs/2.jpg; `id="):
        find_images([tmp_path], id="stem")


def test_an_id_that_is_no_column_is_refused(tmp_path):
    folder_of(tmp_path)
    with pytest.raises(ImageSetError, match=r"has no 'breed': `id=\"breed\"` names a column of a list"):
        find_images([tmp_path], id="breed")
    put(tmp_path / "t.csv", b"path,idx\ncats/2.jpg,1\n")
    with pytest.raises(FeatstoreError, match="breed"):
        find_images([tmp_path / "t.csv"], id="breed")


def test_without_lists_a_file_called_like_one_is_an_image(tmp_path):
    place = put(tmp_path / "t.csv", b"path\nnone.jpg\n")
    assert find_images([place], lists=False).paths == (os.fsencode(place),)
