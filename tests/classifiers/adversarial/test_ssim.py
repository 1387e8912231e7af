import numpy as np
import pytest

from classifiers.adversarial.ssim import ssim
from tests.support.pictures import texture


def by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """The formula, window by window, with explicit loops."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(weights, weights)
    window /= window.sum()
    values = []
    for channel in range(3):
        x, y = a[..., channel].astype(float), b[..., channel].astype(float)
        for i in range(5, len(x) - 5):
            for j in range(5, x.shape[1] - 5):
                p, q = x[i - 5 : i + 6, j - 5 : j + 6], y[i - 5 : i + 6, j - 5 : j + 6]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
                cov = (window * p * q).sum() - mp * mq
                c1, c2 = 6.5025, 58.5225
                values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def test_it_is_the_published_formula():
    a, b = texture(0, 20, 17), texture(1, 20, 17)
    assert ssim(a, b) == pytest.approx(by_hand(a, b), abs=1e-9)


def test_a_picture_is_like_itself_and_less_like_a_noisier_one():
    a = texture(0)
    rng = np.random.default_rng(0)
    little, much = (np.clip(a + rng.normal(0, s, a.shape), 0, 255).astype(np.uint8) for s in (4, 40))
    assert ssim(a, a) == 1.0
    assert 1 > ssim(a, little) > 0.8 > ssim(a, much)


def test_pictures_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="11 pixels or more a side"):
        ssim(texture(0, 8, 8), texture(0, 8, 8))
    with pytest.raises(ValueError, match="of one shape"):
        ssim(texture(0, 20, 20), texture(0, 21, 20))
