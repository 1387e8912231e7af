import pytest
from hypothesis import given, strategies as st

from featstore.errors import ImageSetError, StoreDamagedError
from featstore.store.tables.image_set_table import ImageSetTable, folder_name
from tests.support.store_inputs import images, tree


@pytest.fixture
def table(tmp_path):
    return ImageSetTable(tmp_path)


def test_put_numbers_image_sets_and_newest_gives_the_last(table):
    assert table.put(images("abc")) and table.put(images("abcd"))
    assert sorted(p.name for p in table.folder("pets").iterdir()) == ["00000001.h5", "00000002.h5"]
    assert table.newest("pets").same_as(images("abcd")) and table.load("pets", 1).same_as(images("abc"))


def test_putting_an_equal_set_writes_nothing(table, tmp_path):
    table.put(images("abc"))
    before = tree(tmp_path)
    assert not ImageSetTable(tmp_path).put(images("abc")) and tree(tmp_path) == before


def test_another_process_sees_what_is_new(table, tmp_path):
    table.put(images("abc"))
    other = ImageSetTable(tmp_path)
    assert other.newest("pets").same_as(images("abc"))
    table.put(images("xyz"))
    assert other.newest("pets").same_as(images("xyz"))


def test_a_number_that_is_taken_meanwhile_is_passed_over(table, tmp_path, monkeypatch):
    from featstore.system import fsio

    rival = ImageSetTable(tmp_path)
    publish, raced = fsio.publish, []

    def slow_publish(path, data, **options):
        if not raced:
            raced.append(path)
            rival.put(images("xyz"))
        return publish(path, data, **options)

    monkeypatch.setattr(fsio, "publish", slow_publish)
    assert table.put(images("abc"))
    assert table.load("pets", 1).same_as(images("xyz")) and table.newest("pets").same_as(images("abc"))


@pytest.mark.parametrize(
    "name", ["cats and dogs", "a/b", ".hidden", "..", "übung", "50%", "\udcff", "a\nb", "CON:", "~x"]
)
def test_any_name_is_a_folder_of_its_own(table, name):
    table.put(images("abc", name=name))
    assert table.names() == [name] and table.newest(name).name == name
    folder = table.folder(name)
    assert folder.parent == table.store / "images" and folder.is_dir()


@given(st.lists(st.text(st.characters(), min_size=1, max_size=6), unique=True, max_size=20))
def test_different_names_never_share_a_folder(names):
    folders = {folder_name(name) for name in names}
    assert len(folders) == len(names)
    assert not any(f.startswith(".") or "/" in f or not f.isascii() for f in folders)


@pytest.mark.parametrize("name", ["", "x" * 300, "ü" * 50])
def test_names_that_no_folder_can_have_are_refused(table, name):
    with pytest.raises(ImageSetError, match="expected a short name"):
        table.put(images("ab", name=name))


def test_folders_that_are_no_data_set_are_passed_over(table, tmp_path):
    table.put(images("ab"))
    for name in ("empty", "%70ets", ".git"):  # %70ets is not how pets is spelled here
        (tmp_path / "images" / name).mkdir()
    (tmp_path / "images" / "%70ets" / "00000001.h5").write_bytes(b"")
    assert table.names() == ["pets"]


def test_a_damaged_newest_set_is_an_error_not_the_older_one(table):
    table.put(images("ab"))
    table.put(images("abc"))
    path = table.folder("pets") / "00000002.h5"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="00000002.h5 is damaged"):
        ImageSetTable(table.store).newest("pets")


def test_an_image_set_in_another_ones_place_is_damage(table):
    table.put(images("ab", name="a"))
    table.folder("b").mkdir()
    (table.folder("b") / "00000001.h5").write_bytes((table.folder("a") / "00000001.h5").read_bytes())
    with pytest.raises(StoreDamagedError, match="holds the image set of 'a'"):
        table.newest("b")
