"""search_spaces/darts_rnn_network.py: against the equations written out, and the paper's counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nni_darts.genotypes import published
from nni_darts.genotypes.genotype import Genotype
from nni_darts.training.network_size import parameters
from search_spaces import DartsNetwork, DartsRNNNetwork
from search_spaces.activations import ACTIVATIONS
from search_spaces.darts_rnn_network import mask

V, H, T, B = 11, 6, 5, 3
OFF = {f"dropout_{which}": 0.0 for which in ("out", "h", "x", "i", "e")}
# Two edges in a node, and an output of some nodes: more than a search of ours finds.
TWO = Genotype.parse(
    '{"recurrent": [[["tanh", 0]], [["relu", 1], ["sigmoid", 0]], [["identity", 1]]], '
    '"concat": [2, 3]}'
)
GENOTYPES = {
    **{name: published.get(name) for name in ("RNN_DARTS_V1", "RNN_DARTS_V2", "RNN_ENAS")},
    "two edges": TWO,
}


def make(genotype: Genotype = TWO, **dropouts: float) -> DartsRNNNetwork:
    """A small network in float64 with weights that are far from linear."""
    torch.manual_seed(0)
    network = DartsRNNNetwork(genotype, V, H, H, **{**OFF, **dropouts}).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.7)
    return network


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    state = torch.randn(B, H, generator=generator, dtype=torch.float64)
    return torch.randint(V, (T, B), generator=generator), state


def written_out(
    network: DartsRNNNetwork, x: Tensor, h: Tensor, h_mask: Tensor | float = 1.0
) -> Tensor:
    """The cell's outputs, one time, node and edge after the other."""
    cell = network.genotype.recurrent
    outputs = []
    for x_t in x:
        both = torch.cat([x_t, h * h_mask], 1) @ network.cell.W0
        gate, candidate = torch.sigmoid(both[:, :H]), torch.tanh(both[:, H:])
        states = [(1 - gate) * h + gate * candidate]
        for edges, node in zip(cell.nodes, network.cell.nodes, strict=True):
            new = torch.zeros_like(h)
            for name, source in edges:
                s = states[source]
                both = (s * h_mask) @ node.W
                gate, candidate = torch.sigmoid(both[:, :H]), ACTIVATIONS[name](both[:, H:])
                new = new + (1 - gate) * s + gate * candidate
            states.append(new)
        h = sum(states[i] for i in cell.concat) / len(cell.concat)
        outputs.append(h)
    return torch.stack(outputs)


# Parameters


@pytest.mark.parametrize(
    ("name", "vocabulary", "hidden", "expected"),
    [
        ("RNN_DARTS_V1", 10_000, 850, 22_960_000),
        ("RNN_DARTS_V2", 10_000, 850, 22_960_000),
        ("RNN_DARTS_V1", 33_278, 700, 33_127_878),
        ("RNN_DARTS_V2", 33_278, 700, 33_127_878),
        # Eleven nodes: those that are not in the output have their weights too.
        ("RNN_ENAS", 10_000, 850, 27_295_000),
    ],
)
def test_parameters_of_published_genotypes(
    name: str, vocabulary: int, hidden: int, expected: int
) -> None:
    with torch.device("meta"):
        network = DartsRNNNetwork(published.get(name), vocabulary, hidden, hidden)
    assert parameters(network) == expected


def test_weights_start_where_the_reference_has_them() -> None:
    network = DartsRNNNetwork(TWO, 500, 50, 50)
    for name, parameter in network.named_parameters():
        if name == "decoder.bias":
            assert not parameter.any()
        else:
            assert 0.038 < parameter.abs().max() <= 0.04, name
            assert abs(parameter.mean()) < 2e-3, name
    assert network.decoder.weight is network.embedding.weight


# The equations


