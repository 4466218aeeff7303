"""The architect with draws: one draw in all its passes, another in the step of the weights."""

from __future__ import annotations

from typing import Any

import pytest
import spaces
import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from smooth import relative_error
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import SGD

from nni_darts import UnrolledDARTS
from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.hypergradient import Exact, FiniteDifference, FirstOrder, Hypergradient
from nni_darts.search.neumann import Neumann
from nni_darts.supernet.dirichlet import Dirichlet
from nni_darts.supernet.gumbel import Gumbel
from nni_darts.supernet.relaxation import Relaxation

RELAXATIONS = [Gumbel(2.0), Gumbel(2.0, "ones"), Dirichlet()]
LEARNING_RATE = 0.3


class Smooth(ModelSpace):
    """Two layers of three smooth candidates."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("first", "second"):
            candidates = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(2)]
            setattr(self, name, LayerChoice([*candidates, nn.Tanh()], label=name))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def setting(relaxation: Relaxation) -> tuple[BilevelStep, nn.Module, Any]:
    torch.manual_seed(0)
    net = UnrolledDARTS(relaxation=relaxation).mutate_model(Smooth()).double()
    alphas = [p for n, p in net.named_parameters() if n.endswith("_arch_alpha")]
    weights = [p for n, p in net.named_parameters() if not n.endswith("_arch_alpha")]
    for alpha in alphas:
        alpha.data.normal_()
    data = [torch.randn(6, 4).double() for _ in range(4)]

    def loss(part: int, w: Any = None) -> Tensor:
        x, y = data[2 * part : 2 * part + 2]
        out = net(x) if w is None else functional_call(net, w, (x,))
        return (out - y).square().mean()

    sgd = SGD(weights, LEARNING_RATE)
    step = BilevelStep(lambda: loss(0), lambda: loss(1), weights, alphas, sgd, [net])
    return step, net, loss


@pytest.mark.parametrize("relaxation", RELAXATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_exact_is_autograd_through_the_draw(relaxation: Relaxation, seed: int) -> None:
    step, net, loss = setting(relaxation)
    torch.manual_seed(seed)
    found = Exact()(step)
    torch.manual_seed(seed)
    gradients = torch.autograd.grad(loss(0), step.weights, create_graph=True, allow_unused=True)
    names = [name for name, p in net.named_parameters() if any(p is w for w in step.weights)]
    moved = {
        name: w if g is None else w - LEARNING_RATE * g
        for name, w, g in zip(names, step.weights, gradients, strict=True)
    }
    torch.manual_seed(seed)
    expected = torch.autograd.grad(loss(1, moved), step.alphas)
    torch.testing.assert_close(found, expected)
    torch.manual_seed(seed)
    # In a smooth network the difference is close to the derivative.
    assert relative_error(FiniteDifference()(step), expected) < 1e-3
    torch.manual_seed(seed)
    assert relative_error(FirstOrder()(step), expected) > 1e-3


@pytest.mark.parametrize("relaxation", [Gumbel(2.0), Dirichlet()])
@pytest.mark.parametrize(
    "hypergradient", [FirstOrder(), FiniteDifference(), Exact(), Neumann(terms=2)]
)
def test_all_passes_of_the_architect_meet_one_draw(
    relaxation: Relaxation, hypergradient: Hypergradient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(relaxation)
    weights, drawn = kind.weights, []

    def note(self: Any, alpha: Tensor) -> Tensor:
        row = weights(self, alpha)
        drawn.append((torch.is_grad_enabled(), row.detach().clone()))
        return row

    monkeypatch.setattr(kind, "weights", note)
    evaluator = spaces.evaluator(spaces.Recipe(0.3), spaces.loader(8), spaces.loader(8, seed=5))
    strategy = UnrolledDARTS(relaxation=relaxation, hypergradient=hypergradient)
    spaces.start(spaces.Plain(), strategy, evaluator)
    strategy.run()
    assert strategy.oneshot_module.trainer.global_step == 1
    # Where no gradient is wanted: the draw that is passed over, and those of the validation.
    skipped = next(i for i, (graph, _) in enumerate(drawn) if not graph)
    architect = [row for _, row in drawn[:skipped]]
    step = drawn[skipped + 1][1]
    sizes = {row.shape for row in architect}
    assert len(architect) >= len(sizes)
    of_sizes = [[row for row in architect if row.shape == shape] for shape in sizes]
    passes = {len(rows) for rows in of_sizes}
    least = {"FirstOrder": 1, "FiniteDifference": 4, "Exact": 2, "Neumann": 2}
    assert min(passes) >= least[type(hypergradient).__name__]
    assert all(torch.equal(row, rows[0]) for rows in of_sizes for row in rows)
    assert not any(torch.equal(step, row) for row in architect)
