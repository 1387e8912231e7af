"""DeferredBackbone: a network of which is known what its features are, built once someone needs its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from featstore.backbone.fingerprint_cache import FeatureSpecs, load_feature_specs, save_feature_specs
from featstore.decoding.pixels.transform import TransformSpec
from featstore.errors import FingerprintMismatchError

if TYPE_CHECKING:
    from featstore.backbone.backbone import Backbone


class DeferredBackbone:
    """What an engine has to know of a network before it runs it. Loads torch only to build it.

    Parameters
    ----------
    specs : FeatureSpecs
        Of its features, from `load_feature_specs` or from the network itself.
    build : callable
        Makes the network.

    Attributes
    ----------
    specs : FeatureSpecs
    nodes : tuple of str
    widths : dict of str to int
        Numbers an image, by node.
    transform : TransformSpec
    by_name : bool
        Built from a name and weights, as the fingerprints say; a network that a caller made may since have changed.

    Examples
    --------
    >>> from featstore.backbone import Backbone
    >>> network = DeferredBackbone.of(Backbone("resnet18", "none", input_size=32), "fp32")
    >>> network.widths, network.transform.crop, network.by_name
    ({'avgpool': 512}, 32, False)
    """

    def __init__(self, specs: FeatureSpecs, build: Callable[[], Backbone], *, by_name: bool = True) -> None:
        self.specs = specs
        self.nodes = tuple(specs.fingerprints)
        self.widths = dict(specs.widths)
        self.transform = TransformSpec.from_json(next(iter(specs.fingerprints.values())).transform)
        self.by_name = by_name
        self._build = build
        self._built: Backbone | None = None

    @classmethod
    def of(cls, backbone: Backbone, precision: str) -> DeferredBackbone:
        """A network that is there already."""
        return cls(feature_specs(backbone, precision), lambda: backbone, by_name=False)

    @property
    def backbone(self) -> Backbone:
        """The network, built at the first call.

        Raises
        ------
        WeightsError, WeightsNotFoundError
            As `Backbone`.
        FingerprintMismatchError
            Its weights are others than those that `specs` tell of.
        """
        if self._built is None:
            built = self._build()
            if self.by_name:
                self._require_as_announced(built)
            self._built = built
        return self._built

    def _require_as_announced(self, built: Backbone) -> None:
        """Refuse a network whose weights file was replaced between the look at it and the building."""
        announced = self.specs.fingerprints
        made = built.fingerprints(next(iter(announced.values())).precision)
        if [made[node].key for node in announced] != [fingerprint.key for fingerprint in announced.values()]:
            raise FingerprintMismatchError(
                f"the weights of {built.name} changed while they were used: the network that was built gives other "
                "features than were announced; run the command again"
            )


def deferred_backbone(
    name: str, precision: str, request: Mapping[str, Any], build: Callable[[], Backbone]
) -> DeferredBackbone:
    """A network that is built at once only where what its features are is not known from an earlier time.

    Parameters
    ----------
    name : str
        Of the network.
    precision : {"fp32", "bf16", "fp16"}
    request : mapping
        Everything that `build` makes it from; JSON-able.
    build : callable
        Makes the network.

    Raises
    ------
    UnknownNameError, WeightsError, WeightsNotFoundError
        As `Backbone`.

    Examples
    --------
    >>> from featstore.backbone import Backbone
    >>> request = {"weights": "none", "input_size": 32}
    >>> network = deferred_backbone("resnet18", "fp32", request, lambda: Backbone("resnet18", **request))
    >>> network.nodes, network.by_name
    (('avgpool',), True)
    """
    known = load_feature_specs(name, precision, request)
    if known is not None:
        return DeferredBackbone(known, build)
    backbone = build()
    specs = feature_specs(backbone, precision)
    save_feature_specs(name, precision, request, specs, backbone.weights.path)
    return DeferredBackbone(specs, lambda: backbone)


def feature_specs(backbone: Backbone, precision: str) -> FeatureSpecs:
    """What the features of a network are, asked of the network itself.

    Examples
    --------
    >>> from featstore.backbone import Backbone
    >>> feature_specs(Backbone("resnet18", "none", input_size=32), "fp32").widths
    {'avgpool': 512}
    """
    told = backbone.weights
    return FeatureSpecs(backbone.fingerprints(precision), dict(backbone.widths), told.note, told.record)
