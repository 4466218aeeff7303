from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from nni_darts.supernet.fused.depthwise import Geometry
from nni_darts.supernet.fused.kinds import (
    Chain,
    Feature,
    Nothing,
    Reduction,
    Stage,
    recognise,
    stages_of,
)
from nni_darts.supernet.fused.watch import settings
from search_spaces.operations import (
    OPERATIONS,
    FactorizedReduce,
    network_norm,
    search_norm,
    search_operation,
)

EPS = 1e-5


def chain(*geometries: Geometry) -> Chain:
    return Chain(4, tuple(Stage(geometry, EPS) for geometry in geometries))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", Nothing()),
        ("skip_connect", Reduction(4, EPS)),
        ("sep_conv_3x3", chain(Geometry(3, 2), Geometry(3))),
        ("sep_conv_5x5", chain(Geometry(5, 2), Geometry(5))),
        ("sep_conv_7x7", chain(Geometry(7, 2), Geometry(7))),
        ("dil_conv_3x3", chain(Geometry(3, 2, 2))),
        ("dil_conv_5x5", chain(Geometry(5, 2, 2))),
        ("conv_7x1_1x7", None),
    ],
)
def test_operations_of_the_space(name: str, expected: Any) -> None:
    assert recognise(search_operation(name, 4, 2)) == expected


def test_what_has_no_weights() -> None:
    assert recognise(search_operation("skip_connect", 4, 1)) == Feature(None, None)
    pools = {
        recognise(search_operation(f"{p}_pool_3x3", 4, s)) for p in ("max", "avg") for s in (1, 2)
    }
    assert len(pools) == 4
    assert recognise(nn.MaxPool2d(3)) != recognise(nn.MaxPool2d(3, padding=1))
    assert recognise(nn.MaxPool2d(3)) == Feature(settings(nn.MaxPool2d(3)), None)


@pytest.mark.parametrize(
    "change", [{"count_include_pad": False}, {"ceil_mode": True}, {"divisor_override": 4}], ids=str
)
def test_pools_that_differ_in_what_they_do_not_show_are_told_apart(change: dict[str, Any]) -> None:
    plain, other = nn.AvgPool2d(3, padding=1), nn.AvgPool2d(3, padding=1, **change)
    assert recognise(plain) != recognise(other)
    assert recognise(nn.Sequential(plain, search_norm(4))) != recognise(
        nn.Sequential(other, search_norm(4))
    )


class OwnReLU(nn.ReLU):
    pass


def separable(**changes: nn.Module) -> nn.Sequential:
    parts = {
        "relu": nn.ReLU(),
        "depth": nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
        "point": nn.Conv2d(4, 4, 1, bias=False),
        "norm": search_norm(4),
    }
    return nn.Sequential(*{**parts, **changes}.values())


def test_the_separable_convolution_is_known() -> None:
    assert recognise(separable()) == chain(Geometry(3))
    ((depth, point),) = stages_of(separable())
    assert (depth.groups, point.groups) == (4, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"relu": nn.GELU()},
        {"relu": OwnReLU()},
        {"depth": nn.Conv2d(4, 4, 3, padding=1, bias=False)},
        {"depth": nn.Conv2d(4, 4, 3, padding=1, groups=4)},
        {"depth": nn.Conv2d(4, 4, 3, groups=4, bias=False)},
        {"depth": nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False, padding_mode="reflect")},
        {"depth": nn.Conv2d(4, 4, (3, 1), padding=(1, 0), groups=4, bias=False)},
        {"depth": nn.Conv2d(4, 4, 4, padding=1, groups=4, bias=False)},
        {"depth": nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=False)},
        {"point": nn.Conv2d(4, 8, 1, bias=False)},
        {"point": nn.Conv2d(4, 4, 1)},
        {"point": nn.Conv2d(4, 4, 1, groups=2, bias=False)},
        {"norm": network_norm(4)},
        {"norm": nn.BatchNorm2d(4, affine=False)},
        {"norm": nn.BatchNorm2d(4, track_running_stats=False)},
        {"norm": nn.InstanceNorm2d(4)},
    ],
    ids=lambda changes: str(*changes.values()),
)
def test_whatever_differs_is_unknown(changes: dict[str, nn.Module]) -> None:
    assert recognise(separable(**changes)) is None


def test_nor_is_a_module_that_somebody_watches() -> None:
    operation = separable()
    operation[1].register_forward_hook(lambda *_: None)
    assert recognise(operation) is None


def test_other_unknowns() -> None:
    assert recognise(nn.Sequential()) is None
    assert recognise(nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Identity(), nn.Identity())) is None
    assert recognise(nn.MaxPool2d(3, return_indices=True)) is None
    assert recognise(nn.Sequential(nn.MaxPool2d(3), network_norm(4))) is None
    reduction = FactorizedReduce(4, 4, search_norm)
    reduction.relu = nn.Softplus()  # type: ignore[assignment]
    assert recognise(reduction) is None
    assert recognise(FactorizedReduce(4, 8, search_norm)) is None
    assert recognise(OPERATIONS["sep_conv_3x3"](4, 1, network_norm)) is None
