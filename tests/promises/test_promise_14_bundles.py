"""Promise 14: a saved classifier predicts the same bits, in any process, and refuses features it was not trained on."""

import subprocess
import sys

import numpy as np
import pytest

from classifiers.heads.registry import HEADS, make_head
from classifiers.models.bundle import load_bundle, save_bundle
from featstore import FeatureStore
from featstore.errors import FingerprintMismatchError
from tests.support.feature_sets import digits
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows

RECIPE = {"format": 1, "backbone": "resnet18", "weights": {"kind": "random"}, "nodes": ["avgpool"]}


@pytest.mark.parametrize("name", [name for name, info in HEADS.items() if not info.reference])
def test_the_same_bits_in_a_process_that_never_saw_the_training(tmp_path, name):
    data = digits(120, classes=3)
    head = make_head(name, budget="quick", cv=3).fit(data.X, data.y)
    save_bundle(tmp_path / "b", head, data, RECIPE, data.classes, name=name)
    np.save(tmp_path / "x.npy", data.X)
    program = (
        "import sys, numpy as np; from classifiers.models.bundle import load_bundle; "
        "np.save(sys.argv[3], load_bundle(sys.argv[1]).predict_proba(np.load(sys.argv[2])))"
    )
    places = [str(tmp_path / part) for part in ("b", "x.npy", "y.npy")]
    subprocess.run([sys.executable, "-c", program, *places], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), head.predict_proba(data.X))


@pytest.mark.parametrize("change", [{"node": "layer3"}, {"pool": "max"}, {"weights_sha256": "1" * 64},
                                    {"precision": "bf16"}, {"decode": {"version": 2}}, {"transform": {"crop": 1}},
                                    {"backbone": "resnet34"}], ids=lambda c: next(iter(c)))  # fmt: skip
def test_features_of_another_kind_are_refused_by_name(tmp_path, change):
    stores = {}
    for name, kind in (("own", fingerprint()), ("other", fingerprint(**change))):
        store = FeatureStore(tmp_path / name, create=True)
        store.put_imageset(images("abcdefghijkl"))
        store.commit(kind, rows("abcdefghijkl"), PROVENANCE)
        stores[name] = store.read()
    head = make_head("centroid", budget="quick", cv=2).fit(stores["own"].X, stores["own"].y)
    save_bundle(tmp_path / "b", head, stores["own"], RECIPE, stores["own"].classes, name="centroid")
    bundle = load_bundle(tmp_path / "b")
    assert len(bundle.predict(stores["own"])) == 12
    with pytest.raises(FingerprintMismatchError, match=f"{next(iter(change))}: .*, not "):
        bundle.predict(stores["other"])
