"""A fused supernet that is changed, before or after fusing, is the plain one so changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import spaces
import torch
from fused_cells import CLASSES, OneCell, assert_equal, fused_cells, numbers, supernets
from nni.nas.space import model_context
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import prune

from nni_darts import UnrolledDARTS
from nni_darts.supernet.fused.fuse import fuse
from nni_darts.supernet.fused.run import FusedNodes
from nni_darts.supernet.nodes import Nodes
from search_spaces.operations import Zero, search_norm, search_operation

CHAIN, POOL = "sep_conv_3x3", "avg_pool_3x3"
NAMES = ("none", "skip_connect", POOL, CHAIN)


def edge(net: Any, node: int = 1, source: int = 0) -> Any:
    return net.nodes[node].edges[source]


def double(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
    return 2 * output


def another_operation(net: Any) -> None:
    edge(net)[CHAIN] = Zero(1)


def another_part(net: Any) -> None:
    torch.manual_seed(5)
    edge(net)[CHAIN][2] = search_operation("conv_7x1_1x7", 4, 1).double()


def one_more_part(net: Any) -> None:
    edge(net)[CHAIN].append(nn.Tanh())


def another_edge(net: Any) -> None:
    net.nodes[1].edges[0] = copy.deepcopy(edge(net, 0, 0))


def pruned(net: Any) -> None:
    prune.l1_unstructured(edge(net)[CHAIN][1], "weight", amount=0.5)


def hook_on_an_operation(net: Any) -> None:
    edge(net)[CHAIN].register_forward_hook(double)


def hook_inside_an_operation(net: Any) -> None:
    edge(net)[CHAIN][-1].register_forward_hook(double)


def hook_on_an_edge(net: Any) -> None:
    edge(net).register_forward_hook(double)


def hook_on_a_node(net: Any) -> None:
    net.nodes[1].register_forward_hook(double)


def hook_on_the_nodes(net: Any) -> None:
    net.nodes.register_forward_hook(lambda _, __, states: [*states[:-1], 2 * states[-1]])


def hook_on_a_softmax(net: Any) -> None:
    edge(net)._softmax.register_forward_hook(double)


def method_of_its_own(net: Any) -> None:
    operation = edge(net)[POOL]
    operation.forward = torch.tanh


def reduction_of_its_own(net: Any) -> None:
    edge(net)._reduction = lambda outputs, weights: 2 * sum(map(torch.mul, outputs, weights))


def pools_that_count_the_padding(net: Any) -> None:
    edge(net)[POOL][0].count_include_pad = True


def pools_with_a_divisor(net: Any) -> None:
    edge(net)[POOL][0].divisor_override = 5


def pools_that_round_up(net: Any) -> None:
    for node in net.nodes:
        for layer in node.edges:
            layer[POOL][0].ceil_mode = True
            layer[POOL][0].divisor_override = 3


def another_eps(net: Any) -> None:
    edge(net)[CHAIN][3].eps = 0.1


def scale_of_its_own(net: Any) -> None:
    edge(net)[CHAIN][-1].weight = nn.Parameter(torch.full((4,), 3.0, dtype=torch.float64))


def bias_of_its_own(net: Any) -> None:
    edge(net)[CHAIN][2].bias = nn.Parameter(torch.full((4,), 3.0, dtype=torch.float64))


def other_alphas(net: Any) -> None:
    edge(net)._arch_alpha = nn.Parameter(torch.linspace(2, -2, 4, dtype=torch.float64))


CHANGES: list[Callable[[Any], None]] = [
    another_operation,
    another_part,
    one_more_part,
    another_edge,
    pruned,
    hook_on_an_operation,
    hook_inside_an_operation,
    hook_on_an_edge,
    hook_on_a_node,
    hook_on_the_nodes,
    hook_on_a_softmax,
    method_of_its_own,
    reduction_of_its_own,
    pools_that_count_the_padding,
    pools_with_a_divisor,
    pools_that_round_up,
    another_eps,
    scale_of_its_own,
    bias_of_its_own,
    other_alphas,
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_counts(change: Callable[[Any], None], when: str) -> None:
    plain, fused = supernets(OneCell(NAMES))
    unchanged = numbers(copy.deepcopy(plain))
    if when == "before":
        fused = copy.deepcopy(plain)
        change(fused)
        fuse(fused)
    else:
        fused(torch.randn(2, 3, 8, 8, dtype=torch.float64))
        change(fused)
    change(plain)
    expected = numbers(plain)
    assert_equal(numbers(fused), expected)
    # The change does change something: without it the test would say nothing.
    seen = not torch.allclose(expected["output"], unchanged["output"])
    assert seen or expected.keys() != unchanged.keys()


def test_an_operation_that_writes_to_its_input_is_not_run_with_others() -> None:
    plain, fused = supernets(OneCell(NAMES))
    for net in (plain, fused):
        for node in net.nodes:  # type: ignore[union-attr]
            for layer in node.edges:
                layer["skip_connect"] = nn.Sequential(nn.ReLU(inplace=True), nn.Tanh())
    with torch.no_grad():
        x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
        assert torch.allclose(fused(x), plain(x))


def test_hooks_are_called_and_taken_off_again() -> None:
    _, fused = supernets(OneCell(NAMES))
    calls: list[Any] = []
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for module in (fused.nodes, edge(fused), edge(fused)[CHAIN], edge(fused)[CHAIN][1]):
        before = fused(x)
        calls.clear()
        handle = module.register_forward_hook(lambda *_: calls.append(1))
        assert torch.allclose(fused(x), before)
        assert calls == [1]
        handle.remove()
        assert torch.allclose(fused(x), before)
        assert calls == [1]


def test_hooks_on_all_modules_are_called() -> None:
    plain, fused = supernets(OneCell(NAMES))
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    fused(x)
    called: list[str] = []
    handle = register_module_forward_hook(lambda module, *_: called.append(type(module).__name__))
    try:
        plain(x)
        expected = called[:]
        called.clear()
        fused(x)
    finally:
        handle.remove()
    assert [name.replace("Fused", "") for name in called] == expected


def test_the_plan_is_kept_as_long_as_nothing_changes() -> None:
    _, fused = supernets(OneCell(NAMES))
    nodes: Any = fused.nodes
    assert isinstance(nodes, FusedNodes)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    fused(x)
    plan = nodes._plan
    assert plan is not None
    numbers(fused)
    fused.eval()(x)
    nodes.register_forward_hook(lambda *_: None)
    nodes.recompute = True
    fused(x)
    assert nodes._plan is plan
    another_operation(fused)
    fused(x)
    assert nodes._plan is not plan


def test_a_hook_on_an_unknown_operation_leaves_the_plan() -> None:
    _, fused = supernets(OneCell(["own", "sep_conv_3x3"]))
    nodes: Any = fused.nodes
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    fused(x)
    plan, calls = nodes._plan, []
    edge(fused)["own"].register_forward_hook(lambda *_: calls.append(1))
    fused(x)
    assert calls == [1]
    assert nodes._plan is plan


def test_what_the_user_set_on_the_space_stays() -> None:
    space = OneCell()
    nodes = space.nodes
    nodes.recompute = True
    supernet: Any = UnrolledDARTS().mutate_model(space)
    assert isinstance(supernet.nodes, FusedNodes)
    assert supernet.nodes is nodes
    assert supernet.nodes.recompute
    frozen: Any = space.freeze(any_sample(space))
    assert type(frozen.nodes) is Nodes
    assert frozen.nodes.recompute


def any_sample(space: OneCell) -> dict[str, Any]:
    return {label: mutable.default() for label, mutable in space.simplify().items()}


class Recipe(spaces.Recipe):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)


@pytest.mark.parametrize("fused", [True, False])
def test_the_exported_instance_is_the_network_of_the_sample(fused: bool) -> None:
    strategy = UnrolledDARTS(fused=fused, arc_learning_rate=0.1)
    data = spaces.loader()
    data.dataset.tensors[1].fmod_(CLASSES)
    spaces.search(OneCell(), strategy, module=Recipe(), train=data, val=data)
    (model,) = strategy.list_models()
    instance = model.executable_model()
    assert not [m for m in instance.modules() if "nni_darts.fused" in type(m).__module__]
    with model_context(model.sample):
        rebuilt = OneCell()
    rebuilt.load_state_dict(instance.state_dict())
    # The layout of the weights decides which kernel multiplies them, and so on the last bits.
    rebuilt.to(memory_format=torch.channels_last if fused else torch.contiguous_format)
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(instance(x), rebuilt(x))
    instance(x).square().sum().backward()
    assert [n for n, p in instance.named_parameters() if p.grad is None] == []


def test_a_copy_makes_its_own_plan() -> None:
    plain, fused = supernets(OneCell(NAMES))
    fused(torch.randn(2, 3, 8, 8, dtype=torch.float64))
    copied = copy.deepcopy(fused)
    for parameter in fused.parameters():
        parameter.data.zero_()
    assert fused_cells(copied) == 1
    assert_equal(numbers(copied), numbers(plain))


def test_norms_that_start_to_count_are_seen() -> None:
    _, fused = supernets(OneCell(NAMES))
    fused(torch.randn(2, 3, 8, 8, dtype=torch.float64))
    norm = search_norm(4).double()
    norm.running_mean = torch.ones(4, dtype=torch.float64)
    norm.running_var = torch.ones(4, dtype=torch.float64)
    norm.track_running_stats = True
    edge(fused)[CHAIN][3] = norm
    fused(torch.randn(2, 3, 8, 8, dtype=torch.float64))
    assert not torch.equal(norm.running_mean, torch.ones(4, dtype=torch.float64))
