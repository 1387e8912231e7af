"""From image files to classes and probabilities."""

import csv
import dataclasses
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from classifiers.models.bundle import load_bundle
from classifiers.models.prediction import Predictions, predict_images
from classifiers.models.trained_head import train
from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.extract import extract
from featstore.images.reading import Reading
from featstore.store.feature_store import FeatureStore
from tests.support.pictures import encode, write_tree

NETWORK = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("images") / "two words", each=6, splits=("train", "test"))


@pytest.fixture(scope="module")
def cached(folder, tmp_path_factory):
    store = tmp_path_factory.mktemp("store") / "s"
    extract(folder, store, engine="eager", workers=0, **NETWORK)
    return FeatureStore(store).read()


@pytest.fixture(scope="module")
def bundle(cached, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "b"
    train(cached, "logistic", budget="quick", folds=3).save(path)
    return load_bundle(path)


def predicted(bundle, places, **more):
    return predict_images(bundle, places, engine="eager", workers=0, **more)


def test_images_get_the_probabilities_of_their_cached_features(folder, cached, bundle):
    found = predicted(bundle, [folder / "test"])
    test = cached.subset(cached.testing())
    expected = dict(zip([str(folder / name) for name in test.ids], bundle.predict_proba(test), strict=True))
    assert list(found.images) == sorted(expected) and not found.failed
    for image, proba in zip(found.images, found.proba, strict=True):
        np.testing.assert_allclose(proba, expected[image], atol=1e-5)
        assert proba.argmax() == expected[image].argmax()


def test_a_file_that_cannot_be_decoded_is_listed_and_changes_nothing(folder, bundle, tmp_path):
    good = sorted((folder / "test" / "ants").iterdir())
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff but no more")
    (tmp_path / "empty.png").write_bytes(b"")
    alone = predicted(bundle, good)
    mixed = predicted(bundle, [good[0], tmp_path, *good[1:]], batch_size=2)
    assert mixed.images == alone.images
    np.testing.assert_allclose(mixed.proba, alone.proba, atol=1e-6)
    assert [Path(name).name for name, _ in mixed.failed] == ["bad.jpg", "empty.png"]
    assert all(reason for _, reason in mixed.failed)


def test_when_nothing_can_be_decoded_everything_is_listed(bundle, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff but no more")
    found = predicted(bundle, [tmp_path])
    assert found.images == () and found.proba.shape == (0, 2) and len(found.failed) == 1


def test_no_place_is_an_error(bundle, tmp_path):
    with pytest.raises(ImagesNotFoundError):
        predicted(bundle, [tmp_path / "none"])


def test_names_with_spaces_newlines_and_no_text_come_out_printable(bundle, tmp_path):
    names = [b"a b.jpg", b"line\nbreak,comma.jpg", b'quo"te.jpg', b"\xff.jpg"]
    picture = encode(np.full((40, 40, 3), 200, np.uint8))
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(picture)
    found = predicted(bundle, [tmp_path])
    assert not found.failed
    out = io.StringIO(newline="")
    found.write_csv(out)
    out.getvalue().encode("utf-8")
    rows = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert [Path(row["image"]).name for row in rows] == [
        "a b.jpg", r"line\nbreak,comma.jpg", 'quo"te.jpg', r"\xff.jpg",
    ]  # fmt: skip


def test_relative_paths_are_named_as_they_were_given(bundle, folder, monkeypatch):
    monkeypatch.chdir(folder / "test")
    assert predicted(bundle, ["ants"]).images[0] == "ants/000.jpg"


def test_other_files_are_listed_and_an_archive_gets_the_answers_of_its_folder(bundle, folder, tmp_path):
    (folder / "test" / "bees" / "x.psd").write_bytes(b"8BPS" + bytes(60))
    whole = predicted(bundle, [folder / "test"])
    (folder / "test" / "bees" / "x.psd").unlink()
    assert [reason for _, reason in whole.skipped] == ["not a supported image: PSD"]
    with zipfile.ZipFile(tmp_path / "test.zip", "w") as archive:
        for path in (folder / "test").rglob("*.jpg"):
            archive.write(path, path.relative_to(folder / "test"))
    with tarfile.open(tmp_path / "test.tar.gz", "w:gz") as archive:  # in another order than that of names
        for path in sorted((folder / "test").rglob("*.jpg"), reverse=True):
            archive.add(path, str(path.relative_to(folder / "test")))
    for archive in (tmp_path / "test.zip", tmp_path / "test.tar.gz"):
        packed = predicted(bundle, [archive])
        ends = [name.removeprefix(str(archive)) for name in packed.images]
        assert ends == [name.removeprefix(str(folder / "test")) for name in whole.images] and ends
        np.testing.assert_allclose(packed.proba, whole.proba, atol=1e-6)


def test_a_list_keeps_its_order_and_its_ids(bundle, folder, tmp_path):
    rows = [("7", "bees/003.jpg"), ("3", "ants/001.jpg"), ("5", "bees/000.jpg")]
    (tmp_path / "t.csv").write_text("idx,path\n" + "".join(f"{id},{path}\n" for id, path in rows))
    found = predicted(bundle, [tmp_path / "t.csv"], reading=Reading(root=str(folder / "test")), id="idx")
    assert found.ids == ("7", "3", "5") and found.id_column == "idx"
    alone = predicted(bundle, [folder / "test" / path for _, path in rows])
    np.testing.assert_allclose(found.proba, alone.proba, atol=1e-6)


EXAMPLE = Predictions(
    images=("a.jpg", "b.jpg"),
    proba=np.array([[0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]]),
    classes=("x", "y", "z"),
    failed=(("c.jpg", "an empty file"),),
    skipped=(("d.psd", "PSD"),),
    notes=("an archive is cut off",),
)


def table(found, *arguments, **options):
    out = io.StringIO(newline="")
    found.write_csv(out, *arguments, **options)
    return out.getvalue()


def test_a_wide_table_has_one_column_a_class():
    assert table(EXAMPLE, wide=True) == "image,x,y,z\na.jpg,0.2,0.5,0.3\nb.jpg,0.333333333,0.333333333,0.333333333\n"
    named = dataclasses.replace(EXAMPLE, ids=("a", "b"), id_column="id")
    assert table(named, wide=True).startswith("id,x,y,z\na,0.2,")
    assert table(named, wide=True, columns=["Id"]).startswith("Id,x,y,z\na,0.2,")


def test_columns_are_those_that_are_named():
    named = dataclasses.replace(EXAMPLE, ids=("a", "b,c"), id_column="id")
    assert table(named, columns=["id", "label"]) == 'id,label\na,y\n"b,c",x\n'
    assert table(named, columns=["id", "label", "p"]) == 'id,label,p\na,y,0.5\n"b,c",x,0.333333333\n'
    assert table(named) == 'id,class,probability\na,y,0.5\n"b,c",x,0.333333333\n'


def test_two_columns_of_one_name_are_refused():
    found = dataclasses.replace(EXAMPLE, classes=("image", "y", "z"))
    with pytest.raises(ImageSetError, match="two columns are called 'image'; .*`columns`"):
        table(found, wide=True)
    assert table(found, wide=True, columns=["id"]).startswith("id,image,y,z\n")
    with pytest.raises(ImageSetError, match="two columns are called 'a'"):
        table(EXAMPLE, columns=["a", "a"])


def test_json_is_the_documented_one():
    assert EXAMPLE.to_json(2) == {
        "format": 1,
        "predictions": [
            {"image": "a.jpg", "class": "y", "probability": 0.5, "top": [["y", 0.5], ["z", 0.3]]},
            {"image": "b.jpg", "class": "x", "probability": 1 / 3, "top": [["x", 1 / 3], ["y", 1 / 3]]},
        ],
        "failed": [{"image": "c.jpg", "reason": "an empty file"}],
        "skipped": [{"path": "d.psd", "reason": "PSD"}],
        "notes": ["an archive is cut off"],
    }
    named = dataclasses.replace(EXAMPLE, ids=("a", "b"), id_column="id")
    assert [prediction["id"] for prediction in named.to_json()["predictions"]] == ["a", "b"]


def test_csv_has_as_many_columns_as_classes_asked_for():
    out = io.StringIO()
    EXAMPLE.write_csv(out, top=9)
    lines = out.getvalue().splitlines()
    assert lines[0] == "image,class,probability,class_2,probability_2,class_3,probability_3"
    assert lines[1] == "a.jpg,y,0.5,z,0.3,x,0.2"
    out = io.StringIO()
    EXAMPLE.write_csv(out)
    assert out.getvalue() == "image,class,probability\na.jpg,y,0.5\nb.jpg,x,0.333333333\n"
