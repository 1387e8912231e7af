"""Pictures that look natural enough to be compared: smooth random fields with shapes on them, and copies of them."""

import hashlib
import io

import numpy as np
from PIL import Image, ImageDraw, ImageOps
from scipy.ndimage import gaussian_filter

from tests.support.feature_sets import feature_set

KINDS = ("saved again", "resized", "cropped", "mirrored", "grey", "darker", "turned", "turned by 90")


def scene(seed, size=(240, 180), shapes=14):
    """A Pillow image of a field of two scales, with ellipses and bars in colours of their own."""
    rng = np.random.default_rng(seed)
    width, height = size
    field = np.stack(
        [gaussian_filter(rng.normal(size=(height, width)), s) * s for s in (25, 9, 4) for _ in range(3)]
    ).reshape(3, 3, height, width)
    field = field.sum(axis=0)
    field = 128 + 90 * field / np.abs(field).max(axis=(1, 2), keepdims=True)
    image = Image.fromarray(np.clip(field, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    draw = ImageDraw.Draw(image)
    for _ in range(shapes):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = rng.uniform(8, 50, 2)
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((x - w / 2, y - h / 2, x + w / 2, y + h / 2), colour)
    return image


def texture(seed, size=(240, 180), grain=2.0):
    """Another patch of one material whatever the seed: the same random process."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=size[::-1]), grain, mode="wrap")
    grey = np.clip(128 + 50 * field / field.std(), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def copy_of(image, kind, seed=0):
    """One of KINDS."""
    rng = np.random.default_rng(seed)
    width, height = image.size
    if kind == "saved again":
        return Image.open(io.BytesIO(jpeg(image, 50)))
    if kind == "resized":
        return image.resize((int(width * 0.6), int(height * 0.6)), Image.Resampling.BICUBIC)
    if kind == "cropped":
        share = rng.uniform(0.65, 0.85)
        w, h = int(width * share), int(height * share)
        x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
        return image.crop((x, y, x + w, y + h))
    if kind == "mirrored":
        return ImageOps.mirror(image)
    if kind == "grey":
        return image.convert("L").convert("RGB")
    if kind == "darker":
        return image.point(lambda value: int(255 * (value / 255) ** 1.4 * 0.8))
    if kind == "turned":
        return image.rotate(rng.choice([-1, 1]) * rng.uniform(8, 20), Image.Resampling.BICUBIC)
    if kind == "turned by 90":
        return image.transpose(Image.Transpose.ROTATE_90)
    return image


def jpeg(image, quality=90):
    held = io.BytesIO()
    image.save(held, "JPEG", quality=quality)
    return held.getvalue()


def square(image, side=64):
    """As `small_pictures` reads it."""
    return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BILINEAR))


def picture_set(folder, images, y, *, near=None, names=None, quality=90, seed=0, **changes):
    """A FeatureSet of JPEG files; `near`: the source of each row, whose rows have features that lie together."""
    rng = np.random.default_rng(seed)
    source = np.arange(len(images)) if near is None else np.asarray(near)
    centres = rng.normal(size=(int(source.max()) + 1, 40))
    X = centres[source] + 0.15 * rng.normal(size=(len(images), 40))
    names = names or [f"{i:04d}.jpg" for i in range(len(images))]
    digests = []
    for name, image in zip(names, images, strict=True):
        data = image if isinstance(image, bytes) else jpeg(image, quality)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        digests.append(np.frombuffer(hashlib.sha256(data).digest(), np.uint8))
    features = feature_set(X, y, ids=names, digests=np.stack(digests), **changes)
    object.__setattr__(features, "root", bytes(folder))
    return features
