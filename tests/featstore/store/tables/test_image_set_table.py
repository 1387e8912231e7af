import pytest
from hypothesis import given, strategies as st

from featstore.errors import ImageSetError, StoreDamagedError
from featstore.store.tables.image_set_table import ImageShelf, folder_name
from tests.support.store_inputs import images, tree


@pytest.fixture
def shelf(tmp_path):
    return ImageShelf(tmp_path)


def test_put_numbers_image_sets_and_newest_gives_the_last(shelf):
    assert shelf.put(images("abc")) and shelf.put(images("abcd"))
    assert sorted(p.name for p in shelf.folder("pets").iterdir()) == ["00000001.h5", "00000002.h5"]
    assert shelf.newest("pets").same_as(images("abcd")) and shelf.load("pets", 1).same_as(images("abc"))


def test_putting_an_equal_set_writes_nothing(shelf, tmp_path):
    shelf.put(images("abc"))
    before = tree(tmp_path)
    assert not ImageShelf(tmp_path).put(images("abc")) and tree(tmp_path) == before


def test_another_process_sees_what_is_new(shelf, tmp_path):
    shelf.put(images("abc"))
    other = ImageShelf(tmp_path)
    assert other.newest("pets").same_as(images("abc"))
    shelf.put(images("xyz"))
    assert other.newest("pets").same_as(images("xyz"))


def test_a_number_that_is_taken_meanwhile_is_passed_over(shelf, tmp_path, monkeypatch):
    from featstore.system import fsio

    rival = ImageShelf(tmp_path)
    publish, raced = fsio.publish, []

    def slow_publish(path, data, **options):
        if not raced:
            raced.append(path)
            rival.put(images("xyz"))
        return publish(path, data, **options)

    monkeypatch.setattr(fsio, "publish", slow_publish)
    assert shelf.put(images("abc"))
    assert shelf.load("pets", 1).same_as(images("xyz")) and shelf.newest("pets").same_as(images("abc"))


@pytest.mark.parametrize(
    "name", ["cats and dogs", "a/b", ".hidden", "..", "übung", "50%", "\udcff", "a\nb", "CON:", "~x"]
)
def test_any_name_is_a_folder_of_its_own(shelf, name):
    shelf.put(images("abc", name=name))
    assert shelf.names() == [name] and shelf.newest(name).name == name
    folder = shelf.folder(name)
    assert folder.parent == shelf.store / "images" and folder.is_dir()


@given(st.lists(st.text(st.characters(), min_size=1, max_size=6), unique=True, max_size=20))
def test_different_names_never_share_a_folder(names):
    folders = {folder_name(name) for name in names}
    assert len(folders) == len(names)
    assert not any(f.startswith(".") or "/" in f or not f.isascii() for f in folders)


@pytest.mark.parametrize("name", ["", "x" * 300, "ü" * 50])
def test_names_that_no_folder_can_have_are_refused(shelf, name):
    with pytest.raises(ImageSetError, match="expected a short name"):
        shelf.put(images("ab", name=name))


def test_folders_that_are_no_data_set_are_passed_over(shelf, tmp_path):
    shelf.put(images("ab"))
    for name in ("empty", "%70ets", ".git"):  # %70ets is not how pets is spelled here
        (tmp_path / "images" / name).mkdir()
    (tmp_path / "images" / "%70ets" / "00000001.h5").write_bytes(b"")
    assert shelf.names() == ["pets"]


def test_a_damaged_newest_set_is_an_error_not_the_older_one(shelf):
    shelf.put(images("ab"))
    shelf.put(images("abc"))
    path = shelf.folder("pets") / "00000002.h5"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="00000002.h5 is damaged"):
        ImageShelf(shelf.store).newest("pets")


def test_an_image_set_in_another_ones_place_is_damage(shelf):
    shelf.put(images("ab", name="a"))
    shelf.folder("b").mkdir()
    (shelf.folder("b") / "00000001.h5").write_bytes((shelf.folder("a") / "00000001.h5").read_bytes())
    with pytest.raises(StoreDamagedError, match="holds the image set of 'a'"):
        shelf.newest("b")
