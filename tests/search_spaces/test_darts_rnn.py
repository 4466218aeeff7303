"""search_spaces/darts_rnn.py: the space, its supernet, what is derived from it, its gradients."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nni.nas.space import model_context
from torch import Tensor, nn
from torch.optim import SGD

from nni_darts import UnrolledDARTS
from nni_darts.genotypes import derivation, published
from nni_darts.genotypes.genotype import RNN_PRIMITIVES, Genotype
from nni_darts.pictures import drawing
from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.functions import exact, finite_difference
from nni_darts.search.parts import HYPERGRADIENTS
from nni_darts.supernet import architectures
from nni_darts.supernet.mixed import MixedNode, Node
from nni_darts.training.network_size import parameters
from search_spaces import DartsCNN, DartsRNN, DartsRNNNetwork
from search_spaces.activations import ACTIVATIONS

V, H, T, B = 11, 6, 4, 5
OFF = {f"dropout_{which}": 0.0 for which in ("out", "h", "x", "i", "e")}
RECURRENT = ("RNN_ENAS", "RNN_DARTS_V1", "RNN_DARTS_V2")
SMOOTH = ("none", "tanh", "sigmoid", "identity")


def supernet(seed: int = 0, num_nodes: int = 3, **arguments: Any) -> Any:
    """In float64, alphas and weights drawn wide."""
    torch.manual_seed(seed)
    space = DartsRNN(V, H, H, num_nodes, **{**OFF, **arguments})
    net = UnrolledDARTS().mutate_model(space).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.7)
    return net


def alphas_of(net: Any) -> list[nn.Parameter]:
    return [p for n, p in net.named_parameters() if n.endswith("_arch_alpha")]


def weights_of(net: Any) -> list[nn.Parameter]:
    return [p for n, p in net.named_parameters() if not n.endswith("_arch_alpha")]


def batch(seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(B, H, generator=generator, dtype=torch.float64)
    return torch.randint(V, (T + 1, B), generator=generator), state


def plant(net: Any, rows: Tensor) -> None:
    """Alphas (edges, operations) in the order of `derivation`: by target, then source."""
    with torch.no_grad():
        for alpha, row in zip(alphas_of(net), rows, strict=True):
            alpha.copy_(row)


# Sizes and labels


def test_weights_and_alphas() -> None:
    space = DartsRNN(10_000)
    assert parameters(space) == 4_810_000
    net = UnrolledDARTS().mutate_model(space)
    alphas = alphas_of(net)
    assert (len(alphas), {a.shape for a in alphas}) == (36, {(5,)})
    assert parameters(net) == 4_810_000 + 36 * 5
    # One matrix of weights for each node, whatever enters it.
    assert {tuple(node.W.shape) for node in net.cell.nodes} == {(300, 600)}
    assert net.decoder.weight is net.embedding.weight


def test_labels() -> None:
    labels = list(DartsRNN(V, H, H).simplify())
    assert len(labels) == 36 + 8
    assert labels[:5] == [
        "recurrent_1_0",
        "recurrent_1",
        "recurrent_2_0",
        "recurrent_2_1",
        "recurrent_2",
    ]


def test_operations() -> None:
    net = supernet()
    assert tuple(net.cell.nodes[0].edges.edges[0].names) == RNN_PRIMITIVES
    (norm,) = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d)]
    assert norm.weight is None
    assert norm.running_mean is None
    assert not any(isinstance(m, nn.BatchNorm1d) for m in frozen().modules())


# The equations


def normalised(s: Tensor) -> Tensor:
    return (s - s.mean(0)) / torch.sqrt(s.var(0, unbiased=False) + 1e-5)


@pytest.mark.parametrize("primitives", [RNN_PRIMITIVES, ("relu", "none", "tanh"), ("sigmoid",)])
def test_the_supernet_is_what_the_equations_say(primitives: tuple[str, ...]) -> None:
    # Trap 5: `none` is known by its name, wherever it stands.
    net = supernet(primitives=primitives)
    tokens, h = batch()
    rows = iter(alphas_of(net))
    p = [[next(rows).softmax(0) for _ in range(1 + j)] for j in range(3)]
    outputs = []
    for x in net.embedding(tokens):
        gate, candidate = (torch.cat([x, h], 1) @ net.cell.W0).chunk(2, 1)
        states = [normalised(h + torch.sigmoid(gate) * (torch.tanh(candidate) - h))]
        for j, node in enumerate(net.cell.nodes):
            new = torch.zeros_like(h)
            for i, s in enumerate(states):
                gate, candidate = (s @ node.W).chunk(2, 1)
                for weight, name in zip(p[j][i], primitives, strict=True):
                    if name != "none":
                        f = ACTIVATIONS[name](candidate)
                        new = new + weight * (s + torch.sigmoid(gate) * (f - s))
            states.append(normalised(new))
        h = sum(states[1:]) / 3
        outputs.append(h)
    found = net(tokens, batch()[1])
    torch.testing.assert_close(found.raw, torch.stack(outputs), rtol=1e-9, atol=1e-9)
    logits = torch.stack(outputs) @ net.embedding.weight.T + net.decoder.bias
    torch.testing.assert_close(found.logits, logits, rtol=1e-9, atol=1e-9)


def weighed(edges: Any, n_chosen: int, label: str) -> Node:
    return Node(edges, n_chosen, label, edge_weights=len(edges) > 1)


@pytest.mark.parametrize("node", [Node, weighed], ids=["plain", "edge weights"])
def test_edges_at_once_are_edges_one_by_one(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # `MixedNode` runs every operation of every edge: NNI's own mixture.
    monkeypatch.setattr("search_spaces.darts_rnn.Node", node)
    net = supernet(num_nodes=4, dropout_h=0.25)
    parameters = list(net.parameters())

    def run() -> tuple[Tensor, ...]:
        torch.manual_seed(2)
        logits = net(*batch()).logits
        return logits, *torch.autograd.grad(logits.square().mean(), parameters)

    at_once = run()
    monkeypatch.setattr(type(net.cell.nodes[0].edges), "forward", MixedNode.forward)
    for got, expected in zip(at_once, run(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_evaluation_normalises_as_training_does() -> None:
    net = supernet()
    logits = net.train()(*batch()).logits
    assert torch.equal(net.eval()(*batch()).logits, logits)


@pytest.mark.parametrize("discrete", [False, True])
def test_low_precision(discrete: bool) -> None:
    model = (frozen() if discrete else supernet().float()).eval()
    tokens, _ = batch()
    state = model.initial_state(B)
    expected = model(tokens, state).raw
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(tokens, state)
    # The states are carried in float32.
    assert found.state.dtype == torch.float32
    torch.testing.assert_close(found.raw, expected, rtol=0, atol=0.1)
    assert not torch.equal(found.raw, expected)
    found.logits.float().sum().backward()
    model.bfloat16()
    assert model(tokens, model.initial_state(B)).logits.dtype == torch.bfloat16


def test_a_dry_run_as_in_every_model_space() -> None:
    space = DartsRNN(V, H, H, 2)
    tokens, _ = batch()
    assert space(tokens, space.initial_state(B)).logits.shape == (T + 1, B, V)


# From alphas to networks

SAMPLE = {
    "recurrent_1": [0],
    "recurrent_1_0": "tanh",
    "recurrent_2": [1],
    "recurrent_2_0": "none",
    "recurrent_2_1": "identity",
}


def frozen() -> DartsRNNNetwork:
    return DartsRNN(V, H, H, 2, dropout_h=0.5).freeze(SAMPLE)


def test_freezing_gives_the_discrete_network() -> None:
    network = frozen()
    assert isinstance(network, DartsRNNNetwork)
    assert network.genotype == Genotype.from_sample(SAMPLE)
    assert network.genotype.recurrent.concat == (1, 2)
    assert network.arguments["dropout_h"] == 0.5
    with model_context(SAMPLE):
        assert isinstance(DartsRNN(V, hidden=H, embedding=H, num_nodes=2), DartsRNNNetwork)
    net = UnrolledDARTS().mutate_model(DartsRNN(V, H, H, 2))
    assert isinstance(net.freeze(SAMPLE), DartsRNNNetwork)
    with pytest.raises(Exception, match="recurrent_2"):
        DartsRNN(V, H, H, 2).freeze({k: v for k, v in SAMPLE.items() if k != "recurrent_2"})


@pytest.mark.parametrize("name", ["RNN_DARTS_V1", "RNN_DARTS_V2"])
def test_freezing_a_published_genotype(name: str) -> None:
    genotype = published.get(name)
    frozen = DartsRNN(10_000, 850, 850).freeze(genotype.to_sample())
    assert frozen.genotype == genotype
    assert parameters(frozen) == 22_960_000


@pytest.mark.parametrize("seed", range(3))
def test_planted_alphas_are_derived_with_one_edge_per_node(seed: int) -> None:
    net = supernet(num_nodes=8)
    rows = torch.randn(36, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    plant(net, rows)
    expected = derivation.derive(rows.numpy(), RNN_PRIMITIVES, kind="recurrent")
    exported: dict[str, Any] = {}
    for module in net.modules():
        if hasattr(module, "export"):
            exported.update(module.export(exported))
    assert Genotype.from_sample(exported).recurrent == expected
    ranked = architectures.top_k(net, 20)
    by_derivation = derivation.top_k({"recurrent": rows.numpy()}, RNN_PRIMITIVES, 20)
    assert len({json.dumps(sample, sort_keys=True) for _, sample in ranked}) == 20
    for (score, sample), (expected_score, genotype) in zip(ranked, by_derivation, strict=True):
        assert score == pytest.approx(expected_score)
        assert Genotype.from_sample({**exported, **sample}) == genotype


def test_a_planted_cell() -> None:
    # By hand: next to a large `none` a large alpha is weak (trap 4).
    net = supernet(num_nodes=2)
    none, tanh, relu = (RNN_PRIMITIVES.index(name) for name in ("none", "tanh", "relu"))
    rows = torch.zeros(3, 5)
    rows[0, relu] = 1  # 0 -> 1
    rows[1, none], rows[1, relu] = 9, 5  # 0 -> 2
    rows[2, tanh] = 2  # 1 -> 2
    plant(net, rows)
    ((_, sample),) = architectures.top_k(net, 1)
    assert Genotype.from_sample(sample).to_authors() == (
        "Genotype(recurrent=[('relu', 0), ('tanh', 1)], concat=range(1, 3))"
    )


@pytest.mark.parametrize("name", RECURRENT)
def test_published_genotypes_are_written_back_and_drawn(name: str, tmp_path: Path) -> None:
    genotype = published.get(name)
    for format in ("json", "authors", "ptdarts"):
        text = genotype.to_text(format)
        again = Genotype.parse(text)
        assert again == genotype
        assert again.to_text(format) == text
    drawing.draw(genotype, tmp_path / "cell.svg")
    drawn = (tmp_path / "cell.svg").read_text()
    drawing.draw(again, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn
    assert "svg" in drawn


def test_an_operation_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTIVATIONS, "swish", nn.functional.silu)
    net = supernet(num_nodes=1, primitives=["swish", "none"])
    assert torch.isfinite(net(*batch()).logits).all()
    network = net.freeze({"recurrent_1": [0], "recurrent_1_0": "swish"})
    assert network.genotype.recurrent.nodes[0][0].operation == "swish"


# Hypergradients, on a tiny search in float64


class Search:
    """Losses on batches of text; the state after the training batch is kept, as a recipe does."""

    def __init__(self, **arguments: Any) -> None:
        self.net = supernet(**arguments)
        self.net.register_buffer("carried", batch(1)[1])
        self.alphas, self.weights = alphas_of(self.net), weights_of(self.net)
        self.seen: list[Tensor] = []

    def loss(self, tokens: Tensor, state: Tensor) -> Tensor:
        found = self.net(tokens[:-1], state)
        loss = nn.functional.cross_entropy(found.logits.flatten(0, 1), tokens[1:].flatten())
        self.net.carried = found.state.detach()
        return loss + 0.1 * (found.raw[1:] - found.raw[:-1]).pow(2).mean()

    def train_loss(self) -> Tensor:
        self.seen.append(self.net.carried)
        return self.loss(batch(1)[0], self.net.carried)

    def val_loss(self) -> Tensor:
        return self.loss(*batch(2))

    def hypergradient(self, name: str, optimizer: SGD, clip: float | None = None) -> Tensor:
        torch.manual_seed(7)
        options = {} if clip is None else {"clip": clip}
        step = BilevelStep(
            self.train_loss, self.val_loss, self.weights, self.alphas, optimizer, [self.net]
        )
        return torch.stack(HYPERGRADIENTS[name](**options)(step))


def relative_error(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


DROPOUTS = {"dropout_out": 0.5, "dropout_h": 0.25, "dropout_x": 0.5, "dropout_i": 0.2}


def by_functional_calls(search: Search, xi: float, decay: float, clip: float | None) -> Tensor:
    """The hypergradient by differentiating val loss (w'(alpha), alpha) as one function."""
    net = copy.deepcopy(search.net)
    named = {n: p.detach() for n, p in net.named_parameters()}
    alphas = {n: p for n, p in named.items() if n.endswith("_arch_alpha")}
    weights = {n: p for n, p in named.items() if n not in alphas}

    def loss(w: Any, a: Any, tokens: Tensor, state: Tensor) -> Tensor:
        torch.manual_seed(7)
        found = torch.func.functional_call(net, {**w, **a}, (tokens[:-1], state))
        loss = nn.functional.cross_entropy(found.logits.flatten(0, 1), tokens[1:].flatten())
        return loss + 0.1 * (found.raw[1:] - found.raw[:-1]).pow(2).mean()

    def unrolled(a: Any) -> Tensor:
        g = torch.func.grad(loss)(weights, a, *batch(1))
        if clip is not None:
            norm = sum(g_.square().sum() for g_ in g.values()).sqrt()
            assert norm > clip
            g = {n: g_ * clip / (norm + 1e-6) for n, g_ in g.items()}
        w = {n: w_ - xi * (g[n] + decay * w_) for n, w_ in weights.items()}
        return loss(w, a, *batch(2))

    return torch.stack(list(torch.func.grad(unrolled)(alphas).values()))


@pytest.mark.parametrize("clip", [None, 0.25])
@pytest.mark.parametrize("dropouts", [{}, DROPOUTS], ids=["plain", "dropout"])
def test_exact_against_torch_func(clip: float | None, dropouts: dict[str, float]) -> None:
    search = Search(**dropouts)
    optimizer = SGD(search.weights, lr=2.0, weight_decay=5e-3)
    expected = by_functional_calls(search, 2.0, 5e-3, clip)
    assert relative_error(search.hypergradient("exact", optimizer, clip), expected) < 1e-11
    assert relative_error(search.hypergradient("first_order", optimizer), expected) > 1e-2


@pytest.mark.parametrize("dropouts", [{}, DROPOUTS], ids=["plain", "dropout"])
def test_finite_difference_is_close_where_the_cell_is_smooth(dropouts: dict[str, float]) -> None:
    search = Search(primitives=SMOOTH, **dropouts)
    optimizer = SGD(search.weights, lr=0.5, weight_decay=5e-3)
    by_difference = search.hypergradient("finite_difference", optimizer)
    by_derivative = search.hypergradient("exact", optimizer)
    direct = search.hypergradient("first_order", SGD(search.weights, lr=0.0))
    assert relative_error(direct, by_derivative) > 1e-2
    assert relative_error(by_difference, by_derivative) < 1e-3


def test_masks_are_replayed() -> None:
    # Trap 17. Redrawn, the difference is that of two networks, not of two points of one.
    search = Search(primitives=SMOOTH, **DROPOUTS)
    optimizer = SGD(search.weights, lr=0.5)
    replayed = search.hypergradient("finite_difference", optimizer)
    assert relative_error(replayed, search.hypergradient("exact", optimizer)) < 1e-3
    plain, draws = search.train_loss, iter(range(100))

    def redrawn() -> Tensor:
        torch.manual_seed(next(draws))
        return plain()

    search.train_loss = redrawn  # type: ignore[method-assign]
    assert relative_error(search.hypergradient("finite_difference", optimizer), replayed) > 1


@pytest.mark.parametrize("hypergradient", [finite_difference, exact])
def test_the_carried_state_is_not_disturbed(hypergradient: Any) -> None:
    search = Search(**DROPOUTS)
    state, values = search.net.carried, search.net.carried.clone()
    optimizer = SGD(search.weights, lr=0.5)
    hypergradient(
        search.train_loss, search.val_loss, search.weights, search.alphas, optimizer, [search.net]
    )
    assert search.net.carried is state
    assert torch.equal(state, values)
    # Every pass over the training batch went on from there.
    assert len(search.seen) == (3 if hypergradient is finite_difference else 1)
    assert all(torch.equal(seen, values) for seen in search.seen)
    search.train_loss()
    assert not torch.equal(search.net.carried, values)


# Bad input


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"num_nodes": 0}, "num_nodes must be at least 1, got 0"),
        ({"primitives": ["tan", "none"]}, "unknown primitive 'tan'; did you mean 'tanh'?"),
        ({"primitives": ["sep_conv_3x3"]}, "unknown primitive 'sep_conv_3x3'"),
        ({"primitives": ["none"]}, "an operation besides none"),
        ({"primitives": ["relu", "relu"]}, "must be distinct"),
        ({"vocabulary": 1}, "vocabulary must be at least 2, got 1"),
        ({"hidden": 100}, "embedding must equal hidden, got embedding=300 and hidden=100"),
        ({"dropout_i": 2}, "dropout_i must be in [0, 1), got 2"),
    ],
)
def test_bad_spaces(arguments: dict[str, Any], expected: str, message: Callable[..., str]) -> None:
    assert expected in message(ValueError, DartsRNN, **{"vocabulary": V, **arguments})


def test_recurrent_primitives_are_none_of_the_cnns(message: Callable[..., str]) -> None:
    assert "unknown primitive 'tanh'" in message(ValueError, DartsCNN, primitives=["tanh"])


def test_one_text_cannot_be_normalised(message: Callable[..., str]) -> None:
    tokens, state = batch()
    text = message(ValueError, supernet(), tokens[:, :1], state[:1])
    assert "expected at least 2, got 1; choose a larger batch size" in text
