"""The import paths and commands that users have: each is there, and is what it says."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import classifiers
import featstore
from featstore_scripts.main import VERBS
from tests.support.feature_sets import digits
from tests.support.pictures import write_tree
from tests.support.store_inputs import PROVENANCE, features, fingerprint, images, rows

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEADS = [
    "logistic", "svm", "svm-rbf", "lightgbm", "mlp", "knn", "centroid", "forest", "majority", "pixels",
]  # fmt: skip
ERRORS = {
    "FeatstoreError": Exception,
    "ImagesNotFoundError": FileNotFoundError,
    "ImageSetError": ValueError,
    "DecodeError": ValueError,
    "UnknownNameError": LookupError,
    "WeightsError": ValueError,
    "WeightsNotFoundError": FileNotFoundError,
    "DownloadError": OSError,
    "StoreError": Exception,
    "StoreNotFoundError": FileNotFoundError,
    "StoreFormatError": ValueError,
    "StoreWriteError": OSError,
    "StoreDamagedError": ValueError,
    "StoreConflictError": RuntimeError,
    "AmbiguousFeaturesError": LookupError,
    "FeaturesError": ValueError,
    "FingerprintMismatchError": ValueError,
    "BundleError": ValueError,
    "BundleNotFoundError": FileNotFoundError,
    "ReportError": ValueError,
    "ReportNotFoundError": FileNotFoundError,
    "NoGradientError": TypeError,
    "DeviceError": RuntimeError,
    "MissingExtraError": ImportError,
    "OutputExistsError": FileExistsError,
    "TrainingError": RuntimeError,
    "AttackError": ValueError,
}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_version_is_the_projects():
    assert featstore.__version__ == PROJECT["version"]


def test_the_store_takes_an_image_set_and_gives_a_feature_set(tmp_path):
    store = featstore.FeatureStore(tmp_path / "s", create=True)
    listed = images("abc")
    assert isinstance(listed, featstore.ImageSet) and store.put_imageset(listed)
    store.commit(fingerprint(), rows("abc"), PROVENANCE)
    found = featstore.FeatureStore(tmp_path / "s").read()
    assert isinstance(found, featstore.FeatureSet)
    np.testing.assert_array_equal(found.X, features("abc"))


def test_extract_runs_a_backbone_over_a_folder(tmp_path):
    from featstore.backbone import Backbone
    from featstore.extract import extract

    backbone = Backbone("mobilenet_v3_small", "none", input_size=32)
    done = extract(
        write_tree(tmp_path / "photos", each=2), tmp_path / "s", backbone=backbone, engine="eager", workers=0
    )
    assert (done.images, done.computed, done.failed) == (4, 4, ())
    found = featstore.FeatureStore(tmp_path / "s").read()
    assert found.X.shape == (4, 576) and np.isfinite(found.X).all()
    assert found.fingerprint == backbone.fingerprints()["avgpool"]


def test_heads_are_made_by_name_and_kept_in_bundles(tmp_path):
    assert list(classifiers.HEADS) == HEADS
    data = digits(90, classes=3)
    head = classifiers.make_head("centroid", cv=3).fit(data.X, data.y)
    classifiers.save_bundle(tmp_path / "b", head, data, {"format": 1, "nodes": []}, data.classes, name="centroid")
    bundle = classifiers.load_bundle(tmp_path / "b")
    np.testing.assert_array_equal(bundle.predict_proba(data), head.predict_proba(data.X))


def test_compare_makes_a_report_that_can_be_written_and_read(tmp_path):
    data = digits(90, classes=3, split=0.3)
    report = classifiers.compare(data, ["centroid"], budget="quick", references=False)
    assert isinstance(report, classifiers.Report) and report.data["best"] == "centroid"
    report.write(tmp_path)
    assert classifiers.Report.load(tmp_path).data == report.data


def test_scores_count_hits():
    y, proba = np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    scores = classifiers.Scores.of(y, proba, ("a", "b"))
    assert isinstance(scores, classifiers.Scores) and scores.accuracy == 0.75


@pytest.mark.parametrize("package", [featstore, classifiers], ids=lambda package: package.__name__)
def test_a_package_offers_what_it_lists_and_nothing_else(package):
    names = {
        "featstore": ["FeatureSet", "FeatureStore", "ImageSet", "__version__"],
        "classifiers": ["HEADS", "Report", "Scores", "compare", "load_bundle", "make_head", "save_bundle"],
    }
    assert sorted(package.__all__) == names[package.__name__]
    for name in package.__all__:
        assert getattr(getattr(package, name), "__name__", name) == name
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_also_the_built_in_one_that_fits(name):
    errors = importlib.import_module("featstore.errors")
    kind = getattr(errors, name)
    assert kind.__name__ == name and kind.__doc__
    assert issubclass(kind, errors.FeatstoreError) and issubclass(kind, ERRORS[name])


def test_there_are_no_errors_beyond_the_known_ones():
    errors = vars(importlib.import_module("featstore.errors"))
    found = {name for name, kind in errors.items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert found == set(ERRORS)


@pytest.mark.parametrize("package", ["featstore", "classifiers", "featstore_scripts.main"])
def test_importing_a_package_loads_no_heavy_library(package):
    heavy = ("torch", "torchvision", "h5py", "sklearn", "scipy", "numpy", "matplotlib", "lightgbm")
    done = python("-c", f"import sys, {package}; print([name for name in {heavy} if name in sys.modules])")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_console_command_is_the_group():
    module, function = PROJECT["scripts"]["featstore"].split(":")
    assert (module, function) == ("featstore_scripts.main", "cli")
    assert callable(getattr(importlib.import_module(module), function))
    done = python("-c", f"from {module} import {function}; {function}()", "--help")
    assert done.returncode == 0 and all(f"  {verb} " in done.stdout for verb in VERBS)


def test_a_verb_is_a_module_to_run():
    done = python("-m", "featstore_scripts.compare", "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("Usage: python -m featstore_scripts.compare [OPTIONS] ")


def test_every_verb_is_a_script_to_run():
    for verb in VERBS:
        done = python(f"scripts/{verb}.py", "--help")
        assert (done.returncode, done.stderr) == (0, ""), verb
        assert done.stdout.startswith(f"Usage: {verb}.py [OPTIONS]"), verb
