"""Batches on a GPU, made while it still works on the step before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map


def beside(values: Tensor, other: Tensor) -> Tensor:
    """Values made on the CPU, on the device of the other tensor; nothing waits for the copy.

    Draws are made on the CPU and copied, so that they are the same on every device.
    """
    if other.device.type != "cuda":
        return values.to(other.device)
    # From pageable memory the copy would be waited for.
    return values.pin_memory().to(other.device, non_blocking=True)


class Stream(Protocol):
    """Interface of a stream of the device; the tests have one for the CPU."""

    def wait(self) -> None:
        """Let the stream run after all that has been launched so far."""

    def within(self) -> AbstractContextManager[Any]:
        """Context in which launched work runs on the stream."""

    def hand_over(self, tensors: list[Tensor]) -> None:
        """Let later work find the tensors ready; they are kept until it is done."""


class CudaStream:
    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def wait(self) -> None:
        self._stream.wait_stream(torch.cuda.current_stream(self._device))

    def within(self) -> AbstractContextManager[Any]:
        return torch.cuda.stream(self._stream)

    def hand_over(self, tensors: list[Tensor]) -> None:
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        for tensor in tensors:
            tensor.record_stream(current)


class DeviceBatches:
    """Loader that puts the batches of another loader on a GPU.

    A batch is asked for when it always was, so that random numbers are drawn in the same order and
    a resumed run repeats them. The step before has only been launched by then: copies and
    augmentation run beside it, on a stream of their own.

    Args:
        loader: gives structures of tensors, on the CPU (best in pinned memory) or on the device.
        device: a GPU.
        stream: stream to copy and augment on.
    """

    def __init__(self, loader: Any, device: torch.device, stream: Stream | None = None) -> None:
        self.loader = loader
        self.device = device
        self._stream = stream

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        if self._stream is None:
            self._stream = CudaStream(self.device)
        stream, end = self._stream, object()
        stream.wait()
        batches: Any = None
        while True:
            with stream.within():
                # The loader's iterator too, for it may draw.
                batches = iter(self.loader) if batches is None else batches
                batch = next(batches, end)
                if batch is not end:
                    batch = tree_map(self._moved, batch)
            if batch is end:
                return
            stream.hand_over([x for x in tree_leaves(batch) if isinstance(x, Tensor)])
            yield batch

    def _moved(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.device == self.device:
            return value
        return value.to(self.device, non_blocking=True)
