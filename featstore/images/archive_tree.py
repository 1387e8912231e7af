"""The Tree of an archive, or of several that are shards of one data set: members listed, nothing unpacked."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH118, PTH119, PTH120

from __future__ import annotations

import functools
import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from featstore.errors import ImageSetError
from featstore.images import formats
from featstore.images.listing import Skipped
from featstore.images.shards import shards
from featstore.images.tree import LIST_BYTES, Tree
from featstore.images.walk import SYSTEM_FILE, of_the_system
from featstore.sources.container import looks_like_archive, members, named_like_archive
from featstore.sources.index import Index, keep
from featstore.sources.member import Member
from featstore.sources.reading import read
from featstore.system.reporting import printable_path

_INNER = "an archive inside of an archive; unpack the outer one once"


def archive_tree(path: bytes) -> Tree:
    """List the images of an archive, or of shards.

    A member is an image where its name ends like one or, for any other name, its first bytes are those of one. Links,
    devices, encrypted members and names that lead out of the archive are skipped, each with its reason.

    Parameters
    ----------
    path : bytes
        A .zip, .tar, .tar.gz or .tgz; a pattern such as `shard-{000..099}.tar` or `*.tar`; a folder of archives.

    Returns
    -------
    Tree
        Of one archive: `root` is the archive, paths are the names of members. Of shards: `root` is their folder, paths
        begin with the shard's name. Every member has the modification time of its archive.

    Raises
    ------
    ImageSetError
        Where it is no archive that can be read in place, or holds no image; the message says what to do.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with zipfile.ZipFile(f"{folder}/pets.zip", "w") as archive:
    ...         archive.writestr("pets/cats/1.jpg", b"")
    ...     tree = archive_tree(f"{folder}/pets.zip".encode())
    >>> tree.paths, tree.folders
    ([b'pets/cats/1.jpg'], [(b'', 0), (b'pets', 0), (b'pets/cats', 1)])
    """
    parts = shards(path)
    if parts is None:
        root = os.path.realpath(path)
        listed = [_Listed(root, b"")]
    else:
        root = os.path.realpath(os.path.dirname(parts[0]))
        listed = [_Listed(os.path.join(root, os.path.basename(part)), os.path.basename(part)) for part in parts]
    tree = Tree(root)
    indexes: dict[bytes, Index] = {}
    images = {b"": _Images()}
    lost: list[bytes] = []
    for archive in listed:
        if archive.prefix and not os.path.isfile(archive.path):  # noqa: PTH113 - bytes
            lost.append(archive.prefix)
            tree.skipped.append(Skipped(archive.prefix, "does not exist"))
            continue
        archive.run(images, tree)
        indexes[archive.prefix] = archive.index
    if lost:
        told = f"{len(lost)} of {len(listed)} archives are not there, such as {printable_path(lost[0])}"
        if 2 * len(lost) > len(listed):
            raise ImageSetError(f"{told}; look in {printable_path(root)}, or name those that are")
        tree.notes.append(told)
    if parts is not None:
        _note_others(tree, {os.path.basename(part) for part in parts})
    for folder in sorted(images, key=lambda name: name.split(b"/") if name else []):
        found = images.pop(folder)
        tree.folders.append((folder, len(found.names)))
        tree.paths += found.names
        tree.sizes += found.sizes
        tree.mtimes += [found.mtime] * len(found.names)
    if not tree.paths:
        raise ImageSetError(_nothing(printable_path(os.path.abspath(path)), tree, sum(map(len, indexes.values()))))
    tree.read = _reader(root, indexes)
    return tree


@dataclass
class _Images:
    """The images of one folder, column by column: a million tuples would take more memory than their names."""

    names: list[bytes] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    mtime: int = 0


class _Listed:
    """One archive while it is listed; `prefix` is its name where it is a shard."""

    def __init__(self, path: bytes, prefix: bytes) -> None:
        self.path = path
        self.prefix = prefix
        self.index = Index(path)
        self._before = prefix + b"/" if prefix else b""

    def run(self, images: dict[bytes, _Images], tree: Tree) -> None:
        """Add the members to the images, folder by folder, and to what is skipped."""
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise ImageSetError(f"{printable_path(self.path)} cannot be read: {error.strerror}") from error
        images.setdefault(self.prefix, _Images())
        mtime, others, twice = status.st_mtime_ns, dict[bytes, Skipped](), set[bytes]()
        for member in members(self.path, _is_unnamed, tree.notes):
            name = self._before + member.name if member.name else self.prefix
            if member.reason:
                tree.skipped.append(Skipped(name, member.reason, member.size, mtime))
                continue
            if member.folder:
                if _odd(member.name) is None:
                    _enter(name, images)
                continue
            if not self.index.add(member.name, member.record):
                twice.add(name)
            reason = _reason(member)
            if reason is None:
                folder = name[: name.rfind(b"/")] if b"/" in name else b""
                if folder not in images:
                    _enter(folder, images)
                here = images[folder]
                here.names.append(name)
                here.sizes.append(member.size)
                here.mtime = mtime
            else:
                others[name] = Skipped(name, reason, member.size, mtime)
        if twice:
            _keep_last(twice, images)
            what = f"1 name in {printable_path(os.path.basename(self.path))} occurs"
            if len(twice) > 1:
                what = f"{len(twice)} names in {printable_path(os.path.basename(self.path))} occur"
            example = printable_path(min(twice))
            tree.notes.append(f"{what} more than once, such as {example}; the last one counts, as when it is unpacked")
        tree.skipped.extend(others.values())
        keep(self.path, self.index, status)


def _enter(folder: bytes, images: dict[bytes, _Images]) -> None:
    """Note a folder and those above it."""
    while folder not in images:
        images[folder] = _Images()
        folder = folder[: folder.rfind(b"/")] if b"/" in folder else b""


def _keep_last(twice: set[bytes], images: dict[bytes, _Images]) -> None:
    """Of members of one name keep the last."""
    for folder in {name[: name.rfind(b"/")] if b"/" in name else b"" for name in twice}:
        here = images.get(folder, _Images())
        last = dict(zip(here.names, here.sizes, strict=True))
        images[folder] = _Images(list(last), array("q", last.values()), here.mtime)


def _is_unnamed(name: bytes) -> bool:
    """Whether only its first bytes tell what a member is."""
    return not _named_like_image(name) and _odd(name) is None


def _named_like_image(name: bytes) -> bool:
    return name[name.rfind(b".") :].lower() in formats.EXTENSIONS


@functools.lru_cache(256)
def _odd_folder(folder: bytes) -> str | None:
    """Why what lies in a folder is left out for the names of the folders above; None where it is not."""
    return next((reason for name in folder.split(b"/") if (reason := _odd_name(name)) is not None), None)


def _odd_name(name: bytes) -> str | None:
    if name[:2] == b"._":
        return SYSTEM_FILE
    return of_the_system(name) or ("hidden" if name[:1] == b"." else None)


def _odd(name: bytes) -> str | None:
    """Why a member is left out for its name or its folders'; None where it is not."""
    folder, _, last = name.rpartition(b"/")
    return (_odd_folder(folder) if folder else None) or _odd_name(last)


