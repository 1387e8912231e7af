import time

import numpy as np
import pytest

from featstore.calibration import measure, pick, remember, remembered
from tests.engine_example import own_cache  # noqa: F401

IDENTITY = {"device": "cpu", "cores": 2, "backbone": "resnet18"}


class Paced:
    """A runner that takes so many seconds an image."""

    name = "paced"

    def __init__(self, seconds, batch_size=4):
        self.seconds, self.batch_size, self.images = seconds, batch_size, 0

    def submit(self, images):
        time.sleep(self.seconds * len(images))
        self.images += len(images)
        return self

    def result(self):
        return [np.zeros((1, 1), dtype=np.float32)]


def test_rates_are_images_a_second():
    rates = measure({"fast": Paced(0.002), "slow": Paced(0.003)}, 8, seconds=0.02)
    assert 250 < rates["fast"] <= 500
    assert 170 < rates["slow"] <= 334


def test_hopeless_runner_computes_one_batch_only():
    fast, hopeless = Paced(0.001), Paced(0.02)
    measure({"fast": fast, "hopeless": hopeless}, 8, seconds=0.02)
    assert hopeless.images == 4 == fast.images  # alone in the race, the fast one is not measured again either


def test_usual_choice_stays_unless_another_is_clearly_faster():
    assert pick({"a": 100.0, "b": 105.0}, "a") == "a"
    assert pick({"a": 100.0, "b": 120.0}, "a") == "b"
    assert pick({"a": 100.0, "b": 90.0}, "a") == "a"


def test_choice_is_remembered_for_this_identity_alone(own_cache):  # noqa: F811
    assert remembered(IDENTITY, ["a", "b"]) is None
    remember(IDENTITY, "b", {"a": 1.0, "b": 2.0})
    assert remembered(IDENTITY, ["a", "b"]) == "b"
    assert remembered(IDENTITY, ["a"]) is None
    assert remembered(IDENTITY | {"cores": 4}, ["a", "b"]) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 2, "choice": "b"}', b"\xff\x00", b"null"]
)
def test_damaged_entry_counts_as_none(own_cache, content):  # noqa: F811
    remember(IDENTITY, "b", {"b": 2.0})
    (path,) = (own_cache / "calibration").iterdir()
    path.write_bytes(content)
    assert remembered(IDENTITY, ["b"]) is None
    remember(IDENTITY, "b", {"b": 2.0})
    assert remembered(IDENTITY, ["b"]) == "b"


def test_cache_that_cannot_be_written_is_no_failure(own_cache):  # noqa: F811
    own_cache.parent.mkdir(parents=True)
    own_cache.write_text("a file where the folder should be")
    remember(IDENTITY, "b", {"b": 2.0})
    assert remembered(IDENTITY, ["b"]) is None
