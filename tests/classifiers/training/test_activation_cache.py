"""Cached activations: computed once, never wrong."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from classifiers.training.activation_cache import ActivationCache

RECIPE = {"backbone": "mobilenet_v2", "weights": "0" * 64, "cut": "features.16", "seed": 0}


def some(count, seed=0):
    rng = np.random.default_rng(seed)
    digests = rng.integers(0, 256, size=(count, 32), dtype=np.uint8)
    return digests, rng.normal(size=(count, 4, 2, 2)).astype(np.float32)


def test_what_was_added_is_there_for_the_next_one_rounded_to_half_precision(tmp_path):
    digests, values = some(6)
    cache = ActivationCache(tmp_path, RECIPE)
    assert cache.missing(0, digests).all()
    cache.add(0, digests[:4], values[:4])
    cache.add(0, digests[4:], values[4:])
    again = ActivationCache(tmp_path, RECIPE)
    assert not again.missing(0, digests).any()
    assert again.missing(1, digests).all()
    order = [5, 0, 3, 3]
    np.testing.assert_array_equal(again.rows(0, digests[order]), values[order].astype(np.float16))


def test_any_safetensors_reader_reads_it(tmp_path):
    digests, values = some(3)
    ActivationCache(tmp_path, RECIPE).add(2, digests, values)
    (file,) = (tmp_path / "activations").rglob("*.safetensors")
    np.testing.assert_array_equal(load_file(file)["values"], values.astype(np.float16))


def test_another_recipe_sees_nothing(tmp_path):
    digests, values = some(3)
    ActivationCache(tmp_path, RECIPE).add(0, digests, values)
    assert ActivationCache(tmp_path, {**RECIPE, "cut": "features.15"}).missing(0, digests).all()


def test_writing_the_same_twice_leaves_one_file(tmp_path):
    digests, values = some(3)
    for _ in range(2):
        ActivationCache(tmp_path, RECIPE).add(0, digests, values)
    assert len(list((tmp_path / "activations").rglob("*.safetensors"))) == 1


@pytest.mark.parametrize("position", [3, 200, -3])
def test_a_damaged_file_is_missing_and_is_made_again(tmp_path, position):
    digests, values = some(3)
    ActivationCache(tmp_path, RECIPE).add(0, digests, values)
    (file,) = (tmp_path / "activations").rglob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[position] ^= 0x10
    file.write_bytes(data)
    cache = ActivationCache(tmp_path, RECIPE)
    assert cache.missing(0, digests).all()
    cache.add(0, digests, values)
    assert not ActivationCache(tmp_path, RECIPE).missing(0, digests).any()


def test_what_half_precision_cannot_hold_is_clipped(tmp_path):
    digests, values = some(1)
    cache = ActivationCache(tmp_path, RECIPE)
    cache.add(0, digests, values * 1e9)
    assert np.isfinite(cache.rows(0, digests)).all()
    assert np.abs(cache.rows(0, digests)).max() == 65504
