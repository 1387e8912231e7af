"""Pictures: images that a Python program holds, with labels: lists, arrays, data sets of torch and of the hub."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from featstore.errors import ImageSetError
from featstore.images.listing import Found
from featstore.images.part_names import part_of
from featstore.images.tree import Labelled
from featstore.sources.addresses import addresses
from featstore.sources.index import forget, keep
from featstore.sources.memory import Spool, ppm
from featstore.sources.reading import size_of
from featstore.system.reporting import printable_path

_EXPECTED = "expected a list of Pillow images or uint8 arrays, a data set with `len(data)` and `data[i]`, or the hub's"


class Pictures:
    """Images with labels, parts and names, whose bytes can be read wherever files can while this is open.

    Made by `Pictures.of`; close it, or use it in a `with` block, when features are extracted.

    Attributes
    ----------
    root : bytes
        What the paths are relative to.
    addresses : dict of bytes to bytes
        Path of each picture, in the order of the data, and where its bytes are.

    Examples
    --------
    >>> with Pictures.of([np.zeros((8, 8), np.uint8)], ["night"], ids=["a"]) as pictures:
    ...     pictures.labelled().found.runs, list(pictures.addresses)
    ([(1, b'night', '')], [b'a'])
    """

    def __init__(self, spool: Spool, told: str) -> None:
        self.root = spool.path
        self.addresses: dict[bytes, bytes] = {}
        self._spool = spool
        self._told = told
        self._found = Found()

    @classmethod
    def of(
        cls,
        data: Any,
        labels: Sequence[Any] | None = None,
        *,
        ids: Sequence[str] | None = None,
        splits: Sequence[str] | None = None,
        classes: Sequence[str] | Mapping[int, str] | None = None,
    ) -> Self:
        """Take pictures from where a program has them.

        Parameters
        ----------
        data : list of PIL.Image.Image or uint8 arrays, map-style data set, `datasets.Dataset` or mapping of these
            A map-style data set gives `data[i] -> (image, label)` or an image; of a mapping the keys are parts. Of a
            `datasets.Dataset` the files' own bytes are taken where it has them.
        labels : sequence of n int, str or None, optional
            None for an image without a label. Default: those of the data set.
        ids : sequence of n str, optional
            Names, each once. Default: numbers.
        splits : sequence of n str, optional
            Names of parts, "" for none.
        classes : sequence or mapping of str, optional
            Names of integer labels. Default: the data set's own.

        Raises
        ------
        ImageSetError
            Something is no picture of uint8, or lengths, names, labels or parts do not fit.
        """
        spool = Spool()
        try:
            return cls._of(spool, data, labels, ids, splits, classes)
        except BaseException:
            spool.close()
            raise

    @classmethod
    def _of(cls, spool: Spool, data: Any, labels: Any, ids: Any, splits: Any, classes: Any) -> Self:
        sources = _sources(data)
        n = sum(len(source) for _, source in sources)
        if not n:
            raise ImageSetError(f"there are no pictures in the data; {_EXPECTED}")
        for name, column in (("labels", labels), ("ids", ids), ("splits", splits)):
            if column is not None and len(column) != n:
                raise ImageSetError(f"{name} has {len(column)} entries for {n} pictures; expected one a picture")
        names = _names(classes) or next((found for _, source in sources if (found := _names(source.classes))), {})
        pictures = cls(spool, "the labels given" if labels is not None else "the data set")
        width = len(str(n - 1))
        row = 0
        for split, source in sources:
            for picture, label in source:
                path = str(row).zfill(width) if ids is None else str(ids[row])
                where = f"picture {row}" if ids is None else f"picture {path!r}"
                try:
                    address, size = _stored(picture, spool)
                except ImageSetError as error:
                    raise ImageSetError(f"{where} is {error}") from error
                given = label if labels is None else labels[row]
                part = _part(split if splits is None else splits[row], where)
                pictures._add(path, address, size, _class(given, names, where), part)
                row += 1
        keep(spool.path, _Lookup(pictures.addresses), None)
        return pictures

    def _add(self, name: str, address: bytes, size: int, class_name: bytes | None, part: str) -> None:
        path = name.encode("utf-8", "surrogateescape")
        if not path or b"\0" in path or path in self.addresses:
            what = "is there twice" if path in self.addresses else "is no name"
            raise ImageSetError(f"{printable_path(path)!r} of ids {what}; expected a name for each picture, each once")
        self.addresses[path] = address
        self._found.add(path, size, 0, class_name, part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.addresses)

    def close(self) -> None:
        """Remove the pictures' bytes; their addresses cannot be read afterwards."""
        forget(self.root)
        self._spool.close()

    def labelled(self) -> Labelled:
        """The pictures as a layout gives those of a folder; `root` is this one's."""
        runs = self._found.runs
        count = len({name for _, name, _ in runs if name is not None})
        found = Found(list(self._found.paths), list(self._found.sizes), list(self._found.mtimes), list(runs))
        return Labelled(
            found,
            [],
            "memory",
            f"{count} class{'es' * (count != 1)} from {self._told}" if count else "",
            found.parts_from("the data"),
            root=self.root,
        )