def _reason(member: Member) -> str | None:
    """Why a file is no image; None where it is one."""
    odd = _odd(member.name)
    if odd is not None:
        return odd
    if _named_like_image(member.name) or formats.sniff(member.head):
        return None
    if named_like_archive(member.name) or looks_like_archive(member.head):
        return _INNER
    return f"not a supported image: {formats.describe(member.head[: formats.HEAD_BYTES])}"


def _note_others(tree: Tree, shard_names: set[bytes]) -> None:
    """Files beside the shards, such as a list of the classes."""
    try:
        with os.scandir(tree.root) as entries:
            for entry in entries:
                if entry.name not in shard_names and entry.name[:1] != b"." and entry.is_file():
                    status = entry.stat()
                    reason = "beside the shards"
                    tree.skipped.append(Skipped(entry.name, reason, status.st_size, status.st_mtime_ns))
    except OSError:
        return  # what lies beside them is a help, no need


def _reader(root: bytes, indexes: dict[bytes, Index]) -> Callable[[bytes], bytes]:
    """What reads a file of the tree by its path."""

    def content(path: bytes) -> bytes:
        if b"" in indexes:
            address = indexes[b""].address(path)
        else:
            shard, _, name = path.partition(b"/")
            address = indexes[shard].address(name) if shard in indexes else None
        place = os.path.join(root, path)
        try:
            return read(place if address is None else address, LIST_BYTES)
        except OSError as error:
            raise ImageSetError(f"{printable_path(place)} cannot be read: {error.strerror or error}") from error

    return content


def _nothing(place: str, tree: Tree, count: int) -> str:
    """Why an archive is refused."""
    expected = f"expected {', '.join(formats.FORMATS)}"
    told = "".join(f"; {note}" for note in tree.notes)
    visible = [entry for entry in tree.skipped if entry.reason != "hidden"]
    if not count and not visible:
        return f"{place} is empty: it holds no file{told}; {expected}"
    inner = sorted(entry.path for entry in visible if entry.reason == _INNER)
    if inner:
        return (
            f"{place} holds no image but {len(inner)} archive{'s' * (len(inner) > 1)}, such as "
            f"{printable_path(inner[0])}{told}; unpack it once, and name an archive or folder of what it holds"
        )
    reasons = sorted(visible or tree.skipped)
    shown = f", such as {printable_path(reasons[0].path)} ({reasons[0].reason})" if reasons else ""
    entries = "1 entry was" if len(reasons) == 1 else f"{len(reasons):,} entries were"
    return f"{place} holds no image; {entries} skipped{shown}{told}; {expected}"
