"""Bundles: the same bits back, bound to their features, and nothing a file can do."""

import dataclasses
import sys

import numpy as np
import pytest

from classifiers.heads.registry import HEADS, make_head
from classifiers.models import tensor_file
from classifiers.models.bundle import FORMAT, load_bundle, save_bundle
from featstore import FeatureStore
from featstore.errors import (
    BundleError,
    BundleNotFoundError,
    FeaturesError,
    FingerprintMismatchError,
    OutputExistsError,
)
from featstore.features import FeatureSet
from featstore.fingerprint import Fingerprint

CLASSES = ("cats", "<script>alert(1)</script>", "Käfer")
FINGERPRINT = Fingerprint(
    "mobilenet_v2", "ab" * 32, "avgpool", "avg", {"resize": 256, "crop": 224}, {"version": 1}, "fp32", "file x.pth"
)
RECIPE = {"format": 1, "backbone": "mobilenet_v2", "weights": {"kind": "file", "path": "/x.pth"}, "nodes": ["a", "b"]}
NAMES = [name for name, info in HEADS.items() if not info.reference]


def features(classes=3, rows=60, width=6, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    centres = rng.normal(size=(classes, width)) * 2
    return FeatureSet(
        X=(centres[y] + rng.normal(size=(rows, width))).astype(np.float32),
        y=y.astype(np.int64),
        ids=tuple(map(str, range(rows))),
        classes=CLASSES[:classes],
        splits=np.full(rows, ""),
        digests=rng.integers(0, 256, (rows, 32), dtype=np.uint8),
        fingerprint=FINGERPRINT,
        dataset="x",
        root=b"/",
        paths=tuple(str(i).encode() for i in range(rows)),
    )


def fitted(name, data):
    return make_head(name, budget="quick", cv=3).fit(data.X, data.y)


@pytest.fixture(scope="module")
def logistic():
    return fitted("logistic", features())


def saved(path, head, data=None, name="logistic", **more):
    data = data or features()
    return save_bundle(path, head, data, RECIPE, data.classes, name=name, summary={"dataset": "x"}, **more)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_head_predicts_the_same_bits_after_loading(tmp_path, name, classes):
    data = features(classes)
    head = fitted(name, data)
    saved(tmp_path / "b", head, data, name)
    bundle = load_bundle(tmp_path / "b")
    expected = head.predict_proba(data.X)
    np.testing.assert_array_equal(bundle.predict_proba(data), expected)
    np.testing.assert_array_equal(bundle.predict_proba(data.X), expected)
    assert bundle.predict(data).tolist() == [CLASSES[i] for i in head.predict(data.X)]
    assert (bundle.name, bundle.classes, bundle.fingerprint) == (name, CLASSES[:classes], FINGERPRINT)
    assert bundle.summary == {"dataset": "x"}


def test_the_recipe_is_narrowed_to_the_one_node(tmp_path, logistic):
    saved(tmp_path / "b", logistic)
    assert load_bundle(tmp_path / "b").recipe == {**RECIPE, "nodes": ["avgpool"]}


def test_a_head_that_never_saw_a_class_leaves_it_out(tmp_path):
    data = features()
    some = data.subset(data.y != 1)
    saved(tmp_path / "b", fitted("logistic", some), data)
    bundle = load_bundle(tmp_path / "b")
    assert bundle.classes == ("cats", "Käfer")
    assert set(bundle.predict(data)) == {"cats", "Käfer"}


def test_features_that_do_not_fit_are_refused_with_both_sides_named(tmp_path, logistic):
    saved(tmp_path / "b", logistic)
    bundle = load_bundle(tmp_path / "b")
    other = dataclasses.replace(FINGERPRINT, node="layer3", weights_sha256="cd" * 32, weights="other label")
    with pytest.raises(FingerprintMismatchError, match=r"node: avgpool, not layer3") as caught:
        bundle.predict_proba(dataclasses.replace(features(), fingerprint=other))
    assert "weights_sha256: abab" in str(caught.value) and "not cdcd" in str(caught.value)
    assert FINGERPRINT.key in str(caught.value) and other.key in str(caught.value)
    with pytest.raises(FingerprintMismatchError, match=r"takes 6 numbers an image .* shape \(2, 5\)"):
        bundle.predict_proba(np.zeros((2, 5)))
    with pytest.raises(FingerprintMismatchError, match=r"shape \(6,\)"):
        bundle.predict_proba(np.zeros(6))


def test_another_label_for_the_same_weights_fits(tmp_path, logistic):
    saved(tmp_path / "b", logistic)
    renamed = dataclasses.replace(FINGERPRINT, weights="file moved.pth")
    assert len(load_bundle(tmp_path / "b").predict_proba(dataclasses.replace(features(), fingerprint=renamed))) == 60


def test_nan_is_refused_and_no_rows_are_fine(tmp_path, logistic):
    saved(tmp_path / "b", logistic)
    bundle = load_bundle(tmp_path / "b")
    X = np.zeros((3, 6), dtype=np.float32)
    X[1, 2] = np.nan
    with pytest.raises(FeaturesError, match="1 of 3 images"):
        bundle.predict_proba(X)
    assert bundle.predict_proba(np.zeros((0, 6))).shape == (0, 3)


def test_nothing_is_overwritten_unless_told_to(tmp_path, logistic):
    saved(tmp_path / "b", logistic)
    before = (tmp_path / "b").read_bytes()
    with pytest.raises(OutputExistsError, match="`overwrite=True`"):
        saved(tmp_path / "b", logistic)
    assert (tmp_path / "b").read_bytes() == before
    saved(tmp_path / "b", logistic, overwrite=True)


def test_there_is_no_bundle(tmp_path):
    with pytest.raises(BundleNotFoundError, match="no bundle at"):
        load_bundle(tmp_path / "b")


def test_every_flipped_byte_is_noticed_or_changes_nothing(tmp_path, logistic):
    saved(tmp_path / "b", logistic)
    data = (tmp_path / "b").read_bytes()
    document, arrays = tensor_file.decode(data, FORMAT, "b")
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0xFF
        try:
            again, others = tensor_file.decode(bytes(changed), FORMAT, "b")
        except BundleError:
            continue
        assert again == document
        assert all(np.array_equal(others[name], arrays[name]) for name in arrays)


def test_truncated_files_are_refused(tmp_path, logistic):
    saved(tmp_path / "b", logistic)
    data = (tmp_path / "b").read_bytes()
    for kept in range(0, len(data), 97):
        (tmp_path / "c").write_bytes(data[:kept])
        with pytest.raises(BundleError):
            load_bundle(tmp_path / "c")


def rewritten(path, logistic, change):
    """A bundle whose hash is right, with other contents: what a hostile hand would make."""
    saved(path, logistic)
    document, arrays = tensor_file.read(path, FORMAT)
    arrays = {name: np.array(array) for name, array in arrays.items()}
    change(document, arrays)
    tensor_file.write(path, FORMAT, document, arrays)


def _set(place, value):
    def change(document, arrays):
        target = document
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = value

    return change


def _drop(key):
    return lambda document, arrays: document.pop(key)


def _array(name, value):
    def change(document, arrays):
        arrays[name] = value

    return change


HOSTILE = {
    "no head": _drop("head"),
    "no classes": _drop("classes"),
    "no fingerprint": _drop("fingerprint"),
    "no recipe": _drop("recipe"),
    "head unknown": _set(("head", "name"), "os.system"),
    "head a list": _set(("head",), ["logistic"]),
    "head name a number": _set(("head", "name"), 3),
    "meta a list": _set(("head", "meta"), []),
    "meta empty": _set(("head", "meta"), {}),
    "classes a text": _set(("classes",), "abc"),
    "classes numbers": _set(("classes",), [1, 2, 3]),
    "one class": _set(("classes",), ["a"]),
    "too many classes": _set(("classes",), list("abcdefgh")),
    "classes twice": _set(("classes",), ["a", "a", "b"]),
    "fingerprint wrong": _set(("fingerprint", "precision"), "int4"),
    "fingerprint a list": _set(("fingerprint",), []),
    "recipe a text": _set(("recipe",), "resnet"),
    "coef of another shape": _array("coef", np.zeros((3, 9, 9))),
    "coef of other rows": _array("coef", np.zeros((7, 6))),
    "coef NaN": _array("coef", np.full((3, 6), np.nan)),
    "coef empty": _array("coef", np.zeros((3, 0))),
    "coef missing": lambda document, arrays: arrays.pop("coef"),
    "intercept of another length": _array("intercept", np.zeros(5)),
    "head of another kind": _set(("head", "name"), "lightgbm"),
    "a forest": _set(("head", "name"), "forest"),
    "unknown parameter": _set(("head", "meta", "params"), {"__class__": "x"}),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_bundle_whose_parts_do_not_fit_is_refused(tmp_path, logistic, change):
    rewritten(tmp_path / "b", logistic, change)
    with pytest.raises(BundleError, match="featstore train"):
        load_bundle(tmp_path / "b")


def test_a_tampered_lightgbm_model_never_reaches_lightgbm(tmp_path, monkeypatch):
    data = features()
    saved(tmp_path / "b", fitted("lightgbm", data), data, "lightgbm")
    document, arrays = tensor_file.read(tmp_path / "b", FORMAT)
    text = arrays["model"].tobytes().replace(b"left_child=", b"left_child=999999 ", 1)
    tensor_file.write(tmp_path / "b", FORMAT, document, {**arrays, "model": np.frombuffer(text, np.uint8)})
    monkeypatch.setattr("lightgbm.Booster", lambda **_: pytest.fail("LightGBM saw it"))
    with pytest.raises(BundleError, match="LightGBM model is malformed"):
        load_bundle(tmp_path / "b")


def test_loading_opens_no_other_file_and_runs_nothing(tmp_path, logistic):
    saved(tmp_path / "b", logistic)
    load_bundle(tmp_path / "b")  # whatever is imported for the first time is imported now
    seen = []
    active = True

    def hook(event, args):
        if active and event.split(".")[0] in (
            "open",
            "os",
            "subprocess",
            "exec",
            "compile",
            "import",
            "socket",
            "pickle",
        ):
            seen.append((event, str(args[0]) if args else ""))

    sys.addaudithook(hook)
    load_bundle(tmp_path / "b")
    active = False
    assert {event for event, _ in seen} <= {"open"}
    assert {path for _, path in seen} == {str(tmp_path / "b")}


def test_a_feature_store_is_called_what_it_is(tmp_path):
    FeatureStore(tmp_path / "s", create=True)
    with pytest.raises(
        BundleError, match=r"is a feature store and no bundle; train .*`featstore train .*/s -o BUNDLE`"
    ):
        load_bundle(tmp_path / "s")


def test_training_images_are_known_again_and_older_bundles_know_none(tmp_path, logistic):
    digests = np.random.default_rng(0).integers(0, 256, (9, 32), dtype=np.uint8)
    data = features()
    save_bundle(tmp_path / "k", logistic, data, RECIPE, data.classes, name="logistic", trained_on=digests[:6])
    bundle = load_bundle(tmp_path / "k")
    assert bundle.has_seen(digests).tolist() == [True] * 6 + [False] * 3
    save_bundle(tmp_path / "n", logistic, data, RECIPE, data.classes, name="logistic")
    assert load_bundle(tmp_path / "n").has_seen(digests) is None
