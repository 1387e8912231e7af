"""Bundle: a fitted head, its classes, and the fingerprint of the features it eats; one file, no pickle."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from classifiers.models import tensor_file
from classifiers.models.applied_head import APPLIED, AppliedHead
from classifiers.models.tree_guard import check_forest, checked_lightgbm
from featstore.errors import (
    BundleError,
    BundleNotFoundError,
    FeatstoreError,
    FeaturesError,
    FingerprintMismatchError,
    OutputExistsError,
)
from featstore.features import FeatureSet
from featstore.fingerprint import Fingerprint

FORMAT = tensor_file.FileFormat("bundle", 1, BundleError, BundleNotFoundError, "save it again with `featstore train`")

_MALFORMED = (
    KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError, ZeroDivisionError, RuntimeError
)  # fmt: skip
_LARGEST_WIDTH = 1 << 24
_MOST_CLASSES = 1 << 20
_TRAINED_ON = "trained_on"
_BEGINNING = 8  # bytes of a digest: two of a million images agree in them by chance once in 10 million times


@dataclasses.dataclass(frozen=True, eq=False)
class Bundle:
    """A classifier that knows which features it was trained on.

    Attributes
    ----------
    head : classifier
        Fitted, in scikit-learn's contract; or an `AppliedHead`, see `load_bundle`.
    name : str
        One of `classifiers.heads.registry.HEADS`.
    classes : tuple of k str
        Names, in the order of the head's probabilities.
    fingerprint : Fingerprint
        Of the features that it was trained on.
    recipe : mapping
        How to build the network that makes such features: `featstore.backbone.Backbone.recipe()`.
    summary : mapping
        How it was trained: data set, images, accuracy, seed, versions. For people.
    path : Path or None
        The file that it was loaded from.
    trained_on : ndarray of shape (n, 8), uint8, or None
        How the SHA-256 of each training image begins, sorted; None where it was not recorded.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from classifiers import make_head
    >>> from featstore.backbone import Backbone
    >>> backbone = Backbone("mobilenet_v3_small", "none", nodes=("features.0",), input_size=32)
    >>> ((_, fingerprint),) = backbone.fingerprints().items()
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 16)) + y[:, None]
    >>> head = make_head("logistic", budget="quick", cv=2).fit(X, y)
    >>> bundle = Bundle(head, "logistic", ("ants", "bees"), fingerprint, backbone.recipe(), {})
    >>> bundle.width, bundle.predict_proba(X[:3]).shape
    (16, (3, 2))
    """

    head: Any
    name: str
    classes: tuple[str, ...]
    fingerprint: Fingerprint
    recipe: Mapping[str, Any]
    summary: Mapping[str, Any]
    path: Path | None = None
    trained_on: NDArray[np.uint8] | None = None

    @property
    def width(self) -> int:
        """Numbers an image that the head takes."""
        return int(self.head.n_features_in_)

    def __repr__(self) -> str:
        f = self.fingerprint
        return (
            f"Bundle({self.name}, {len(self.classes)} classes, features {f.backbone}/{f.node}/{f.pool}, "
            f"weights {f.weights}, key {f.key})"
        )

    def has_seen(self, digests: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        """Which images are, byte for byte, among those that it was trained on.

        Parameters
        ----------
        digests : ndarray of shape (m, 32), uint8

        Returns
        -------
        ndarray of shape (m,), bool, or None
            None where the bundle does not know.
        """
        if self.trained_on is None:
            return None
        return np.asarray(np.isin(_beginnings(digests).view("V8").ravel(), self.trained_on.view("V8").ravel()))

    def check(self, features: FeatureSet) -> None:
        """Make sure that features are of the kind that the head was trained on.

        Raises
        ------
        FingerprintMismatchError
            Naming every field that differs, on both sides.
        """
        # as documents, but for the type on disk, which the keyed fields leave out where nothing was rounded
        mine, theirs = ({**f.keyed, "store_dtype": f.store_dtype} for f in (self.fingerprint, features.fingerprint))
        different = [name for name in mine if mine[name] != theirs[name]]
        if different:
            sides = "; ".join(f"{name}: {_short(mine[name])}, not {_short(theirs[name])}" for name in different)
            raise FingerprintMismatchError(
                f"the bundle was trained on other features ({self.fingerprint.key}) than those given "
                f"({features.fingerprint.key}): {sides}. Extract features as the bundle needs them, or train anew"
            )

    def predict_proba(self, features: FeatureSet | ArrayLike) -> NDArray[np.float64]:
        """Probability of each class.

        Parameters
        ----------
        features : FeatureSet, or array-like of shape (n, width), float32
            The features' fingerprint is compared; of an array only the width can be.

        Returns
        -------
        ndarray of shape (n, k), float64
            Columns in the order of `classes`.

        Raises
        ------
        FingerprintMismatchError
            Features of another network, node, pooling or width.
        FeaturesError
            NaN or infinity.
        """
        if isinstance(features, FeatureSet):
            self.check(features)
            X = features.X
        else:
            X = np.asarray(features, dtype=np.float32)
        if X.ndim != 2 or X.shape[1] != self.width:
            raise FingerprintMismatchError(
                f"the bundle takes {self.width} numbers an image ({self.fingerprint.backbone} at "
                f"{self.fingerprint.node}, {self.fingerprint.pool}), the features given are of shape {X.shape}"
            )
        if not np.isfinite(X).all():
            bad = int(np.count_nonzero(~np.isfinite(X).all(axis=1)))
            raise FeaturesError(f"{bad} of {len(X)} images have features that are NaN or infinite; extract them again")
        if not len(X):
            return np.empty((0, len(self.classes)))
        return np.asarray(self.head.predict_proba(X), dtype=np.float64)

    def predict(self, features: FeatureSet | ArrayLike) -> NDArray[np.str_]:
        """The most probable class of each image, by name; see `predict_proba`."""
        names = np.asarray(self.classes, dtype=np.str_)
        return np.asarray(names[self.predict_proba(features).argmax(axis=1)])


def save_bundle(
    path: str | os.PathLike[str],
    head: Any,
    features: FeatureSet | Fingerprint,
    recipe: Mapping[str, Any],
    classes: Sequence[str],
    *,
    name: str,
    summary: Mapping[str, Any] | None = None,
    trained_on: NDArray[np.uint8] | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Save a fitted head with everything that predicting from images needs, but the network's weights.

    Parameters
    ----------
    head : classifier
        Fitted. Its `classes_` are indices into `classes`, or the names themselves.
    features : FeatureSet or Fingerprint
        What it was trained on.
    recipe : mapping
        `Backbone.recipe()` of the network that made the features.
    classes : sequence of str
        Names of all classes of the data set; those that the head has never seen are left out.
    name : str
        The head's name in `classifiers.heads.registry.HEADS`.
    summary : mapping, optional
        JSON-able; for people.
    trained_on : ndarray of shape (n, 32), uint8, optional
        Digests of the training images: the bundle then knows them again.
    overwrite : bool
        Replace a file at `path`.

    Returns
    -------
    Bundle

    Raises
    ------
    OutputExistsError
        There is something at `path`.
    StoreWriteError
        The disk refuses.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from classifiers import make_head
    >>> from featstore.backbone import Backbone
    >>> backbone = Backbone("mobilenet_v3_small", "none", nodes=("features.0",), input_size=32)
    >>> ((_, fingerprint),) = backbone.fingerprints().items()
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 16)) + y[:, None]
    >>> head = make_head("logistic", budget="quick", cv=2).fit(X, y)
    >>> path = tempfile.mkdtemp() + "/bees.bundle"
    >>> bundle = save_bundle(path, head, fingerprint, backbone.recipe(), ("ants", "bees"), name="logistic")
    >>> load_bundle(path).predict(X).shape
    (40,)
    """
    path = Path(path)
    if not overwrite and (path.exists() or path.is_symlink()):
        raise OutputExistsError(f"{path} exists already; name another place or allow overwriting (`overwrite=True`)")
    fingerprint = features if isinstance(features, Fingerprint) else features.fingerprint
    known = np.asarray(head.classes_)
    named = tuple(str(c) if known.dtype.kind in "US" else str(classes[int(c)]) for c in known)
    meta, arrays = head.get_state()
    known_again = None if trained_on is None else np.unique(_beginnings(trained_on), axis=0)
    bundle = Bundle(head, name, named, fingerprint, dict(recipe), dict(summary or {}), path, known_again)
    document = {
        "head": {"name": name, "meta": meta},
        "classes": list(named),
        "fingerprint": fingerprint.to_json(),
        "recipe": {**recipe, "nodes": [fingerprint.node]},
        "summary": bundle.summary,
    }
    tensor_file.write(path, FORMAT, document, arrays if known_again is None else {**arrays, _TRAINED_ON: known_again})
    return bundle


