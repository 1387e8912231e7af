"""FeatureSelection: which of a store's feature sets are meant, and their features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from featstore.errors import StoreNotFoundError
from featstore.features import FeatureSet
from featstore.store.feature_info import FeatureInfo, select_feature_sets
from featstore.store.feature_store import FeatureStore
from featstore.store.feature_stream import FeatureStream


class FeatureSelection:
    """What was asked for, out of what a store holds.

    Parameters
    ----------
    store : FeatureStore
    selectors : mapping of option to str or None
        backbone, node, pool, weights, precision, store_dtype, key: see `FeatureInfo.fits`. None selects nothing.
    nodes : sequence of str
        Any of these nodes; all of them where it is empty.
    """

    def __init__(self, store: FeatureStore, selectors: Mapping[str, str | None], nodes: Sequence[str] = ()) -> None:
        self.store = store
        self.selectors = {option: value for option, value in selectors.items() if value is not None}
        self.nodes = tuple(nodes)
        self.held = store.features()

    def every(self) -> list[FeatureInfo]:
        """All feature sets that fit, at least one at each of the nodes.

        Raises
        ------
        StoreNotFoundError
            Where none fits; the message says what there is.
        """
        wanted = [{**self.selectors, "node": node} for node in self.nodes] or [self.selectors]
        found = [info for selectors in wanted for info in select_feature_sets(self.held, selectors, self.store.path)]
        return list({info.key: info for info in found}.values())

    def untuned(self) -> list[FeatureInfo]:
        """Those that fit; of networks that were made by a fine-tune only where weights or key name one."""
        named = "weights" in self.selectors or "key" in self.selectors
        return [
            info
            for info in self.held
            if all(info.fits(option, value) for option, value in self.selectors.items())
            and (not self.nodes or info.fingerprint.node in self.nodes)
            and (named or not info.fingerprint.tuned)
        ]

    def only(self, dataset: str | None, usual_node: str) -> FeatureInfo:
        """The only one that fits, with what goes without saying: a usual node, and a network that is not fine-tuned.

        Parameters
        ----------
        dataset : str, optional
            As for `FeatureStore.select`.
        usual_node : str
            Taken where the store has several nodes, this one among them, and none was named.

        Raises
        ------
        StoreNotFoundError, AmbiguousFeaturesError
            None fits, or several.
        """
        selectors, held = dict(self.selectors), [info.fingerprint for info in self.held]
        if "key" not in selectors:
            labels = {fingerprint.weights for fingerprint in held}
            original = {fingerprint.weights for fingerprint in held if not fingerprint.tuned}
            if "weights" not in selectors and len(original) == 1 and len(labels) > 1:
                selectors["weights"] = original.pop()
            nodes = {fingerprint.node for fingerprint in held}
            if "node" not in selectors and len(nodes) > 1 and usual_node in nodes:
                selectors["node"] = usual_node
        return self.store.select(dataset, **selectors)

    def read(
        self, dataset: str | None, infos: Iterable[FeatureInfo]
    ) -> tuple[list[FeatureSet], list[StoreNotFoundError]]:
        """The features of a data set in those feature sets that are complete; and for each other one, why it is not.

        Raises
        ------
        StoreDamagedError, UnknownNameError, FeaturesError
            As `FeatureStore.read`.
        """
        found, incomplete = [], []
        for info in infos:
            try:
                found.append(self.store.read(dataset, key=info.key))
            except StoreNotFoundError as error:
                incomplete.append(error)
        return found, incomplete

    def stream(self, dataset: str | None, info: FeatureInfo, rows: int | None = None) -> FeatureStream:
        """The features of a data set in one of the feature sets, in chunks.

        Parameters
        ----------
        dataset : str, optional
        info : FeatureInfo
        rows : int, optional
            Rows a chunk at most.

        Raises
        ------
        StoreNotFoundError, StoreDamagedError, UnknownNameError, FeaturesError
            As `FeatureStore.iter`.
        """
        return self.store.iter(dataset, rows, key=info.key)