class _Lookup:
    """The index of pictures in memory."""

    def __init__(self, addresses: Mapping[bytes, bytes]) -> None:
        self._addresses = addresses

    def address(self, name: bytes) -> bytes | None:
        return self._addresses.get(name)


class _Source:
    """Pictures and labels of one list or data set, one after the other."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self.classes = getattr(data, "classes", None)
        inner = data
        while self.classes is None and (inner := getattr(inner, "dataset", None)) is not None:
            self.classes = getattr(inner, "classes", None)  # of a subset

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for number in range(len(self._data)):
            item = self._data[number]
            if isinstance(item, tuple) and len(item) >= 2:
                yield item[0], item[1]
            elif isinstance(item, Mapping):
                yield _of_mapping(item)
            else:
                yield item, None


class _HubSource(_Source):
    """A `datasets.Dataset`: its column of images, undecoded, and its column of classes."""

    def __init__(self, data: Any) -> None:
        features = dict(data.features)
        images = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
        if not images:
            raise ImageSetError(
                f"the data set has no column of images: it has {', '.join(features)}; expected one of the feature Image"
            )
        self._image = images[0]
        coded = [name for name, feature in features.items() if type(feature).__name__ == "ClassLabel"]
        usual = [name for name in ("label", "labels", "class") if name in features]
        self._label = (coded or usual or [None])[0]
        self.classes = getattr(features.get(self._label), "names", None)
        feature = features[self._image]
        if hasattr(data, "cast_column"):
            data = data.cast_column(self._image, type(feature)(decode=False))
        columns = [self._image] + ([self._label] if self._label else [])
        self._data = data.select_columns(columns) if hasattr(data, "select_columns") else data

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for number in range(len(self._data)):
            item = self._data[number]
            yield item[self._image], item[self._label] if self._label else None


def _sources(data: Any) -> list[tuple[str, _Source]]:
    """(part, source) of all that `data` holds."""
    if isinstance(data, Mapping):
        return [(str(name), source) for name, inner in data.items() for _, source in _sources(inner)]
    if hasattr(data, "features") and hasattr(data, "column_names"):
        return [("", _HubSource(data))]
    if isinstance(data, str | bytes) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise ImageSetError(f"the data are {type(data).__name__}; {_EXPECTED}")
    return [("", _Source(data))]


def _of_mapping(item: Mapping[str, Any]) -> tuple[Any, Any]:
    image = next((item[key] for key in ("image", "img", "pixels") if key in item), None)
    if image is None:
        raise ImageSetError(f"a picture is a mapping with the keys {', '.join(map(str, item))}; expected the key image")
    return image, next((item[key] for key in ("label", "labels", "class") if key in item), None)


def _stored(picture: Any, spool: Spool) -> tuple[bytes, int]:
    """The address and the size of a picture's bytes: those of its file, where the data set has them."""
    if isinstance(picture, Mapping) and {"bytes", "path"} <= set(picture):
        data, path = picture["bytes"], picture["path"]
        if isinstance(data, bytes):
            return spool.add(data).address(), len(data)
        if isinstance(path, str):
            (address,) = addresses([os.path.abspath(os.fsencode(path))])  # noqa: PTH100 - bytes
            try:
                return address, size_of(address)
            except OSError as error:
                raise ImageSetError(f"a file that cannot be read: {path} ({error.strerror})") from error
        raise ImageSetError("an empty cell; expected an image")
    data = ppm(picture)
    return spool.add(data).address(), len(data)


def _names(classes: Any) -> dict[int, str]:
    if classes is None or isinstance(classes, str):
        return {}
    if isinstance(classes, Mapping):
        return {int(number): str(name) for number, name in classes.items()}
    return {number: str(name) for number, name in enumerate(classes)}


def _class(label: Any, names: Mapping[int, str], where: str) -> bytes | None:
    """The class of a picture; None where it has none."""
    if isinstance(label, np.generic) or (hasattr(label, "item") and getattr(label, "ndim", 1) == 0):
        label = label.item()
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if label is None or label == "" or label != label or (isinstance(label, int) and label == -1):
        return None
    if isinstance(label, int) and names:
        if label not in names:
            raise ImageSetError(f"{where} has the label {label}, and classes names {len(names)}; expected one of them")
        label = names[label]
    if not isinstance(label, str | int | float):
        raise ImageSetError(f"{where} has the label {str(label)[:60]!r}; expected one name or number, or None")
    return str(label).encode("utf-8", "surrogateescape")


def _part(name: Any, where: str) -> str:
    if not name:
        return ""
    part = part_of(str(name))
    if part is None:
        raise ImageSetError(f"{where} is of the part {str(name)[:60]!r}; expected train, val or test, or ''")
    return part
