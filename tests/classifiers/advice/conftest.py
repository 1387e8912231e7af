"""A store with the features of pictures in three tones."""

import numpy as np
import pytest
import torch
from PIL import Image

from featstore.extract import extract


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    for split, each in (("train", 12), ("test", 4)):
        for k, name in enumerate(("dark", "light", "red")):
            (root / "tones" / split / name).mkdir(parents=True)
            for i in range(each):
                picture = rng.normal((60, 130, 90)[k], 40, (40, 40, 3))
                picture[..., 0] += 40 * (k == 2)
                image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
                image.save(root / "tones" / split / name / f"{name}{split}{i}.png")
    extract(
        root / "tones", root / "store", backbone="resnet18", weights="none", input_size=32, engine="eager", workers=0
    )
    yield root
    torch.set_num_threads(threads)
