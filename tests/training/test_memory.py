from __future__ import annotations

from collections.abc import Callable

import torch

from nni_darts.training.memory import OutOfMemoryError, advised_out_of_memory


def test_out_of_memory_is_one_line_with_what_to_change(message: Callable[..., str]) -> None:
    def run() -> None:
        with advised_out_of_memory("lower batch_size"):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate ...")

    text = message(OutOfMemoryError, run)
    assert text.startswith("the GPU's memory")
    assert text.endswith("does not suffice; lower batch_size")


def test_other_errors_stay_what_they_are(message: Callable[..., str]) -> None:
    def run() -> None:
        with advised_out_of_memory("lower batch_size"):
            raise RuntimeError("something else")

    assert message(RuntimeError, run) == "something else"
