from featstore.store.tables.layout import quarantine


def test_damaged_files_are_kept_under_names_that_say_where_they_were(tmp_path):
    path = tmp_path / "features" / "abc" / "shards" / "x.h5"
    path.parent.mkdir(parents=True)
    for content in (b"first", b"second"):
        path.write_bytes(content)
        target = quarantine(tmp_path, path)
        assert not path.exists() and target.read_bytes() == content
        assert target.parent == tmp_path / "quarantine" and target.name.startswith("features--abc--shards--x.h5.")
    assert len(list((tmp_path / "quarantine").iterdir())) == 2


def test_what_is_gone_is_not_moved(tmp_path):
    assert quarantine(tmp_path, tmp_path / "none") is None


def test_names_too_long_for_one_file_are_cut(tmp_path):
    path = tmp_path / ("a" * 200) / ("b" * 200)
    path.parent.mkdir()
    path.write_bytes(b"x")
    assert quarantine(tmp_path, path).read_bytes() == b"x"
