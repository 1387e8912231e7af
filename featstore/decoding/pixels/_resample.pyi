import numpy as np
from numpy.typing import NDArray

def resize(
    out: NDArray[np.uint8], rgb: NDArray[np.uint8], size: tuple[int, int], corner: tuple[int, int], filter: str, /
) -> None: ...
