from __future__ import annotations

import torch
from torch import nn

from nni_darts.search.state_difference import state_difference

OURS = {"a": torch.zeros(2), "b": torch.zeros(3, 1), "c": torch.zeros(1)}


def test_equal_shapes_do_not_differ() -> None:
    assert state_difference({name: tensor + 1 for name, tensor in OURS.items()}, OURS) == ""
    lazy = {**OURS, "d": nn.LazyLinear(2).weight}
    assert state_difference({**OURS, "d": torch.zeros(2, 7)}, lazy) == ""


def test_what_differs_is_named_once_and_counted() -> None:
    assert state_difference({"c": torch.zeros(1)}, OURS) == "it lacks a and 1 more"
    more = {**OURS, "d": torch.zeros(1)}
    assert state_difference(more, OURS) == "it has the unknown d"
    other = {**OURS, "b": torch.zeros(3, 2)}
    assert state_difference(other, OURS) == "b is (3, 2) there and (3, 1) here"
    other["a"] = torch.zeros(())
    assert state_difference(other, OURS) == "a is () there and (2,) here and 1 more differ"
