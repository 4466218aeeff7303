"""Precision of a GPU's products: float32, the shorter TF32, or bf16 by autocast."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from nni_darts._common.checks import choice, instance

TF32 = "tf32"
_LIGHTNINGS = ("32-true", "64-true", "16-true", "16-mixed", "bf16-true", "bf16-mixed")


def lightning_precision(precision: str, device: torch.device) -> str:
    """Lightning's name for a precision, once CUDA is set to compute in it.

    In "tf32" everything is stored in float32, and the factors of matrix products and convolutions
    are rounded to 10 bits of mantissa. "32-true" is float32 throughout: PyTorch itself takes TF32
    for convolutions unless it is told not to. For the CPU "tf32" is float32, and a line says so.

    Args:
        precision: "tf32", or one of Lightning's.
        device: device that is trained on.
    """
    precision = choice("precision", precision, (TF32, *_LIGHTNINGS))
    instance("device", device, torch.device, "a torch.device")
    tf32 = precision == TF32
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32
    elif tf32:
        print(f"precision tf32 is for CUDA devices; on the {device.type} it is float32", flush=True)
    return "32-true" if tf32 else precision


def require_bearable(precision: str, parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
    """Raise ValueError for a precision in which the architect's differences would be rounding."""
    if precision.startswith("16"):
        raise ValueError(
            f"precision {precision!r} scales the loss, which the architect's gradients cannot "
            "bear; choose 'bf16-mixed' or '32-true'"
        )
    floats = [(name, p.dtype) for name, p in parameters if p.is_floating_point()]
    short = [(name, dtype) for name, dtype in floats if torch.finfo(dtype).bits < 32]
    if short:
        name, dtype = short[0]
        raise ValueError(
            f"weights and alphas must be kept in float32 or float64, got {name} in {dtype} with "
            f"precision {precision!r}: the architect's steps would be lost in rounding; "
            "choose 'bf16-mixed' or '32-true'"
        )
