"""Files that are no lists: each is named truly, and no text is taken for one."""

import io
import pickle
import sqlite3
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.io import savemat

from featstore.lists.foreign import foreign
from tests.support.pictures import encode, texture


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as inside:
        for name in names:
            inside.writestr(name, "x")
    return file.getvalue()


def written(write) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def database(folder) -> bytes:
    with sqlite3.connect(folder / "a.db") as connection:
        connection.execute("create table a (b)")
    return (folder / "a.db").read_bytes()


def hdf5(folder) -> bytes:
    with h5py.File(folder / "a.h5", "w") as file:
        file["x"] = [1]
    return (folder / "a.h5").read_bytes()


def tar(file) -> None:
    with tarfile.open(fileobj=file, mode="w") as inside:
        inside.addfile(tarfile.TarInfo("a.jpg"))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda folder: archive("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook"),
        (lambda folder: archive("a.jpg"), "a zip archive"),
        (lambda folder: written(lambda file: np.savez(file, x=np.arange(3))), "a NumPy archive"),
        (lambda folder: written(lambda file: np.save(file, np.arange(3))), "a NumPy array"),
        (lambda folder: written(lambda file: savemat(file, {"x": [1]})), "a MATLAB file"),
        (lambda folder: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "old Microsoft Office"),
        (database, "an SQLite database"),
        (hdf5, "an HDF5 file"),
        (lambda folder: pickle.dumps({"a.jpg": "cat"}), "a pickle, which could run code"),
        (lambda folder: written(tar), "a tar archive"),
        (lambda folder: encode(texture(1, 8, 8)), r"a picture \(JPEG\)"),
        (lambda folder: b"<!DOCTYPE html><html>", "a web page"),
        (lambda folder: b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (lambda folder: b"%PDF-1.7", "a PDF document"),
        (lambda folder: b"<annotation><filename>", "an XML document"),
    ],
)
def test_what_it_is_and_the_way_out(make, what, tmp_path):
    import re

    found = foreign(make(tmp_path))
    assert found is not None and re.search(what, found[0]) and len(found[1]) > 10


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_no_list_is_taken_for_one(text):
    assert foreign(("path,label\n" + text).encode()) is None


@pytest.mark.parametrize("text", ["P1 cat\nP2 dog\n", "ORC,label\n", "BM a.jpg\n", "Obj,label\n", "orc.jpg,orc\n"])
def test_texts_that_begin_like_magic_are_texts(text):
    assert foreign(text.encode()) is None
