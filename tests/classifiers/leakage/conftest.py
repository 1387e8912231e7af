"""Pictures with copies; and every test here looks at pictures itself, for nothing is kept from one to the next."""

import numpy as np
import pytest

from tests.support.copied_pictures import copy_of, picture_set, scene


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A user's cache folder of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """20 scenes, of which 4 have a mirrored copy."""
    scenes = [scene(i) for i in range(20)]
    images = [*scenes, *(copy_of(image, "mirrored") for image in scenes[:4])]
    near = np.concatenate([np.arange(20), np.arange(4)])
    return picture_set(tmp_path_factory.mktemp("mirrored"), images, near % 2, near=near)
