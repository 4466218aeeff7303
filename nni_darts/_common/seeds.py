"""One seed made of several numbers."""

from __future__ import annotations

import numpy as np


def mixed(*numbers: int) -> int:
    """One seed of 32 bits: neighbours, as (0, 1) and (1, 0), must not share a random stream."""
    # Their count tells (1,) from (1, 0, 0), which numpy takes for the same.
    return int(np.random.SeedSequence([*numbers, len(numbers)]).generate_state(1)[0])
