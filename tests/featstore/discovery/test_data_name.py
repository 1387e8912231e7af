"""What a data set is called."""

import pytest

from featstore.discovery.data_name import data_name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("/d/birds.2024", "birds.2024"),
        ("/d/pets.tar.gz", "pets"),
        ("/d/PETS.ZIP", "PETS"),
        ("/d/list.v2.csv", "list.v2"),
        ("/d/shard-{000..099}.tar", "shard"),
        ("/d/train-*.tar", "train"),
        ("/d/data.parquet", "data"),
        ("https://example.org/sets/cats.tgz?raw=1#sha256=00", "cats"),
        ("/d/.csv", ".csv"),
    ],
)
def test_endings_that_tell_the_kind_of_file_are_left_out(data, name):
    assert data_name(data) == name


def test_a_folder_keeps_its_whole_name(tmp_path):
    for year in ("birds.2024", "birds.zip"):
        (tmp_path / year).mkdir()
        assert data_name(tmp_path / year) == year
    (tmp_path / "link").symlink_to("birds.2024")
    assert data_name(tmp_path / "link") == "birds.2024"
    assert data_name("/") == "images"
