"""CachedNetwork: a network and its features of a data set in a store, complete and up to date."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from classifiers.formatting import count, printable
from classifiers.validation.labelled import labelled_part, without_empty_classes
from featstore.backbone.backbone import Backbone
from featstore.backbone.catalogue import PENULTIMATE
from featstore.backbone.recipe import recipe_of
from featstore.errors import FeaturesError, UnknownNameError
from featstore.extract.current_image_set import REPLACED, usual_name
from featstore.extract.job import extract
from featstore.features import FeatureSet
from featstore.images.image_set import ImageSet
from featstore.images.reading import Reading
from featstore.store.feature_store import FeatureStore
from featstore.store.selection import FeatureSelection
from featstore.system.reporting import argument, printable_path

SUFFIX = ".weights.safetensors"
"""How the weights file of a fine-tuned network ends."""

Data = str | bytes | os.PathLike[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class CachedNetwork:
    """One network at one node, and its features.

    Attributes
    ----------
    store : FeatureStore
    data : path
        The images.
    dataset : str
        Their name in the store.
    backbone : Backbone
    features : FeatureSet
        At the backbone's first node, of the images that have a label.
    options : mapping
        How further features are extracted: precision, engine, device, workers, progress.
    notes : tuple of str
        How many images have no label, which classes no image.
    """

    store: FeatureStore
    data: Data
    dataset: str
    backbone: Backbone
    features: FeatureSet
    options: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @classmethod
    def find(
        cls,
        store: FeatureStore,
        data: Data,
        *,
        dataset: str | None,
        select: Mapping[str, str],
        weights: str | os.PathLike[str] | None,
        **options: Any,
    ) -> CachedNetwork:
        """The network whose features of these images a store holds; missing rows are computed.

        Of several nodes the pooled penultimate one is taken unless `select` names another, and networks that were
        made by a fine-tune are left aside unless it names one.

        Parameters
        ----------
        dataset : str, optional
            Default: the one that `extract` calls these images by, or that was made of them; else the only one.
        select : mapping
            backbone, node, pool, weights, precision, key: as for `FeatureStore.select`.
        weights : path, optional
            The network's weights file, if it is not where `extract` read it.
        options
            engine, device, workers, progress: as for `extract`.

        Raises
        ------
        UnknownNameError
            No such data set, or several and none of them is of these images.
        FeaturesError
            The images have other labels, parts or groups than in the store.
        StoreNotFoundError, AmbiguousFeaturesError
            No such features, or several.
        WeightsError, ImageSetError
        """
        known = store.datasets()
        if dataset is not None and dataset not in known:
            raise UnknownNameError("data set", dataset, known, "`featstore info` lists those of the store")
        if dataset is None:
            dataset = _dataset_of(store, data)
        named = {} if weights is None or "key" in select else {"weights": str(weights)}
        selection = FeatureSelection(store, {**named, **select})
        info = selection.only(dataset if dataset in known else None, usual_node=PENULTIMATE)
        backbone = Backbone.from_recipe(recipe_of(info.fingerprint, weights), weights)
        options["precision"], options["store_dtype"] = info.fingerprint.precision, info.fingerprint.store_dtype
        return cls._complete(store, data, dataset, backbone, options)

    def tuned(self, backbone: Backbone) -> CachedNetwork:
        """The same images through another network; its features are computed where they are missing."""
        return self._complete(self.store, self.data, self.dataset, backbone, self.options)

    def at(self, features: FeatureSet) -> CachedNetwork:
        """The same network at another cached node."""
        recipe = self.backbone.recipe()
        recipe |= {name: recipe_of(features.fingerprint)[name] for name in ("nodes", "pool")}
        return dataclasses.replace(self, backbone=Backbone.from_recipe(recipe), features=features)

    def siblings(self) -> list[FeatureSet]:
        """The features of the same images at every cached node of this network; its own first."""
        own = self.features.fingerprint
        found = [self.features]
        for info in self.store.features():
            other = info.fingerprint
            same = ("backbone", "weights_sha256", "transform", "decode", "precision", "store_dtype")
            if info.key == own.key or any(getattr(other, name) != getattr(own, name) for name in same):
                continue
            features = self.store.read(self.dataset, key=info.key, partial=True)
            features, _ = without_empty_classes(features.subset(features.labelled()))
            if np.array_equal(features.digests, self.features.digests):
                found.append(features)
        return found

    @classmethod
    def _complete(
        cls, store: FeatureStore, data: Data, dataset: str, backbone: Backbone, options: Mapping[str, Any]
    ) -> CachedNetwork:
        extract_as_before(data, store, backbone=backbone, dataset=dataset, **options)
        fingerprint = backbone.fingerprints(str(options["precision"]))[backbone.nodes[0]]
        fingerprint = fingerprint.stored_as(str(options.get("store_dtype", "fp32")))
        features, unlabelled = labelled_part(store.read(dataset, key=fingerprint.key))
        features, empty = without_empty_classes(features)
        return cls(store, data, dataset, backbone, features, options, (*unlabelled, *empty))


def extract_as_before(data: Data, store: FeatureStore, *, dataset: str, **options: Any) -> None:
    """Cache what the store lacks of a data set, which is read as it was when it was extracted and stays what it is.

    Parameters
    ----------
    data : path
        The images; some may have come or gone since.
    store : FeatureStore
    dataset : str
        One that the store has.
    **options
        As for `extract`.

    Raises
    ------
    FeaturesError
        The images have other labels, parts or groups than in the store: that would change what was compared before.
    ImageSetError, WeightsError
    """
    recorded = store.imageset(dataset)
    reading = Reading.from_json(recorded.about.get("reading", {}))
    # What was once put in the place of another data set is no leave to replace it by a third.
    reading = dataclasses.replace(reading, allow=tuple(name for name in reading.allow if name != REPLACED))
    extract(
        data,
        store,
        dataset=dataset,
        reading=reading,
        told=lambda images: _require_same(recorded, images),
        **options,
    )


def _require_same(recorded: ImageSet, images: ImageSet) -> None:
    """Refuse labels, parts and groups that are not those of the store."""
    row_of = {path: row for row, path in enumerate(recorded.paths)}
    both = [(row, row_of[path]) for row, path in enumerate(images.paths) if path in row_of]
    for what, said in (("class", _class), ("part", _part), ("group", _group)):
        other = [(new, old) for new, old in both if said(images, new) != said(recorded, old)]
        if other:
            new, old = other[0]
            raise FeaturesError(
                f"{count(len(other), 'image')} of {printable(images.name)!r} {'have' if len(other) > 1 else 'has'} "
                f"another {what} than in the store, such as {images.display(new)}: {said(images, new)} now, "
                f"{said(recorded, old)} there; name the data that were extracted, or take the change over first with "
                "`featstore extract`"
            )


def _class(images: ImageSet, row: int) -> str:
    label = int(images.labels[row])
    return "none" if label < 0 else repr(printable(images.classes[label]))


def _part(images: ImageSet, row: int) -> str:
    return str(images.splits[row]) or "none"


def _group(images: ImageSet, row: int) -> str:
    return repr(printable(images.groups[row])) if images.groups and images.groups[row] else "none"


def _dataset_of(store: FeatureStore, data: Data) -> str:
    """Which data set of a store images are."""
    known, name = store.datasets(), usual_name(data, store)
    if name in known or not known:
        return name
    place = os.fsencode(data)
    shown, real = printable_path(os.path.abspath(place)), os.path.realpath(place)
    here = [one for one in known if (found := store.imageset(one)).root == real or found.about.get("source") == shown]
    if len(here) == 1 or len(known) == 1:
        return (here or known)[0]
    raise UnknownNameError(
        "data set", name, here or known, f"`featstore info` lists those of the store; {argument('dataset', 'NAME')} "
        "says which these images are"
    )  # fmt: skip
