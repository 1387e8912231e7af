"""A small classifier, and pictures for it."""

import pytest

from tests.support.small_classifiers import small_classifier, write_image


@pytest.fixture(scope="module")
def classifier():
    return small_classifier(side=32)


@pytest.fixture
def paths(tmp_path):
    # wider than high, so that the crop loses something on both sides
    return [write_image(tmp_path / "in" / f"p{i}.png", i, 90 + i, 50) for i in range(4)]
