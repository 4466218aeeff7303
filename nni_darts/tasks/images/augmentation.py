"""Augmentation: stored images of a batch become a network's input, whole batches at once.

All draws come from torch's global random state on the CPU, whatever device the images are on.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from nni_darts._common import limits
from nni_darts._common.checks import size
from nni_darts.tasks.images.device_batches import beside

# Pillow's own bound is a warning first; ours is an error.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Items = Any
"""The images of a data set as they are kept: a uint8 tensor (N, C, H, W), or an array of N paths.

Either way `items[list_of_indices]` are the items of a batch.
"""


class UnreadableImageError(OSError, ValueError):
    """An image that cannot be read: once it is mended, the training goes on."""


def random_shift(images: Tensor, padding: int) -> Tensor:
    """Move each image of (B, C, H, W) by up to `padding`, as RandomCrop(size, padding); 0 fills.

    The draws are `randint(0, 2 * padding + 1, (2, B))`: first all tops, then all lefts.
    """
    if size("padding", padding, 0, limits.IMAGE_SIZE) == 0:
        return images
    count, _, height, width = images.shape
    top, left = beside(torch.randint(0, 2 * padding + 1, (2, count)), images)
    # A view (B, C, tops, lefts, H, W) of every crop there is; indexing copies one for each image.
    crops = F.pad(images, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
    return crops[torch.arange(count, device=images.device), :, top, left]


def random_flip(images: Tensor) -> Tensor:
    """Mirror each image (of B, C, H, W) left to right where `rand(B) < 0.5`."""
    mirrored = beside(torch.rand(len(images)) < 0.5, images)
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def cutout(images: Tensor, pixels: int) -> Tensor:
    """Set a square of `pixels` x `pixels` in each image of (B, C, H, W) to 0, in all channels.

    DeVries & Taylor 2017, arXiv 1708.04552: the centre is any pixel of the image, each as likely,
    and what of the square lies outside is cut off. Of a normalised image, 0 is the mean. The square
    begins `pixels // 2` above and left of its centre. The draws are `randint(0, H, (B,))`, then
    `randint(0, W, (B,))`; none for `pixels=0`, which changes nothing.
    """
    if size("pixels", pixels, 0, limits.IMAGE_SIZE) == 0:
        return images
    count, _, height, width = images.shape
    rows = _within(beside(torch.randint(0, height, (count,)), images), pixels, height)
    columns = _within(beside(torch.randint(0, width, (count,)), images), pixels, width)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def _within(centre: Tensor, pixels: int, size: int) -> Tensor:
    """Mask (B, size) of the positions 0 to size - 1 in the square, given its centres (B,)."""
    offset = torch.arange(size, device=centre.device) - (centre - pixels // 2)[:, None]
    return (offset >= 0) & (offset < pixels)


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Float32 images from uint8 (B, C, H, W); `mean` and `std` per channel, of values in [0, 1]."""
    shift, scale = (_per_channel(values, images.device) for values in (mean, std))
    return (images.float() / 255 - shift) / scale


@lru_cache
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Values as (1, C, 1, 1); made once, because the copy to a device is waited for."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(1, -1, 1, 1)


class Transform(Protocol):
    """Transform of a batch's items to float32 (B, C, image_size, image_size), normalised."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean per channel, of values in [0, 1]; as is `std`."""

    @property
    def std(self) -> tuple[float, ...]: ...

    def __call__(self, items: Items, *, image_size: int, augmented: bool) -> Tensor: ...


@dataclass(frozen=True)
class ShiftAndFlip:
    """Augmentation of images in memory, uint8 (B, C, H, W): the paper's, then a resize.

    The shift is in the pixels of the original, so that it moves the same part of the picture
    whatever `image_size` is.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    padding: int
    flip: bool

    def __call__(self, items: Tensor, *, image_size: int, augmented: bool) -> Tensor:
        if augmented:
            items = random_shift(items, self.padding)
            items = random_flip(items) if self.flip else items
        images = normalise(items, self.mean, self.std)
        if images.shape[-2:] == (image_size, image_size):
            return images
        return F.interpolate(images, (image_size, image_size), mode="bilinear", antialias=True)


@dataclass(frozen=True)
class ReadAndCrop:
    """Random or central crop of images on disk, of any size; always as RGB.

    The proportions are those customary for ImageNet: 8 to 100 % of the area when augmented, the
    central 224 of a shorter side of 256 when not.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, items: NDArray[np.str_], *, image_size: int, augmented: bool) -> Tensor:
        if augmented:
            crop = v2.RandomResizedCrop(image_size)
        else:
            shorter = round(image_size * 256 / 224)
            crop = v2.Compose([v2.Resize(shorter), v2.CenterCrop(image_size)])
        images = torch.stack([v2.functional.pil_to_tensor(crop(_read(path))) for path in items])
        return normalise(random_flip(images) if augmented else images, self.mean, self.std)


def _read(path: str) -> Image.Image:
    try:
        return read_image(path)
    except Exception as error:  # the decoders raise what they like
        raise UnreadableImageError(
            f"cannot read the image {path} ({error}); mend it or take it out"
        ) from error


def read_image(path: str, *, only_look: bool = False) -> Image.Image:
    """An image of a file as RGB, 8 bits a channel.

    Args:
        path: path of the file.
        only_look: read all of the file, but take what is quicker to make than the image itself.

    Raises:
        Exception: of any kind, where it cannot be read.
    """
    with Image.open(path) as image:
        if image.width * image.height > limits.PIXELS:
            raise ValueError(
                f"its {image.width} x {image.height} pixels are more than {limits.PIXELS}"
            )
        if only_look:
            image.draft("RGB", (1, 1))  # of a JPEG an eighth of its size, as far as it goes
        if image.mode == "F":
            raise ValueError("its values are floating point numbers, of no known range")
        return (_of_8_bits(image) if image.mode.startswith("I") else image).convert("RGB")


def _of_8_bits(image: Image.Image) -> Image.Image:
    """Image of 8 bits from one of 16, whose values Pillow itself would cut off at 255."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its values are beyond 16 bits")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))
