"""Examination of networks: a tiny batch to try them with, and the test on the test images."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchmetrics.classification import MulticlassAccuracy

from nni_darts._common.validation import SettingsError
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.networks import image_size

PIXELS = 256 * 256
"""Highest number of pixels of an image that a step is tried on."""


def test(network: nn.Module, data: Any, device: torch.device) -> dict[str, float]:
    """Accuracy in [0, 1] and mean cross entropy on the test data, each image once, in float32."""
    accuracy = MulticlassAccuracy(data.num_classes, average="micro").to(device)
    total, count = 0.0, 0
    with torch.inference_mode():
        for x, y in data.test_dataloader():
            x, y = x.to(device), y.to(device)
            logits = network(x)
            accuracy.update(logits, y)
            total += float(nn.functional.cross_entropy(logits, y, reduction="sum"))
            count += len(y)
    return {"test_acc": float(accuracy.compute()), "test_loss": total / count}


def tiny_batch(data: Any, examples: int, loaded: bool) -> Any:
    """A batch of so few images with labels; None where their shape is not known.

    Args:
        data: of a search.
        examples: how many.
        loaded: whether batches can be taken from it.
    """
    size = image_size(data)
    if loaded and not isinstance(data, BilevelData):
        batch = next(iter(data.train_dataloader()), None)
        if not (isinstance(batch, list | tuple) and len(batch) == 2):
            return None
        least, most = int(batch[1].min()), int(batch[1].max())
        if least < 0 or most >= data.num_classes:
            raise SettingsError(
                [
                    f"data: labels must be from 0 to {data.num_classes - 1}, as num_classes is "
                    f"{data.num_classes}, got {least if least < 0 else most}"
                ]
            )
        return tuple(part[:examples] for part in batch)
    if size is None or not hasattr(data, "in_channels"):
        return None
    images = torch.randn(examples, data.in_channels, size, size)
    # The last class is the one that a network with too few outputs has not.
    return images, torch.linspace(0, data.num_classes - 1, examples).long()


def too_large_to_try(batch: Any) -> str | None:
    """Reason why a step on a batch would take too long on the CPU; None without one."""
    images = batch[0]
    if images.ndim == 4 and images[0, 0].numel() > PIXELS:
        return f"its images have more than {PIXELS:,} pixels"
    return None
