"""FeatureInfo: what a store knows about one feature set without reading features; choosing one of several."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from featstore.errors import AmbiguousFeaturesError, StoreNotFoundError
from featstore.fingerprint import TUNED, Fingerprint
from featstore.store.tables.layout import has_shards
from featstore.system.reporting import argument

OPTIONS = ("backbone", "node", "pool", "weights", "precision", "store_dtype", "key")


@dataclasses.dataclass(frozen=True)
class FeatureInfo:
    """One feature set of a store.

    Attributes
    ----------
    fingerprint : Fingerprint
    dim : int
        Numbers a row.
    rows, failed : int
        Images with features; images that failed.
    bytes : int
        Size of its shards on disk.
    provenance : tuple of dict
        How rows were computed, each different way once.
    damaged : tuple of int
        Newer manifests that are damaged: all else is of the state before them.

    Examples
    --------
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> info = FeatureInfo(made, dim=2048, rows=100, failed=1, bytes=819_200, provenance=())
    >>> info.fits("weights", "auto"), info.describe(("backbone", "node"))
    (True, '`backbone="resnet50"` `node="avgpool"`')
    """

    fingerprint: Fingerprint
    dim: int
    rows: int
    failed: int
    bytes: int
    provenance: tuple[dict[str, Any], ...]
    damaged: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Of the fingerprint."""
        return self.fingerprint.key

    def fits(self, option: str, value: str) -> bool:
        """Whether this feature set is one that `option=value` asks for.

        `weights` may be the label, the name of the weights' file, at least 8 digits of their SHA-256, `none` for random
        weights, or `auto` for any; `key` may be its first digits.
        """
        if option == "key":
            return self.key.startswith(value.lower())
        if option == "weights":
            return self._has_weights(value)
        return bool(getattr(self.fingerprint, option) == value)

    def _has_weights(self, wanted: str) -> bool:
        label = self.fingerprint.weights
        sha = len(wanted) >= 8 and self.fingerprint.weights_sha256.startswith(wanted.lower())
        if wanted == "none":
            return label.startswith("random")
        file = PurePath(wanted).name
        return sha or wanted in ("auto", label) or label in (f"file {file}", f"{TUNED} {file}")

    def describe(self, options: Sequence[str] = OPTIONS) -> str:
        """The given options of this feature set as one would type them in Python."""
        values = [self.key if option == "key" else getattr(self.fingerprint, option) for option in options]
        return " ".join(map(argument, options, values))


def select_feature_sets(
    infos: Sequence[FeatureInfo], selectors: Mapping[str, str | None], place: object
) -> list[FeatureInfo]:
    """The feature sets that fit all selectors, at least one.

    Parameters
    ----------
    infos : sequence of FeatureInfo
    selectors : mapping of option to value
        None selects nothing.
    place : object
        Named in messages.

    Raises
    ------
    StoreNotFoundError
        Where none fits.
    """
    given = {option: value for option, value in selectors.items() if value is not None}
    fitting = [info for info in infos if all(info.fits(option, value) for option, value in given.items())]
    if fitting:
        return fitting
    if not infos:
        store = _quoted(str(place))
        orphaned = f", or `featstore repair {store}`, for there are shards that no manifest names"
        hint = orphaned if has_shards(Path(str(place))) else ""
        raise StoreNotFoundError(f"{place} holds no features yet; run `featstore extract DATA --store {store}`{hint}")
    asked = " ".join(argument(option, value) for option, value in given.items())
    held = "; ".join(info.describe(OPTIONS[:-1]) for info in infos[:6])
    more = f"; and {len(infos) - 6} more" if len(infos) > 6 else ""
    raise StoreNotFoundError(f"{place} holds no features with {asked}; it holds {held}{more}")


def single_feature_set(infos: Sequence[FeatureInfo], place: object) -> FeatureInfo:
    """The one feature set of a list that must have one.

    Raises
    ------
    AmbiguousFeaturesError
        Where there are several; the message lists them with the options that tell them apart.
    """
    if len(infos) == 1:
        return infos[0]
    telling = [option for option in OPTIONS[:-1] if len({getattr(info.fingerprint, option) for info in infos}) > 1]
    # Those that differ in nothing that has an option (transform, decode rules) are told apart by their keys.
    if len({info.describe(telling) for info in infos}) < len(infos):
        telling.append("key")
    seen = "key" in telling and len({info.fingerprint.input for info in infos}) > 1
    choices = "; ".join(info.describe(telling) + f" ({info.fingerprint.input})" * seen for info in infos[:8])
    more = f"; and {len(infos) - 8} more" if len(infos) > 8 else ""
    raise AmbiguousFeaturesError(f"{len(infos)} feature sets of {place} fit, expected one; choose with {choices}{more}")


def _quoted(value: str) -> str:
    return value if value and all(c.isalnum() or c in "._-/=+" for c in value) else f"'{value}'"