@pytest.mark.parametrize("name", GENOTYPES)
def test_the_network_is_what_the_equations_say(name: str) -> None:
    network = make(GENOTYPES[name])
    tokens, state = batch()
    found = network(tokens, state)
    E = network.embedding.weight
    raw = written_out(network, E[tokens], state)
    torch.testing.assert_close(found.raw, raw, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.logits, raw @ E.T + network.decoder.bias)
    assert torch.equal(found.state, found.raw[-1])
    assert torch.equal(found.dropped, found.raw)
    assert [t.shape for t in found] == [(T, B, V), (B, H), (T, B, H), (T, B, H)]


def test_only_the_chosen_edges_are_computed() -> None:
    products = []

    class Counting(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if f is torch.ops.aten.mm.default and args[1].shape == (H, 2 * H):
                products.append(args[0].shape[0])
            return f(*args, **kwargs or {})

    network = make(GENOTYPES["RNN_DARTS_V2"])
    tokens, state = batch()
    with Counting(), torch.no_grad():
        network(tokens[:1], state)
    # x_t's, and one per node.
    assert products == [B] * 9


def test_a_text_may_be_read_in_parts() -> None:
    network = make()
    tokens, state = batch()
    whole = network(tokens, state)
    first = network(tokens[:2], state)
    rest = network(tokens[2:], first.state)
    torch.testing.assert_close(torch.cat([first.logits, rest.logits]), whole.logits)
    # The state's graph leads back to the words before, until it is detached.
    (slope,) = torch.autograd.grad(rest.logits.sum(), first.raw)
    assert slope[-1].any()


def test_texts_do_not_touch_each_other() -> None:
    network = make()
    tokens, state = batch()
    alone = network(tokens[:, 1:2], state[1:2])
    torch.testing.assert_close(network(tokens, state).logits[:, 1:2], alone.logits)


def test_the_first_state() -> None:
    network = make()
    assert torch.equal(network.initial_state(4), torch.zeros(4, H, dtype=torch.float64))


# Dropout: every mask once per call


def test_evaluation_drops_nothing() -> None:
    dropping, plain = make(**dict.fromkeys(OFF, 0.5)), make()
    tokens, state = batch()
    assert torch.equal(dropping.eval()(tokens, state).logits, plain(tokens, state).logits)
    before = dropping.train()(tokens, state)
    assert not torch.equal(before.logits, dropping(tokens, state).logits)


def test_dropped_outputs_are_so_at_every_time() -> None:
    network = make(dropout_out=0.75)
    found = network(*batch())
    factor = found.dropped / found.raw
    assert torch.equal((factor != 0).all(0), (factor != 0).any(0))
    assert factor.round(decimals=6).abs().unique().tolist() == [0, 4]
    E = network.embedding.weight
    torch.testing.assert_close(found.logits, found.dropped @ E.T + network.decoder.bias)


def inputs_of_the_cell(network: DartsRNNNetwork, tokens: Tensor) -> Tensor:
    seen = []
    hook = network.cell.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network(tokens, network.initial_state(tokens.shape[1]))
    hook.remove()
    return seen[0]


def test_a_dropped_word_is_so_wherever_it_stands() -> None:
    network = make(dropout_e=0.5)
    tokens = torch.arange(V).repeat(4).reshape(4, V)
    factor = inputs_of_the_cell(network, tokens) / network.embedding.weight
    assert (factor == factor[:1, :, :1]).all()
    assert factor.unique().tolist() == [0, 2]


def test_dropped_inputs_are_so_at_every_time() -> None:
    network = make(dropout_i=0.2)
    tokens, _ = batch()
    factor = inputs_of_the_cell(network, tokens) / network.embedding(tokens)
    torch.testing.assert_close(factor, factor[:1].expand_as(factor))
    assert factor.round(decimals=6).abs().unique().tolist() == [0, 1.25]


@pytest.mark.parametrize("which", ["x", "h"])
def test_the_masks_within_the_cell(which: str) -> None:
    network = make(**{f"dropout_{which}": 0.5})
    tokens, state = batch()
    torch.manual_seed(3)
    found = network(tokens, state)
    torch.manual_seed(3)
    m = mask(state, (B, H), 0.5)
    x = network.embedding(tokens)
    # States are dropped where they meet weights, not where they are carried on.
    dropped_x, dropped_h = (x * m, state, 1.0), (x, state, m)
    expected = written_out(network, *(dropped_x if which == "x" else dropped_h))
    torch.testing.assert_close(found.raw, expected, rtol=1e-12, atol=1e-12)


def test_a_mask_keeps_the_mean() -> None:
    m = mask(torch.empty(0, dtype=torch.bfloat16), (100, 100), 0.75)
    assert m.dtype == torch.bfloat16
    assert m.unique().tolist() == [0, 4]
    assert abs(m.float().mean() - 1) < 0.1


# To be built again, and what cannot be built


def test_the_arguments_of_a_network_build_it_again() -> None:
    network = DartsRNNNetwork(TWO, V, H, H, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert network.arguments == {
        "vocabulary": V,
        "embedding": H,
        "hidden": H,
        "dropout_out": 0.1,
        "dropout_h": 0.2,
        "dropout_x": 0.3,
        "dropout_i": 0.4,
        "dropout_e": 0.5,
    }
    again = DartsRNNNetwork(TWO, **network.arguments)
    again.load_state_dict(network.state_dict())
    assert again.arguments == network.arguments
    assert (again.vocabulary, again.hidden) == (V, H)
    tokens, _ = batch()
    state = again.initial_state(B)
    assert torch.equal(again.eval()(tokens, state).raw, network.eval()(tokens, state).raw)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"vocabulary": 1}, "vocabulary must be at least 2, got 1"),
        ({"hidden": 0, "embedding": 0}, "hidden must be at least 1, got 0"),
        ({"embedding": 5}, "embedding must equal hidden, got embedding=5 and hidden=6"),
        ({"dropout_h": 1.0}, "dropout_h must be in [0, 1), got 1.0"),
        ({"dropout_e": -0.1}, "dropout_e must be in [0, 1), got -0.1"),
        ({"dropout_x": float("nan")}, "dropout_x must be in [0, 1), got nan"),
    ],
)
def test_bad_networks(
    arguments: dict[str, Any], expected: str, message: Callable[..., str]
) -> None:
    arguments = {"vocabulary": V, "embedding": H, "hidden": H, **arguments}
    assert expected in message(ValueError, DartsRNNNetwork, TWO, **arguments)


