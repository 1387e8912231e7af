# ruff: noqa: PTH103, PTH123, PTH211
"""Promise 11: any file name and any tree works; what vanishes or changes during a run is noticed and shifts nothing."""

import os
import socket

import numpy as np
import pytest

from featstore import FeatureStore
from featstore.discovery.scanning import scan
from featstore.extract import extract
from tests.support import deeds
from tests.support.killing import run
from tests.support.pictures import encode, texture, write_tree

NAMES = [
    b"plain.jpg", b"with space.jpg", b"new\nline.jpg", b"tab\t.jpg", b"\xff\xfe raw.jpg", "ü.jpg".encode(),
    b"u\xcc\x88.jpg", "gnp\u202ejpg".encode() + b".jpg", b"--help.jpg", b"-rf.jpg", b"<script>alert(1)<script>.jpg",
    b"a'b\"c;$(id)`id`.jpg", b"%2E%2E.jpg", b"[bold]red[bold].jpg", b"x" * 251 + b".jpg", b"\x01\x1b[31m.jpg",
]  # fmt: skip


@pytest.fixture
def shortcut(monkeypatch):
    """Extraction without a network, in this process."""
    from featstore.engines import factory
    from featstore.extract import writer
    from tests.support.ready_network import NETWORK

    monkeypatch.setattr(factory, "make_engine", lambda *args, **options: deeds.Shortcut())
    monkeypatch.setattr(writer, "SHARD_ROWS", 4)
    return lambda folder, store, **options: extract(folder, store, backbone=NETWORK, workers=0, **options)


def test_names_of_any_bytes_are_rows_in_the_order_of_their_bytes(tmp_path, shortcut):
    for number, name in enumerate(NAMES):
        folder = os.fsencode(tmp_path / "set") + (b"/ants", b"/be\xff\nes")[number % 2]
        os.makedirs(folder, exist_ok=True)
        with open(folder + b"/" + name, "wb") as file:
            file.write(encode(texture(number, 40, 40)))
    shortcut(tmp_path / "set", tmp_path / "s")
    data = FeatureStore(tmp_path / "s").read()
    assert len(data.X) == len(NAMES) and not data.failed
    assert list(data.paths) == sorted(data.paths)
    assert {path.split(b"/")[-1] for path in data.paths} == set(NAMES)
    assert all(name.isprintable() for name in (*data.ids, *data.classes))
    pixels = {}
    for number, name in enumerate(NAMES):
        shortcut_of = write_tree(tmp_path / f"one{number}", ("a", "b"), each=1)
        (shortcut_of / "a" / "000.jpg").write_bytes(encode(texture(number, 40, 40)))
        if number < 3:
            shortcut(shortcut_of, tmp_path / f"s{number}")
            pixels[name] = FeatureStore(tmp_path / f"s{number}").read().X[0]
    for name, x in pixels.items():
        (row,) = [i for i, path in enumerate(data.paths) if path.endswith(b"/" + name)]
        np.testing.assert_array_equal(data.X[row], x)


def test_links_pipes_sockets_and_locked_folders_end_in_a_reason_never_in_a_hang(tmp_path, shortcut, monkeypatch):
    folder = write_tree(tmp_path / "set", each=3)
    expected = scan(folder).paths
    monkeypatch.chdir(folder / "ants")
    os.symlink("..", "up.jpg")
    os.symlink(".", "self")
    os.symlink("loop.jpg", "loop.jpg")
    os.symlink("/dev/zero", "zero.jpg")
    os.symlink("nowhere", "dead.jpg")
    os.mkfifo("pipe.jpg")
    (folder / "bees" / "locked").mkdir(mode=0o000)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        shortcut(folder, tmp_path / "s")
    listed = FeatureStore(tmp_path / "s").imageset()
    assert listed.paths == expected  # each picture once
    reasons = {os.fsdecode(skip.path): skip.reason for skip in listed.skipped}
    assert {f"ants/{name}.jpg" for name in ("loop", "zero", "dead", "pipe", "socket")} <= reasons.keys()
    assert all(reasons.values())


def test_files_that_vanish_change_or_turn_into_something_else_during_the_run(tmp_path, shortcut):
    folder = write_tree(tmp_path / "set", each=8)
    clean = scan(folder)
    shortcut(folder, tmp_path / "clean")
    reference = FeatureStore(tmp_path / "clean").read()
    ants = folder / "ants"

    def meddle(stage, done, total, note):
        if stage == "prepare" and not done:  # after the scan, before the first picture is read
            (ants / "001.jpg").unlink()
            (ants / "002.jpg").write_bytes(encode(texture(500)))
            with (ants / "003.jpg").open("ab") as file:
                file.write(b"grown")
            (ants / "004.jpg").unlink()
            os.mkfifo(ants / "004.jpg")
            (ants / "005.jpg").unlink()
            (ants / "005.jpg").mkdir()

    result = shortcut(folder, tmp_path / "s", progress=meddle)
    failed = dict(result.failed)
    assert set(failed) == {f"ants/00{i}.jpg" for i in range(1, 6)}
    assert failed["ants/002.jpg"] == failed["ants/003.jpg"] == "the file changed during the run; extract again"
    data = FeatureStore(tmp_path / "s").read(partial=True)
    kept = np.array([name not in failed for name in reference.ids])
    np.testing.assert_array_equal(data.X, reference.X[kept])
    assert len(data.X) == 11 and clean.paths == FeatureStore(tmp_path / "s").imageset().paths
    again = shortcut(folder, tmp_path / "s")
    assert "ants/002.jpg" not in dict(again.failed) and "ants/003.jpg" not in dict(again.failed)


def test_a_folder_that_is_hostile_by_name_works_on_the_command_line(tmp_path):
    folder = write_tree(tmp_path / "-x\n[b]$(id)\u202e", each=2)
    said = tmp_path / "said"
    assert run("command", ["extract", str(folder), "-s", str(tmp_path / "s"), "-j", "0"], said) == 0
    assert "\u202e" not in said.read_text() and len(FeatureStore(tmp_path / "s").read().X) == 4
