"""Networks of NAS-Bench-201 with given draws: the numbers of the published GDAS and DrNAS."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from golden import load
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from pc_darts import KINDS, our_name
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts.supernet.dirichlet import Dirichlet
from nni_darts.supernet.gumbel import Gumbel
from nni_darts.supernet.relaxation import Relaxation
from search_spaces import DartsCNN

CLOSE = {"rtol": 1e-8, "atol": 1e-11}


class Convolution(nn.Module):
    """ReLU, convolution, normalisation; names are the published ones."""

    def __init__(self, c_in: int, c: int, size: int, stride: int = 1, **how: bool) -> None:
        super().__init__()
        convolution = nn.Conv2d(c_in, c, size, stride, size // 2, bias=how.get("bias", False))
        norm = nn.BatchNorm2d(c, affine=how.get("affine", True))
        self.op = nn.Sequential(nn.ReLU(), convolution, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0


class Cell(nn.Module):
    def __init__(self, c: int, bias: bool) -> None:
        super().__init__()

        def candidates() -> list[nn.Module]:
            convolutions = [Convolution(c, c, k, bias=bias, affine=False) for k in (1, 3)]
            pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
            return [Nothing(), nn.Identity(), *convolutions, pool]

        self.edges = nn.ModuleDict(
            {
                f"{node}<-{source}": LayerChoice(candidates(), label=f"{node}<-{source}")
                for node in (1, 2, 3)
                for source in range(node)
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        states = [x]
        for node in (1, 2, 3):
            states.append(sum(self.edges[f"{node}<-{i}"](states[i]) for i in range(node)))
        return states[-1]


class Residual(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv_a = Convolution(c, 2 * c, 3, 2)
        self.conv_b = Convolution(2 * c, 2 * c, 3)
        self.downsample = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c, 2 * c, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(x) + self.conv_b(self.conv_a(x))


class Tiny(ModelSpace):
    def __init__(self, c: int, bias: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, c, 3, padding=1, bias=False), nn.BatchNorm2d(c))
        cells = [Cell(c, bias), Residual(c), Cell(2 * c, bias), Residual(2 * c), Cell(4 * c, bias)]
        self.cells = nn.Sequential(*cells)
        self.lastact = nn.Sequential(nn.BatchNorm2d(4 * c), nn.ReLU())
        self.classifier = nn.Linear(4 * c, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.lastact(self.cells(self.stem(x))).mean((2, 3)))


def searched(golden: dict[str, Any], c: int, relaxation: Relaxation, bias: bool) -> Any:
    """Supernet with the published weights, and the alphas by edge."""
    strategy = UnrolledDARTS(relaxation=relaxation)
    net = strategy.mutate_model(Tiny(c, bias)).double()
    left = net.load_state_dict(golden["init_state_dict"], strict=False)
    assert not [
        name for name in left.missing_keys if "_arch_alpha" not in name and "op.2" not in name
    ]
    assert len(left.unexpected_keys) == 1  # their alphas, in one tensor
    return net, list(strategy._arch_parameters.values())


def numbers(net: nn.Module, alphas: Any, rows: Tensor, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
    for alpha, row in zip(alphas, rows, strict=True):
        alpha.data = row.clone()
    logits = net(batch["val_x"])
    loss = nn.functional.cross_entropy(logits, batch["val_y"])
    return logits.detach(), loss.detach(), torch.stack(torch.autograd.grad(loss, alphas))


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("unselected", ["ones", "ignored"])
def test_gdas(unselected: str, case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = load("variants/gdas_nb201.pt")
    one = golden["cases"][case]
    relaxation = Gumbel(float(one["tau"]), unselected)
    net, alphas = searched(golden, golden["config"]["C"], relaxation, True)
    draws = []

    def replay(self: Tensor) -> Tensor:
        draws.append(self)
        return self.copy_(one["exponential"])

    monkeypatch.setattr(torch.Tensor, "exponential_", replay)
    logits, loss, gradient = numbers(net, alphas, one["alphas"], golden["batch"])
    assert len(draws) == 1  # for the three cells together
    torch.testing.assert_close(logits, one["logits"], **CLOSE)
    torch.testing.assert_close(loss, one["loss"], **CLOSE)
    name = "alpha_grad" if unselected == "ones" else "alpha_grad_selected_only"
    torch.testing.assert_close(gradient, one[name], **CLOSE)


def test_drnas(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = load("variants/drnas_nb201.pt")
    one = golden["network"]["k1"]
    net, alphas = searched(one, golden["config"]["C"], Dirichlet(), False)
    monkeypatch.setattr(torch, "_sample_dirichlet", lambda c, *_: one["sample"].clone())
    logits, loss, gradient = numbers(net, alphas, one["alphas"], one["batch"])
    torch.testing.assert_close(logits, one["logits"], **CLOSE)
    torch.testing.assert_close(loss, one["loss"], **CLOSE)
    torch.testing.assert_close(gradient, one["alpha_grad_torch"], **CLOSE)
    difference = (gradient - one["alpha_grad_exact"]).abs().max()
    assert difference <= 1e-3 * one["alpha_grad_exact"].abs().max()


def shifted(name: str) -> str:
    """A name of DrNAS's supernet, which has no `none`, as in one that has it first."""
    return re.sub(r"(_ops\.\d+\._ops\.)(\d+)", lambda m: f"{m[1]}{int(m[2]) + 1}", name)


@pytest.mark.parametrize("fused", [True, False])
def test_drnas_on_a_part_of_the_channels(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = load("variants/drnas_darts.pt")
    config = golden["config"]
    space = DartsCNN(
        config["C"],
        config["layers"],
        config["classes"],
        primitives=config["ops"],
        partial_channels=config["k"],
    )
    strategy = UnrolledDARTS(relaxation="dirichlet", fused=fused)
    net = strategy.mutate_model(space).double()
    parameters = dict(net.named_parameters())
    weights = {n: p for n, p in parameters.items() if not n.endswith("_arch_alpha")}
    theirs = {our_name(shifted(name)): value for name, value in golden["init_state_dict"].items()}
    for name, weight in weights.items():
        weight.data.copy_(theirs[name])
    known = strategy._arch_parameters
    alphas = [known[f"{kind}_{j}_{i}"] for kind in KINDS for j in range(2, 6) for i in range(j)]
    sample = torch.cat([golden[f"sample_{kind}"] for kind in KINDS])
    monkeypatch.setattr(torch, "_sample_dirichlet", lambda c, *_: sample.clone())
    rows = torch.cat([golden[f"alphas_{kind}"] for kind in KINDS])
    logits, loss, gradient = numbers(net, alphas, rows, golden["batch"])
    torch.testing.assert_close(logits, golden["logits"], **CLOSE)
    torch.testing.assert_close(loss, golden["loss"], **CLOSE)
    expected = torch.cat([golden[f"grad_{kind}_torch"] for kind in KINDS])
    torch.testing.assert_close(gradient, expected, **CLOSE)
