"""ImageSetTable: the image sets of a store, `images/<data set>/<number>.h5`; the highest number counts."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

from featstore.errors import ImageSetError, StoreDamagedError
from featstore.images.image_set import ImageSet
from featstore.store.format.image_file import decode_images, encode_images
from featstore.store.format.manifest import following, numbered, numbered_name
from featstore.store.tables.layout import IMAGES, TMP
from featstore.system import fsio, fsread

SIZE_LIMIT = 1 << 34
NAME_LIMIT = 240


class ImageSetTable:
    """The image sets of a store.

    Parameters
    ----------
    store : Path
        Folder of the store.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> pets = ImageSet(
    ...     name="pets", root=b"/pets", paths=(b"a.jpg",), digests=np.ones((1, 32), np.uint8), sizes=np.array([900]),
    ...     mtimes=np.array([0]), labels=np.array([0]), splits=np.array([""], "<U5"), classes=("cat",), problems=("",),
    ... )
    >>> with tempfile.TemporaryDirectory() as store:
    ...     table = ImageSetTable(Path(store))
    ...     table.put(pets), table.put(pets), table.names(), table.newest("pets").paths
    (True, False, ['pets'], (b'a.jpg',))
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self._known: dict[str, tuple[int, ImageSet]] = {}

    def names(self) -> list[str]:
        """Names of the data sets, sorted."""
        folders = fsread.list_folders(self.store / IMAGES)
        names = {unquote(folder, errors="surrogatepass"): folder for folder in folders}
        return sorted(
            name
            for name, folder in names.items()
            if folder_name(name) == folder and numbered(self.folder(name), ".h5").present
        )

    def folder(self, name: str) -> Path:
        """Where the image sets of a data set are."""
        return self.store / IMAGES / folder_name(name)

    def newest(self, name: str) -> ImageSet:
        """The image set with the highest number.

        Raises
        ------
        FileNotFoundError
            Where there is none.
        StoreDamagedError
            Where a byte of it is not as it was written. An older one is not taken instead: its labels may differ.
        """
        while True:
            numbers = numbered(self.folder(name), ".h5").present
            if not numbers:
                raise FileNotFoundError(f"{self.folder(name)} holds no image set")
            number = numbers[-1]
            known = self._known.get(name)
            if known is not None and known[0] == number:
                return known[1]
            try:
                images = self.load(name, number)
            except FileNotFoundError:
                continue  # `gc` or `repair` moved it; there is another list now
            self._known[name] = (number, images)
            return images

    def load(self, name: str, number: int) -> ImageSet:
        """One image set, every byte checked.

        Raises
        ------
        FileNotFoundError
            Where there is none of that number.
        StoreDamagedError
            Where a byte of it is not as it was written.
        """
        path = self.folder(name) / numbered_name(number, ".h5")
        images = decode_images(fsread.read_bytes(path, SIZE_LIMIT), path)
        if images.name != name:
            raise StoreDamagedError(f"{path} holds the image set of {images.name!r}; run `featstore repair`")
        return images

    def put(self, images: ImageSet) -> bool:
        """Publish an image set under the next number; False where it equals the newest one.

        Raises
        ------
        ImageSetError
            Where its name is empty or too long to be a folder's.
        StoreWriteError
            Where the disk refuses.
        """
        if not images.name or len(folder_name(images.name)) > NAME_LIMIT:
            raise ImageSetError(f"a data set cannot be called {images.name!r}; expected a short name, not an empty one")
        data: bytes | None = None
        while True:
            try:
                if self.newest(images.name).same_as(images):
                    return False
            except FileNotFoundError:
                pass
            if data is None:
                data = encode_images(images)
                for folder in (self.store / TMP, self.folder(images.name)):
                    fsio.make_directory(folder, below=self.store)
            folder = self.folder(images.name)
            number = following(numbered(folder, ".h5").highest, folder)
            path = folder / numbered_name(number, ".h5")
            if fsio.publish(path, data, tmp=self.store / TMP):
                return True


def folder_name(name: str) -> str:
    """A data set's name as a folder's: all but ASCII letters, digits and `_.-~` percent-encoded, also a leading dot."""
    encoded = quote(name, safe="", errors="surrogatepass")
    return f"%2E{encoded[1:]}" if encoded.startswith(".") else encoded
