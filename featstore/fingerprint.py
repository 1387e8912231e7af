"""Fingerprint: everything that changes the numbers of a feature set, and the key made from it.

What is not in it (batch size, workers, device, engine, library versions) moves fp32 features by about 1e-6 relative; it
is recorded with every shard as provenance instead.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from featstore.errors import FingerprintMismatchError
from featstore.system.canonical_json import canonical_json

PRECISIONS = ("fp32", "bf16", "fp16")
STORE_DTYPES = ("fp32", "fp16")
_TEXTS = ("backbone", "weights_sha256", "node", "pool", "precision", "weights", "store_dtype")
_RULES = ("transform", "decode")


TUNED = "fine-tuned"
"""How the label of weights begins that `finetune` made."""


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What a feature set's numbers are.

    Parameters
    ----------
    backbone : str
        Name of the network, e.g. ``"mobilenet_v2"``.
    weights_sha256 : str
        64 hex digits: SHA-256 over the tensors of the weights.
    node : str
        Where the network is cut.
    pool : str
        How a spatial map became one vector.
    transform : mapping
        Resize, crop, interpolation, antialias, mean, std; JSON-able.
    decode : mapping
        The decode rules and their version; JSON-able.
    precision : {"fp32", "bf16", "fp16"}
        Arithmetic of the network.
    weights : str
        Label for people, e.g. ``"IMAGENET1K_V1"``, ``"random (seed 0)"`` or ``"fine-tuned x.weights.safetensors"``. Not
        part of the key, and not compared.
    store_dtype : {"fp32", "fp16"}
        What the numbers are kept as. "fp16" halves the disk and rounds them to 11 bits; it is part of the key where it
        is not what follows from the precision. Features of precision "fp16" are always kept as "fp16".

    Examples
    --------
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {"crop": 224}, {}, "fp32", "IMAGENET1K_V2")
    >>> len(made.key), made.input
    (16, '224 px')
    >>> Fingerprint.from_json(made.to_json()) == made
    True
    """

    backbone: str
    weights_sha256: str
    node: str
    pool: str
    transform: dict[str, Any]
    decode: dict[str, Any]
    precision: str
    weights: str = dataclasses.field(compare=False)
    store_dtype: str = "fp32"

    def __post_init__(self) -> None:
        for name in _TEXTS:
            if not isinstance(getattr(self, name), str):
                raise FingerprintMismatchError(f"a fingerprint's {name} is {getattr(self, name)!r}, not a text")
        for name in _RULES:
            rules = getattr(self, name)
            if not isinstance(rules, Mapping):
                raise FingerprintMismatchError(f"a fingerprint's {name} is {rules!r}, not a mapping of JSON values")
            # A tuple and the list that JSON makes of it must be the same fingerprint.
            object.__setattr__(self, name, json.loads(canonical_json(dict(rules))))
        if not re.fullmatch("[0-9a-f]{64}", self.weights_sha256):
            raise FingerprintMismatchError(
                f"a fingerprint's weights_sha256 is {self.weights_sha256!r}, not 64 lower-case hex digits"
            )
        if self.precision not in PRECISIONS:
            raise FingerprintMismatchError(
                f"a fingerprint's precision is {self.precision!r}, not one of {', '.join(PRECISIONS)}"
            )
        if self.store_dtype not in STORE_DTYPES:
            raise FingerprintMismatchError(
                f"a fingerprint's store_dtype is {self.store_dtype!r}, not one of {', '.join(STORE_DTYPES)}"
            )
        if self.precision == "fp16":
            object.__setattr__(self, "store_dtype", "fp16")

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def tuned(self) -> bool:
        """Whether the network was made by `finetune`: it has learnt from the labels of a data set."""
        return self.weights.startswith(f"{TUNED} ")

    @property
    def input(self) -> str:
        """What the network sees, for people: side in pixels, and how files are decoded where not as usual."""
        rules = [rule for rule in ("jpeg_scaling", "nvjpeg", "allow_truncated") if self.transform.get(rule)]
        depth = [f"{self.transform['bit_depth']}-bit"] if self.transform.get("bit_depth") else []
        return " ".join([f"{self.transform.get('crop', '?')} px", *(rule.replace("_", "-") for rule in rules), *depth])

    @property
    def rounded(self) -> bool:
        """Whether the network gave other numbers, which were rounded to be stored."""
        return self.store_dtype == "fp16" and self.precision != "fp16"

    @property
    def numbers(self) -> str:
        """Arithmetic, for people, and what the numbers were rounded to: "fp32", "fp32 rounded to fp16"."""
        return f"{self.precision} rounded to {self.store_dtype}" if self.rounded else self.precision

    def stored_as(self, store_dtype: str) -> Self:
        """The same features, kept in another type.

        Examples
        --------
        >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
        >>> half = made.stored_as("fp16")
        >>> half.numbers, half.key == made.key, half.stored_as("fp32") == made
        ('fp32 rounded to fp16', False, True)
        """
        return dataclasses.replace(self, store_dtype=store_dtype)

    @property
    def keyed(self) -> dict[str, Any]:
        """The fields that make the key; `store_dtype` only where the numbers were rounded."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.compare}
        if not self.rounded:
            del fields["store_dtype"]  # so that keys of features that nothing was done to stay what they were
        return fields

    @cached_property
    def key(self) -> str:
        """16 hex digits of the SHA-256 over the canonical JSON of the keyed fields."""
        return hashlib.sha256(canonical_json(self.keyed)).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """All fields as a JSON-able document, the label too."""
        return {**self.keyed, "weights": self.weights}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a fingerprint from `to_json`'s document.

        Raises
        ------
        FingerprintMismatchError
            Where a field is missing, unknown or of the wrong kind.
        """
        if not isinstance(document, Mapping):
            raise FingerprintMismatchError(f"a fingerprint is a mapping, not {type(document).__name__}")
        names = {f.name for f in dataclasses.fields(cls)} - {"store_dtype"}
        if set(document) - {"store_dtype"} != names:
            odd = sorted(map(str, names ^ set(document)))
            raise FingerprintMismatchError(f"a fingerprint has the fields {sorted(names)}; these differ: {odd}")
        fingerprint = cls(**document)
        if "store_dtype" in document and not fingerprint.rounded:
            raise FingerprintMismatchError("a fingerprint names store_dtype though nothing was rounded")
        return fingerprint
