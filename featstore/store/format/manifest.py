"""Manifests: numbered, sealed lists of the shards that count. The highest intact one is the state of a feature set."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from featstore.errors import StoreDamagedError
from featstore.store.format.sealed import seal, unseal
from featstore.store.format.shard import FORMAT, ROUNDED_FORMAT, ShardEntry
from featstore.system import fsio, fsread

MOST = 10**15 - 1
"""The highest number that a file's name can hold. No run reaches it; something else may lie there."""

SIZE_LIMIT = 1 << 30
"""Bytes of a manifest; about three million shards."""


@dataclasses.dataclass(frozen=True, eq=False)
class Manifest:
    """One state of a feature set.

    Attributes
    ----------
    number : int
        From 1; the file's name.
    key : str
        Of the fingerprint.
    parent : int
        Number of the manifest that this one continues, 0 for none.
    rows, failed : int
        Rows with features, and rows that failed, each digest counted once.
    shards : tuple of ShardEntry
        In the order of their commits.

    Examples
    --------
    >>> first = Manifest(number=1, key="0" * 16, parent=0, rows=0, failed=0, shards=())
    >>> first.file_name
    '00000001.json'
    >>> Manifest.from_bytes(first.to_bytes(), "an example", 1, "0" * 16).parent
    0
    """

    number: int
    key: str
    parent: int
    rows: int
    failed: int
    shards: tuple[ShardEntry, ...]

    @property
    def dim(self) -> int:
        """Numbers a row; 0 without shards."""
        return self.shards[0].dim if self.shards else 0

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(entry.size for entry in self.shards)

    @property
    def provenance(self) -> tuple[dict[str, Any], ...]:
        """The different provenances of the shards, in the order of their first use."""
        return tuple(_distinct(entry.provenance for entry in self.shards))

    @property
    def file_name(self) -> str:
        """`00000007.json`."""
        return numbered_name(self.number, ".json")

    def to_bytes(self) -> bytes:
        """The file's bytes."""
        provenance = _distinct(entry.provenance for entry in self.shards)
        document = {
            "number": self.number,
            "key": self.key,
            "parent": self.parent,
            "rows": self.rows,
            "failed": self.failed,
            "provenance": provenance,
            "shards": [{**e.to_json(), "provenance": provenance.index(e.provenance)} for e in self.shards],
        }
        return seal(document, max((e.format for e in self.shards), default=FORMAT))

    @classmethod
    def from_bytes(
        cls, data: bytes, what: object, number: int, key: str, known: Mapping[str, ShardEntry] | None = None
    ) -> Self:
        """Check and parse a manifest.

        Parameters
        ----------
        what : object
            Named in messages, mostly the path.
        number, key
            As the place says where it was found.
        known : mapping of shard hash to ShardEntry, optional
            Of an earlier state; those that are still the same are taken from it.

        Raises
        ------
        StoreDamagedError
            Where a byte is not as it was written, or it belongs elsewhere.
        StoreFormatError
            Where it was written by a newer version.
        """
        document = unseal(data, what, newest=ROUNDED_FORMAT)
        try:
            provenance = document["provenance"]
            before = known or {}
            shards = tuple(
                ShardEntry.from_json(e, provenance[e["provenance"]], before.get(e["sha256"]))
                for e in document["shards"]
            )
            counts = [document[name] for name in ("number", "parent", "rows", "failed")]
            if any(type(count) is not int or count < 0 for count in counts) or not isinstance(provenance, list):
                raise StoreDamagedError("counts that are no numbers")
            if len({entry.dim for entry in shards}) > 1 or len({entry.sha256 for entry in shards}) < len(shards):
                raise StoreDamagedError("shards of several widths, or one shard twice")
            if (document["number"], document["key"]) != (number, key):
                raise StoreDamagedError(f"manifest {document['number']} of {document['key']}, which belongs elsewhere")
            return cls(number, key, counts[1], counts[2], counts[3], shards)
        except (KeyError, IndexError, TypeError) as error:
            raise StoreDamagedError(f"{what} is no manifest ({error!r}); run `featstore repair`") from error
        except StoreDamagedError as error:
            raise StoreDamagedError(f"{what} is no usable manifest: {error}; run `featstore repair`") from error


@dataclasses.dataclass(frozen=True)
class Numbered:
    """The numbered files of a folder.

    Attributes
    ----------
    present : tuple of int
        Numbers of the files, ascending.
    highest : int
        The highest number in use, also by a claim of a writer on a file system without hard links; 0 for none.
    """

    present: tuple[int, ...]
    highest: int


def numbered_name(number: int, ending: str) -> str:
    """`00000007<ending>`."""
    return f"{number:08d}{ending}"


def following(highest: int, folder: Path) -> int:
    """The number after the highest one in use.

    Raises
    ------
    StoreDamagedError
        Where there is none.
    """
    if highest >= MOST:
        raise StoreDamagedError(
            f"something in {folder} bears the highest possible number, {MOST}, so that nothing can be written after "
            f"it; run `featstore repair`"
        )
    return highest + 1


def numbered(folder: Path, ending: str) -> Numbered:
    """Find the numbered files of a folder; other names are passed over.

    Something else under such a name, a folder say, counts too: nobody can take its number, and who reads it says so.

    Parameters
    ----------
    ending : str
        `.json` or `.h5`.
    """
    pattern = re.compile(rf"([0-9]{{8,15}}){re.escape(ending)}({re.escape(fsio.CLAIM)})?")
    present, highest = [], 0
    for name in fsread.list_names(folder):
        match = pattern.fullmatch(name)
        if match and numbered_name(int(match[1]), ending) == match[1] + ending:
            highest = max(highest, int(match[1]))
            if not match[2]:
                present.append(int(match[1]))
    return Numbered(tuple(sorted(present)), highest)


def _distinct(documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for document in documents:
        if document not in found:
            found.append(document)
    return found
