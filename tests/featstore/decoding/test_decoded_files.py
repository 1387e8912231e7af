import hashlib
import tarfile

import numpy as np
import pytest
from PIL import Image

from featstore.decoding.decoded_files import GONE, decoded_files
from featstore.decoding.pixels.transform import TransformSpec

SPEC = TransformSpec(resize=8, crop=8)


@pytest.fixture
def painted(tmp_path):
    paths, digests = [], []
    for i in range(5):
        path = tmp_path / f"{i}.png"
        Image.new("RGB", (12, 10), (50 * i, 0, 0)).save(path)
        paths.append(bytes(path))
        digests.append(np.frombuffer(hashlib.sha256(path.read_bytes()).digest(), np.uint8))
    return paths, np.stack(digests)


def reds(paths, digests, **options):
    out, why = {}, {}
    for batch in decoded_files(paths, digests, SPEC, **options):
        for place, image, reason in zip(batch.places.tolist(), batch.images, batch.reasons, strict=True):
            out[place], why[place] = int(image[4, 4, 0]), reason
    return out, why


@pytest.mark.parametrize("workers", [0, 2])
def test_every_file_comes_once_at_its_place(painted, workers):
    paths, digests = painted
    out, why = reds(paths, digests, workers=workers)
    assert out == {i: 50 * i for i in range(5)} and set(why.values()) == {None}


def test_files_that_are_gone_or_changed_say_so(painted):
    paths, digests = painted
    digests[3] = 0
    out, why = reds([*paths[:2], b"/gone/2.png", *paths[3:]], digests, workers=0)
    assert why[2] == GONE and "changed" in why[3] and why[4] is None and out[2] == 0


def test_members_of_an_archive(painted, tmp_path):
    paths, digests = painted
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        for i in (3, 0, 4, 1, 2):
            archive.add(paths[i].decode(), f"{i}.png")
    inside = [bytes(tmp_path / "all.tar.gz") + b"/%d.png" % i for i in range(5)]
    assert reds(inside, digests, workers=0)[0] == {i: 50 * i for i in range(5)}
