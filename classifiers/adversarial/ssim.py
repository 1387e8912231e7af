"""How alike two pictures look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

_SIGMA, _RADIUS = 1.5, 5


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean structural similarity over pixels and colours: 1 for the same picture, about 0 for unrelated ones.

    Gaussian windows of 11x11 pixels with a standard deviation of 1.5, constants 0.01 and 0.03, places where the window
    reaches beyond the picture left out, all as in the source.

    Parameters
    ----------
    a, b : ndarray of shape (h, w, 3), uint8
        At least 11x11 pixels.

    Raises
    ------
    ValueError
        Different shapes, or pictures smaller than a window.

    References
    ----------
    Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", IEEE Transactions on Image Processing 13(4), 2004.
    """
    if a.shape != b.shape or a.ndim != 3 or min(a.shape[:2]) < 2 * _RADIUS + 1:
        raise ValueError(f"two pictures of one shape (h, w, 3), 11 pixels or more a side, not {a.shape} and {b.shape}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x = _windowed(x * x) - mean_x**2
    var_y = _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return float(likeness.mean())


def _windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    smooth: NDArray[np.float64] = gaussian_filter(values, (_SIGMA, _SIGMA, 0), radius=(_RADIUS, _RADIUS, 0))
    return smooth[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