def load_bundle(path: str | os.PathLike[str], *, for_predictions: bool = False) -> Bundle:
    """Load a bundle; also safe with a file from a stranger.

    The hash is checked before anything is used, no code in the file is run, and no other file is opened.

    Parameters
    ----------
    for_predictions : bool
        Only probabilities will be asked for: the head is an `AppliedHead` where there is one, which loads neither
        scikit-learn nor torch and gives the same bits.

    Raises
    ------
    BundleNotFoundError
        No such file.
    BundleError
        No bundle, damaged, of a newer format, or its parts do not fit together.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from classifiers import make_head
    >>> from featstore.backbone import Backbone
    >>> backbone = Backbone("mobilenet_v3_small", "none", nodes=("features.0",), input_size=32)
    >>> ((_, fingerprint),) = backbone.fingerprints().items()
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 16)) + y[:, None]
    >>> head = make_head("logistic", budget="quick", cv=2).fit(X, y)
    >>> path = tempfile.mkdtemp() + "/bees.bundle"
    >>> bundle = save_bundle(path, head, fingerprint, backbone.recipe(), ("ants", "bees"), name="logistic")
    >>> again = load_bundle(path)
    >>> again.classes, bool((again.predict_proba(X) == bundle.predict_proba(X)).all())
    (('ants', 'bees'), True)
    """
    path = Path(path)
    if (path / "store.json").exists():
        raise BundleError(
            f"{path} is a feature store and no bundle; train a classifier on it with `featstore train {path} -o BUNDLE`"
        )
    document, arrays = tensor_file.read(path, FORMAT)
    try:
        return _assemble(path, document, arrays, for_predictions)
    except BundleError:
        raise
    except FeatstoreError as error:
        raise BundleError(f"{path} holds a classifier that cannot be used: {error}; {FORMAT.remedy}") from error
    except _MALFORMED as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BundleError(f"{path} holds a classifier whose parts do not fit ({what}); {FORMAT.remedy}") from error


