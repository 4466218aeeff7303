from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from search_spaces.activations import ACTIVATIONS, Activated, Highway, Zero, edge

X = Highway(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.25, 1.0]]), torch.tensor([[-2.0, 0.5]]))


@pytest.mark.parametrize(
    ("name", "mapped"),
    [
        ("tanh", [-0.9640276, 0.4621172]),
        ("relu", [0.0, 0.5]),
        ("sigmoid", [0.1192029, 0.6224593]),
        ("identity", [-2.0, 0.5]),
    ],
)
def test_the_gate_says_how_much_of_the_candidate_passes(name: str, mapped: list[float]) -> None:
    expected = torch.tensor([[1 + 0.25 * (mapped[0] - 1), mapped[1]]])
    torch.testing.assert_close(edge(name)(X), expected)


def test_none_is_no_connection() -> None:
    assert isinstance(edge("none"), Zero)
    assert torch.equal(edge("none")(X), torch.zeros(1, 2))


def test_an_operation_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTIVATIONS, "double", lambda x: 2 * x)
    torch.testing.assert_close(edge("double")(X), torch.tensor([[-0.25, 1.0]]))


def test_an_unknown_name(message: Callable[..., str]) -> None:
    text = message(ValueError, edge, "tanhh")
    assert text.startswith("unknown primitive 'tanhh'; did you mean 'tanh'?")


def test_an_edge_says_its_name() -> None:
    assert repr(Activated("identity")) == "Activated(identity)"
