"""TrainingData: decodes images and fills the caches that a fine-tune reads."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.training.activation_cache import ActivationCache
from classifiers.training.augment import source_transform
from classifiers.training.loaders import ActivationLoader, Loader, PixelLoader, channels_first, laid_out
from classifiers.training.regimes import FineTuneSettings
from classifiers.training.starting_point import StartingPoint
from classifiers.training.unfreezing import UnfrozenNetwork
from featstore.decoding.pixels.transform import TransformSpec
from featstore.decoding.pool import DecodePool
from featstore.errors import ImageSetError, StoreWriteError
from featstore.features import FeatureSet
from featstore.sources.address import reading_order
from featstore.sources.addresses import addresses
from featstore.system.reporting import Progress, StageProgress, printable_path, silent

CHUNK = 256
"""Images whose activations go into one file of the cache."""
CACHE_LIMIT = 2 << 30
"""Bytes of activations that are kept; where the views asked for would need more, there are fewer."""
MEMORY_LIMIT = 2 << 30
"""Bytes of pixels that are kept in memory; more go to an unnamed file, which vanishes with the process."""


class TrainingData:
    """What a fine-tune's loader is made from.

    Parameters
    ----------
    unfrozen : UnfrozenNetwork
        On `device`.
    start : StartingPoint
    settings : FineTuneSettings
    store : Path
        Folder of the feature store, for cached activations.
    folder : Path
        Existing folder for decoded images that do not fit into memory.
    """

    def __init__(
        self,
        unfrozen: UnfrozenNetwork,
        start: StartingPoint,
        settings: FineTuneSettings,
        *,
        store: Path,
        folder: Path,
        device: torch.device,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._unfrozen, self._start, self._settings = unfrozen, start, settings
        self._store, self._folder, self._device, self._workers = store, folder, device, workers
        self._report = progress or silent
        self._transform = unfrozen.classifier.transform
        self._caches: dict[bool, ActivationCache] = {}
        self.notes: list[str] = []
        self.views = self._affordable_views() if unfrozen.bottom is not None and settings.views else 0

    def decodings(self) -> list[int]:
        """How many images each decoding pool of `loader` will get; cached activations need no image."""
        features = self._start.features
        fit, valid = features.subset(self._start.fit), features.subset(self._start.valid)
        if not self.views:
            return [len(fit), len(valid)]
        lacking = [len(self._lacking(view, fit)) for view in range(self.views)] + [len(self._lacking(0, valid))]
        return [min(CHUNK, images - at) for images in lacking for at in range(0, images, CHUNK)]

    def loader(self) -> Loader:
        """Decode, and where a part of the network is frozen compute its activations, or find them in the store.

        Raises
        ------
        ImageSetError
            An image with features cannot be decoded now.
        StoreWriteError
            The disk is full.
        """
        return self._activation_loader() if self.views else self._pixel_loader()

    def calibration(self, loader: Loader) -> list[torch.Tensor]:
        """Values at the cut of a few hundred training images, for batch-norm statistics."""
        rows = np.random.default_rng(self._settings.seed).permutation(len(self._start.fit))[:CHUNK]
        return [loader.training(rows[i : i + 32], 0) for i in range(0, len(rows), 32)]

    def _pixel_loader(self) -> PixelLoader:
        fit, valid = self._start.features.subset(self._start.fit), self._start.features.subset(self._start.valid)
        return PixelLoader(
            self._unfrozen,
            self._decoded(fit, "decode", sources=self._settings.augmentation is not None),
            self._decoded(valid, "decode validation", sources=False),
            self._settings.augmentation,
            self._transform.crop,
            seed=self._settings.seed,
            device=self._device,
        )

    def _activation_loader(self) -> ActivationLoader:
        features = self._start.features
        fit, valid = features.subset(self._start.fit), features.subset(self._start.valid)
        for part, views in ((fit, self.views), (valid, 1)):
            for view in range(views):
                self._fill(view, part)
        varied = [self._cache(view).rows(view, fit.digests) for view in range(self.views)]
        plain = self._cache(0).rows(0, valid.digests)
        self._caches.clear()
        return ActivationLoader(varied, plain, seed=self._settings.seed, device=self._device)

    def _cache(self, view: int) -> ActivationCache:
        """The cache of a view; the first view is not varied, so that it serves whatever the augmentation."""
        varied = view > 0
        if varied not in self._caches:
            self._caches[varied] = ActivationCache(self._store, self._recipe(varied))
        return self._caches[varied]

    def _recipe(self, varied: bool) -> dict[str, Any]:
        """What the activations of a view depend on."""
        fingerprint, augmentation = self._start.features.fingerprint, self._settings.augmentation
        return {
            **fingerprint.keyed,
            "node": self._unfrozen.cut,
            "pool": "none",
            "augmentation": augmentation.to_json() if varied and augmentation is not None else None,
            "seed": self._settings.seed if varied else None,
        }

    def _lacking(self, view: int, part: FeatureSet) -> NDArray[np.intp]:
        """Rows that a view's cache lacks; of images with the same bytes one."""
        rows = np.flatnonzero(self._cache(view).missing(view, part.digests))
        _, first = np.unique(part.digests[rows].view("S32").ravel(), return_index=True)
        return rows[np.sort(first)]

    def _fill(self, view: int, part: FeatureSet) -> None:
        """Compute what a cache lacks."""
        rows, cache = self._lacking(view, part), self._cache(view)
        self._unfrozen.eval()
        for at in range(0, len(rows), CHUNK):
            chunk = part.subset(rows[at : at + CHUNK])
            images = self._decoded(chunk, "", sources=view > 0)
            pieces = [slice(i, i + 32) for i in range(0, len(chunk), 32)]
            values = [self._values(images[piece], chunk.digests[piece], view) for piece in pieces]
            cache.add(view, chunk.digests, np.concatenate(values))
            self._report(f"cache view {view + 1}", min(at + CHUNK, len(rows)), len(rows), "")

    def _values(self, images: NDArray[np.uint8], digests: NDArray[np.uint8], view: int) -> NDArray[np.float32]:
        """Activations of one view; the first one is not varied."""
        pixels, augmentation = channels_first(images, self._device), self._settings.augmentation
        if view and augmentation is not None:
            numbers = torch.from_numpy(augmentation.draw_for(digests, self._settings.seed, view)).to(self._device)
            pixels = augmentation.apply(pixels, numbers, self._transform.crop)
        else:
            pixels = pixels.float() / 255
        values: NDArray[np.float32] = self._unfrozen.lower(laid_out(pixels)).cpu().contiguous().numpy()
        return values

    def _decoded(self, part: FeatureSet, stage: str, sources: bool) -> NDArray[np.uint8]:
        spec = source_transform(self._transform) if sources else self._transform
        report = (lambda done, total: self._report(stage, done, total, "")) if stage else None
        return decode_rows(part, spec, folder=self._folder, workers=self._workers, progress=report)

    def _affordable_views(self) -> int:
        """As many views as asked for, or as fit into `CACHE_LIMIT`."""
        side = self._transform.crop
        value = self._unfrozen.lower(torch.zeros(1, 3, side, side, device=self._device))
        bytes_a_view = 2 * value.numel() * len(self._start.fit)
        views = min(self._settings.views, CACHE_LIMIT // bytes_a_view)
        if views < self._settings.views:
            what = f"{views} views" if views else "no view, the frozen part is computed anew in every epoch"
            self.notes.append(
                f"{self._settings.views} views of the activations at {self._unfrozen.cut} would take "
                f"{self._settings.views * bytes_a_view >> 20} MiB; kept {what}"
            )
        return int(views)


def decode_rows(
    features: FeatureSet,
    transform: TransformSpec,
    *,
    folder: Path,
    workers: int | None = None,
    memory_limit: int = MEMORY_LIMIT,
    progress: StageProgress | None = None,
) -> NDArray[np.uint8]:
    """Decode the images of some rows.

    Parameters
    ----------
    features : FeatureSet
        Whose `root`, `paths` and `digests` say which files.
    transform : TransformSpec
        Size and place of the square that is kept.
    folder : Path
        Where the file goes if it is too much for memory.
    workers : int, optional
        Decoding processes.
    memory_limit : int
        Bytes.

    Returns
    -------
    ndarray of shape (n, crop, crop, 3), uint8

    Raises
    ------
    ImageSetError
        An image that has features cannot be decoded now: it is gone, or its bytes have changed.
    StoreWriteError
        The disk is full.
    """
    side = transform.crop
    shape = (len(features), side, side, 3)
    pixels = _room(shape, folder, memory_limit)
    places = [os.path.join(features.root, path) for path in features.paths]  # noqa: PTH118 (paths are bytes)
    found = addresses(places)
    order = reading_order(found) or list(range(len(found)))  # containers are read from front to back
    items = [(found[row], features.digests[row].tobytes()) for row in order]
    problems: list[tuple[str, str]] = []
    with DecodePool(transform, workers=workers) as pool:
        for batch in pool.run(items):
            end = batch.start + len(batch.images)
            pixels[order[batch.start : end]] = batch.images
            for offset in np.flatnonzero(batch.status):
                row = order[batch.start + int(offset)]
                problems.append((printable_path(places[row]), batch.reasons[int(offset)]))
            if progress is not None:
                progress(end, len(items))
    if problems:
        path, reason = problems[0]
        raise ImageSetError(
            f"{len(problems)} of {len(items)} images have features in the store but cannot be decoded now, such as "
            f"{path} ({reason}); run `featstore extract` again, then fine-tune"
        )
    return pixels


def _room(shape: tuple[int, ...], folder: Path, memory_limit: int) -> NDArray[np.uint8]:
    """An array in memory, or in a file without a name that is as long as the array."""
    count = math.prod(shape)
    if count <= memory_limit:
        return np.empty(shape, dtype=np.uint8)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, count)  # a full disk is noticed here, not by a crash in the middle
        except OSError as error:
            raise StoreWriteError(
                f"{folder} has no room for {count >> 20} MiB of decoded images ({error.strerror}); make room, or "
                f"fine-tune on fewer images or at a smaller input size"
            ) from error
        return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
