from __future__ import annotations

from typing import Any

import spaces
import torch

from nni_darts import UnrolledDARTS
from nni_darts.supernet.nni_cell import FrozenCell, MixedCell


def cell() -> MixedCell:
    """NNI's cell of 3 nodes (2, 3, 4) of 2 edges each, with operations conv and id."""
    supernet = UnrolledDARTS().mutate_model(spaces.NniCell())
    (found,) = [module for module in supernet.modules() if isinstance(module, MixedCell)]
    return found


def test_the_probability_of_none_weakens_an_edge() -> None:
    mixed = cell()
    with torch.no_grad():
        for alpha in mixed._arch_alpha.values():
            alpha.copy_(torch.tensor([1.0, 0.0, 0.0]))
        # The largest alpha of an operation, beside a none that is larger still.
        mixed._arch_alpha["cell/4_1"].copy_(torch.tensor([5.0, 0.0, 9.0]))
        mixed._arch_alpha["cell/4_2"].copy_(torch.tensor([0.0, 2.0, 0.0]))
        mixed._arch_alpha["cell/4_3"].copy_(torch.tensor([3.0, 0.0, 0.0]))
    sample = mixed.export({})
    chosen = [(sample[f"cell/input_4_{k}"], sample[f"cell/op_4_{k}"]) for k in range(2)]
    assert chosen == [([2], "id"), ([3], "conv")]


def test_a_node_with_one_edge_only_takes_it_twice() -> None:
    assert cell().named(3, [(1, "id")]) == {
        "cell/op_3_0": "id",
        "cell/input_3_0": [1],
        "cell/op_3_1": "id",
        "cell/input_3_1": [1],
    }


def test_a_frozen_cell_sums_the_chosen_edges() -> None:
    mixed = cell()
    sample: dict[str, Any] = {}
    for node, edges in {
        2: [(0, "conv"), (1, "id")],
        3: [(0, "id"), (2, "id")],
        4: [(3, "conv"), (1, "id")],
    }.items():
        sample |= mixed.named(node, edges)
    frozen = mixed.freeze(sample)
    assert isinstance(frozen, FrozenCell)
    a, b = torch.randn(2, 1, 4, 5, 5).unbind()
    convs = {(n, s): mixed.ops[n][s]["conv"] for n, s in ((0, 0), (2, 3))}
    two = convs[0, 0](a) + b
    three = a + two
    four = convs[2, 3](three) + b
    torch.testing.assert_close(frozen(a, b), torch.cat([two, three, four], 1))
    torch.testing.assert_close(frozen([a, b]), frozen(a, b))
