from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from nni_darts.supernet.fused.watch import Watch, hooked, settings


class Watched:
    """A container, a parent and an operation, watched."""

    def __init__(self) -> None:
        self.norm = nn.BatchNorm2d(3, affine=False)
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.operation = nn.Sequential(self.conv, self.norm)
        self.parent = nn.ModuleList([self.operation])
        self.container = nn.ModuleList([self.parent])
        self.watch = Watch([self.container], [self.parent], [self.operation])


def scaled(w: Watched) -> None:
    w.conv.weight.data.mul_(2)


def hooked_container(w: Watched) -> None:
    w.container.register_forward_hook(lambda *_: None)


def training(w: Watched) -> None:
    w.container.eval()


@pytest.mark.parametrize("change", [scaled, hooked_container, training])
def test_what_a_plan_does_not_rest_on(change: Callable[[Watched], None]) -> None:
    watched = Watched()
    change(watched)
    assert watched.watch.unchanged()


def replaced(w: Watched) -> None:
    w.operation[1] = nn.BatchNorm2d(3, affine=False)


def one_more(w: Watched) -> None:
    w.container.append(nn.Identity())


def another_setting(w: Watched) -> None:
    w.norm.eps = 1e-3


def hook(w: Watched) -> None:
    w.conv.register_forward_pre_hook(lambda *_: None)


def hook_on_the_parent(w: Watched) -> None:
    w.parent.register_full_backward_hook(lambda *_: None)


def bias(w: Watched) -> None:
    w.conv.bias = nn.Parameter(w.conv.weight.new_zeros(3))


def own_method(w: Watched) -> None:
    w.conv.forward = lambda x: x  # type: ignore[method-assign]


def another_class(w: Watched) -> None:
    w.norm.__class__ = type("Own", (nn.BatchNorm2d,), {})


@pytest.mark.parametrize(
    "change",
    [
        replaced,
        one_more,
        another_setting,
        hook,
        hook_on_the_parent,
        bias,
        own_method,
        another_class,
    ],
)
def test_changes_are_seen(change: Callable[[Watched], None]) -> None:
    watched = Watched()
    assert watched.watch.unchanged()
    change(watched)
    assert not watched.watch.unchanged()


def test_hooks_on_all_modules_are_seen_as_long_as_they_are_there() -> None:
    watched = Watched()
    handle = register_module_forward_hook(lambda *_: None)
    try:
        assert hooked(watched.conv)
        assert not watched.watch.unchanged()
    finally:
        handle.remove()
    assert not hooked(watched.conv)
    assert watched.watch.unchanged()


@pytest.mark.parametrize("change", [hook, own_method])
def test_a_module_that_somebody_watches(change: Callable[[Watched], None]) -> None:
    watched = Watched()
    assert not hooked(watched.conv)
    change(watched)
    assert hooked(watched.conv)
    assert not hooked(watched.norm)


def test_settings_tell_modules_apart() -> None:
    assert settings(nn.AvgPool2d(3)) == settings(nn.AvgPool2d(3))
    assert settings(nn.AvgPool2d(3)) != settings(nn.AvgPool2d(3, ceil_mode=True))
    assert settings(nn.ReLU()) != settings(nn.ReLU6())
