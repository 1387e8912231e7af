"""From image files to classes and probabilities."""

import csv
import io
import os

import numpy as np
import pytest

from classifiers.models.bundle import load_bundle
from classifiers.models.prediction import Predictions, predict_images
from classifiers.models.trained_head import train
from featstore.errors import ImagesNotFoundError
from featstore.extract import extract
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
    assert [os.path.basename(name) for name, _ in mixed.failed] == ["bad.jpg", "empty.png"]  # noqa: PTH119
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
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(picture)
    found = predicted(bundle, [tmp_path])
    assert not found.failed
    out = io.StringIO(newline="")
    found.write_csv(out)
    out.getvalue().encode("utf-8")
    rows = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert [os.path.basename(row["image"]) for row in rows] == [  # noqa: PTH119
        "a b.jpg", r"line\nbreak,comma.jpg", 'quo"te.jpg', r"\xff.jpg",
    ]  # fmt: skip


def test_relative_paths_are_named_as_they_were_given(bundle, folder, monkeypatch):
    monkeypatch.chdir(folder / "test")
    assert predicted(bundle, ["ants"]).images[0] == "ants/000.jpg"


EXAMPLE = Predictions(
    images=("a.jpg", "b.jpg"),
    proba=np.array([[0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]]),
    classes=("x", "y", "z"),
    failed=(("c.jpg", "an empty file"),),
)


def test_json_is_the_documented_one():
    assert EXAMPLE.to_json(2) == {
        "format": 1,
        "predictions": [
            {"image": "a.jpg", "class": "y", "probability": 0.5, "top": [["y", 0.5], ["z", 0.3]]},
            {"image": "b.jpg", "class": "x", "probability": 1 / 3, "top": [["x", 1 / 3], ["y", 1 / 3]]},
        ],
        "failed": [{"image": "c.jpg", "reason": "an empty file"}],
    }


def test_csv_has_as_many_columns_as_classes_asked_for():
    out = io.StringIO()
    EXAMPLE.write_csv(out, top=9)
    lines = out.getvalue().splitlines()
    assert lines[0] == "image,class,probability,class_2,probability_2,class_3,probability_3"
    assert lines[1] == "a.jpg,y,0.5,z,0.3,x,0.2"
    out = io.StringIO()
    EXAMPLE.write_csv(out)
    assert out.getvalue() == "image,class,probability\na.jpg,y,0.5\nb.jpg,x,0.333333333\n"
