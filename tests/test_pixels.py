"""Decoded images for a training run."""

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifiers.pixels import decode_rows
from featstore.errors import ImageSetError
from featstore.features import FeatureSet
from featstore.fingerprint import Fingerprint
from featstore.transform import TransformSpec
from tests.pictures import encode, texture

SPEC = TransformSpec(24, 20)


def features_of(root, count=5):
    paths = []
    for i in range(count):
        (root / f"{i}.png").write_bytes(encode(texture(i, 40 + i, 30), "PNG"))
        paths.append(os.fsencode(f"{i}.png"))
    digests = [hashlib.sha256((root / os.fsdecode(p)).read_bytes()).digest() for p in paths]
    fingerprint = Fingerprint("resnet18", "0" * 64, "avgpool", "avg", {}, {}, "fp32", "none")
    return FeatureSet(
        X=np.zeros((count, 3), np.float32),
        y=np.zeros(count, np.int64),
        ids=tuple(map(os.fsdecode, paths)),
        classes=("a",),
        splits=np.full(count, ""),
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        fingerprint=fingerprint,
        dataset="x",
        root=os.fsencode(root),
        paths=tuple(paths),
    )


@pytest.mark.parametrize("limit", [1 << 30, 10])
def test_pixels_are_the_transforms_in_memory_and_on_disk(tmp_path, limit):
    features = features_of(tmp_path)
    pixels = decode_rows(features.subset([3, 0, 4]), SPEC, folder=tmp_path, workers=0, memory_limit=limit)
    assert isinstance(pixels, np.memmap) == (limit == 10)
    for row, name in zip(pixels, ("3.png", "0.png", "4.png"), strict=True):
        np.testing.assert_array_equal(row, SPEC.apply(np.asarray(Image.open(tmp_path / name))))
    assert len(list(tmp_path.iterdir())) == 5  # the file has no name


def test_a_changed_or_vanished_image_is_named(tmp_path):
    features = features_of(tmp_path)
    (tmp_path / "2.png").write_bytes(encode(texture(99), "PNG"))
    with pytest.raises(ImageSetError, match=r"1 of 5 images .*2\.png .*featstore extract"):
        decode_rows(features, SPEC, folder=tmp_path, workers=0)
    (tmp_path / "2.png").unlink()
    with pytest.raises(ImageSetError, match=r"2\.png"):
        decode_rows(features, SPEC, folder=tmp_path, workers=0)
    moved = dataclasses.replace(features, root=os.fsencode(Path("/nowhere")))
    with pytest.raises(ImageSetError, match="5 of 5"):
        decode_rows(moved, SPEC, folder=tmp_path, workers=0)