def test_a_genotype_of_another_kind(message: Callable[..., str]) -> None:
    cnn = published.get("DARTS_V2")
    text = message(ValueError, DartsRNNNetwork, cnn, V)
    assert text == "a genotype of a recurrent cell is needed, got cells ['normal', 'reduce']"
    assert "normal and reduce cells is needed" in message(ValueError, DartsNetwork, TWO)


def test_an_operation_without_a_function(
    message: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    genotype = Genotype.parse("Genotype(recurrent=[('tan', 0)], concat=[1])", operations=["tan"])
    assert "did you mean 'tanh'?" in message(ValueError, DartsRNNNetwork, genotype, V)
    monkeypatch.setitem(ACTIVATIONS, "tan", nn.functional.silu)
    assert isinstance(DartsRNNNetwork(genotype, V, H, H), nn.Module)


@pytest.mark.parametrize(
    ("tokens", "state"), [((T,), (B, H)), ((T, B), (B + 1, H)), ((T, B), (B,)), ((0, B), (B, H))]
)
def test_other_shapes(
    tokens: tuple[int, ...], state: tuple[int, ...], message: Callable[..., str]
) -> None:
    text = message(ValueError, make(), torch.zeros(tokens, dtype=torch.int64), torch.zeros(state))
    assert text == f"expected tokens (T, B) and a state (B, 6), got {tokens} and {state}"
