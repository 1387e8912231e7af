import numpy as np
from numpy.typing import NDArray

def sums(out: NDArray[np.uint64], words: NDArray[np.uint64], keys: NDArray[np.uint64], /) -> None: ...