def _assemble(path: Path, document: dict[str, Any], arrays: tensor_file.Arrays, for_predictions: bool) -> Bundle:
    """Build the head and check that everything fits."""
    classes = document["classes"]
    if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
        raise BundleError(f"{path} has classes that are no list of names; {FORMAT.remedy}")
    if not 1 < len(classes) <= _MOST_CLASSES or len(set(classes)) < len(classes):
        raise BundleError(f"{path} has {len(classes)} classes, expected two or more different ones; {FORMAT.remedy}")
    name, meta = document["head"]["name"], document["head"]["meta"]
    recipe, summary = document["recipe"], document["summary"]
    if not all(isinstance(part, dict) for part in (meta, recipe, summary)):
        raise BundleError(f"{path} is malformed: head, recipe and summary must be JSON objects; {FORMAT.remedy}")
    own = {key: np.array(array) for key, array in arrays.items()}
    trained_on = own.pop(_TRAINED_ON, None)
    if trained_on is not None and (trained_on.dtype != np.uint8 or trained_on.shape != (len(trained_on), _BEGINNING)):
        raise BundleError(
            f"{path} names its training images by {trained_on.dtype} {trained_on.shape}, expected uint8 (n, "
            f"{_BEGINNING}); {FORMAT.remedy}"
        )
    if name == "lightgbm":
        text = checked_lightgbm(own["model"].tobytes(), own["matrix"].shape[1], len(classes))
        own["model"] = np.frombuffer(text, dtype=np.uint8)
    elif name == "forest":
        check_forest(own, own["matrix"].shape[1] if "matrix" in own else int(meta["n_features_in"]))
    if for_predictions and name in APPLIED:
        head: Any = AppliedHead(name, meta, own)
    else:
        from classifiers.heads.registry import make_head

        head = make_head(str(name)).from_state(meta, own)
    width = int(head.n_features_in_)
    if not 0 < width <= _LARGEST_WIDTH or len(head.classes_) != len(classes):
        raise BundleError(
            f"{path} has a head of {width} numbers and {len(head.classes_)} classes beside {len(classes)} class names; "
            f"{FORMAT.remedy}"
        )
    trial = np.asarray(head.predict_proba(np.zeros((1, width), dtype=np.float32)))
    if trial.shape != (1, len(classes)) or not np.isfinite(trial).all():
        raise BundleError(f"{path} has a head that gives no probabilities for its classes; {FORMAT.remedy}")
    fingerprint = Fingerprint.from_json(document["fingerprint"])
    return Bundle(head, str(name), tuple(classes), fingerprint, recipe, summary, path, trained_on)


def _beginnings(digests: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(digests[:, :_BEGINNING])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
