"""Error of a GPU whose memory is too small for a run: one line that says what to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class OutOfMemoryError(RuntimeError):
    """The memory of the GPU does not suffice."""


@contextmanager
def advised_out_of_memory(advice: str) -> Iterator[None]:
    """Turn CUDA's error into one line with the memory that is there and what to do.

    Args:
        advice: settings to change, such as "lower batch_size".

    Raises:
        OutOfMemoryError: in the place of `torch.cuda.OutOfMemoryError`.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        # The traceback's frames hold the tensors that filled the memory: none is kept.
        raise OutOfMemoryError(f"{_memory()} does not suffice; {advice}") from None


def _memory() -> str:
    if not torch.cuda.is_available():
        return "the GPU's memory"
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return f"the GPU's memory of {total / 2**30:.1f} GiB"
