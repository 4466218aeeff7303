"""Networks of NAS-Bench-201 with given draws: the numbers of the published GDAS and DrNAS."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from golden import load
from nb201 import Network
from pc_darts import KINDS, our_name
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts.supernet.dirichlet import Dirichlet
from nni_darts.supernet.gumbel import Gumbel
from search_spaces import DartsCNN

CLOSE = {"rtol": 1e-8, "atol": 1e-11}


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
    network = Network(golden["init_state_dict"], one["alphas"], relaxation)
    draws = []

    def replay(self: Tensor) -> Tensor:
        draws.append(self)
        return self.copy_(one["exponential"])

    monkeypatch.setattr(torch.Tensor, "exponential_", replay)
    logits, loss, gradient = numbers(
        network.supernet, network.alphas, one["alphas"], golden["batch"]
    )
    assert len(draws) == 1  # for the three cells together
    torch.testing.assert_close(logits, one["logits"], **CLOSE)
    torch.testing.assert_close(loss, one["loss"], **CLOSE)
    name = "alpha_grad" if unselected == "ones" else "alpha_grad_selected_only"
    torch.testing.assert_close(gradient, one[name], **CLOSE)


@pytest.mark.parametrize("k", [1, 4])
def test_drnas(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one = load("variants/drnas_nb201.pt")["network"][f"k{k}"]
    how = {"track_running_stats": True, "partial_channels": k}
    network = Network(one["init_state_dict"], one["alphas"], Dirichlet(), **how)
    monkeypatch.setattr(torch, "_sample_dirichlet", lambda c, *_: one["sample"].clone())
    logits, loss, gradient = numbers(network.supernet, network.alphas, one["alphas"], one["batch"])
    torch.testing.assert_close(logits, one["logits"], **CLOSE)
    torch.testing.assert_close(loss, one["loss"], **CLOSE)
    torch.testing.assert_close(gradient, one["alpha_grad_torch"], **CLOSE)
    if k == 1:
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
