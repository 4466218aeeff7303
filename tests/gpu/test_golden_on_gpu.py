"""The authors' reference numbers, computed on a GPU."""

from __future__ import annotations

from typing import Any

import golden
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from nni_darts.search.functions import exact, finite_difference, first_order

pytestmark = pytest.mark.gpu


@pytest.fixture
def float32_is_float32() -> Any:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def relative_error(found: Any, wanted: Any) -> float:
    a, b = (torch.cat([t.detach().cpu().double().flatten() for t in ts]) for ts in (found, wanted))
    return float((a - b).norm() / b.norm())


@pytest.mark.usefixtures("float32_is_float32")
@pytest.mark.parametrize(
    "file", ["golden_first_order_init0.5.pt", "golden_second_order_init0.5.pt"]
)
@pytest.mark.parametrize(
    ("dtype", "tolerance", "implicit_tolerance"),
    # The difference of float32 gradients, divided by 2 epsilon, loses what float32 cannot hold:
    # 0.05 on the CPU too (benchmarks/precision.py).
    [(torch.float64, 1e-8, 1e-8), (torch.float32, 1e-3, 0.1)],
    ids=["float64", "float32"],
)
def test_two_iterations_of_the_reference(
    file: str, dtype: torch.dtype, tolerance: float, implicit_tolerance: float
) -> None:
    reference = golden.Reference(file)
    config = reference.golden["config"]
    reference.to("cuda", dtype)
    weights, alphas = reference.weights, reference.alphas
    sgd = SGD(weights, config["w_lr"], config["momentum"], weight_decay=config["w_weight_decay"])
    adam = Adam(
        alphas,
        config["arch_lr"],
        config["arch_betas"],
        weight_decay=config["arch_weight_decay"],
    )
    for step in reference.golden["steps"]:
        batch = {name: reference.placed(tensor) for name, tensor in step["batch"].items()}

        def train_loss(batch: dict[str, Tensor] = batch) -> Tensor:
            return reference.loss(batch["train_x"], batch["train_y"])

        def val_loss(batch: dict[str, Tensor] = batch) -> Tensor:
            return reference.loss(batch["val_x"], batch["val_y"])

        arguments = (train_loss, val_loss, weights, alphas, sgd, [reference.supernet])
        if config["unrolled"]:
            gradients = finite_difference(*arguments)
            by_derivative = exact(*arguments)
            assert relative_error(by_derivative, step["alpha_grad_exact"]) < implicit_tolerance
            assert relative_error(gradients, step["alpha_grad"]) < implicit_tolerance
        else:
            gradients = first_order(*arguments)
            assert relative_error(gradients, step["alpha_grad"]) < tolerance
        if dtype == torch.float32:
            return  # what follows starts from other numbers
        for alpha, gradient in zip(alphas, gradients, strict=True):
            alpha.grad = gradient
        adam.step()
        assert relative_error(alphas, step["alpha_after"]) < tolerance

        sgd.zero_grad()
        loss = train_loss()
        assert loss.item() == pytest.approx(step["w_loss"].item(), rel=tolerance)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, config["grad_clip"])
        sgd.step()
        assert relative_error(weights, [step["w_after"]]) < tolerance
