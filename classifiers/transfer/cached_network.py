"""CachedNetwork: a network and its features of a data set in a store, complete and up to date."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.validation.labelled import labelled_part, without_empty_classes
from featstore.backbone.backbone import Backbone
from featstore.backbone.nodes import PENULTIMATE
from featstore.backbone.recipe import recipe_of
from featstore.errors import UnknownNameError
from featstore.extract.job import extract
from featstore.features import FeatureSet
from featstore.store.feature_store import FeatureStore
from featstore.store.selection import FeatureSelection

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
            Default: the folder's name where the store knows it, else the only one.
        select : mapping
            backbone, node, pool, weights, precision, key: as for `FeatureStore.select`.
        weights : path, optional
            The network's weights file, if it is not where `extract` read it.
        options
            engine, device, workers, progress: as for `extract`.

        Raises
        ------
        UnknownNameError
            No such data set.
        StoreNotFoundError, AmbiguousFeaturesError
            No such features, or several.
        WeightsError, ImageSetError
        """
        known = store.datasets()
        if dataset is not None and dataset not in known:
            raise UnknownNameError("data set", dataset, known, "`featstore info` lists those of the store")
        if dataset is None:
            name = Path(os.path.realpath(os.fsdecode(data))).stem
            dataset = name if name in known or len(known) != 1 else known[0]
        named = {} if weights is None or "key" in select else {"weights": str(weights)}
        selection = FeatureSelection(store, {**named, **select})
        info = selection.only(dataset if dataset in known else None, usual_node=PENULTIMATE)
        backbone = Backbone.from_recipe(recipe_of(info.fingerprint, weights), weights)
        options["precision"] = info.fingerprint.precision
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
            same = ("backbone", "weights_sha256", "transform", "decode", "precision")
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
        extract(data, store, backbone=backbone, dataset=dataset, **options)
        fingerprint = backbone.fingerprints(str(options["precision"]))[backbone.nodes[0]]
        features, unlabelled = labelled_part(store.read(dataset, key=fingerprint.key))
        features, empty = without_empty_classes(features)
        return cls(store, data, dataset, backbone, features, options, (*unlabelled, *empty))
