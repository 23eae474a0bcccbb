"""Many stretches of a long array as one array of places, without a loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def spread(first: Numbers, sizes: Numbers) -> Numbers:
    """All numbers from each of `first` on, as many as its of `sizes` says: `[stretches]` twice to `[sum of sizes]`."""
    ends = np.cumsum(sizes)
    return np.arange(int(sizes.sum())) + np.repeat(first - (ends - sizes), sizes)
