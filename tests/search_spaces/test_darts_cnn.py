"""The space, its supernet and its discrete networks: search_spaces/ and
nni_darts/supernet/mixed.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import spaces
import torch
from golden import SHARED
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from nni.nas.space import model_context
from nni.nas.strategy import DARTS
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts.genotypes import published as papers
from nni_darts.genotypes.genotype import PRIMITIVES, Genotype
from nni_darts.supernet.mixed import MixedNode, Node
from nni_darts.supernet.nodes import ChosenEdges
from search_spaces import DartsCNN, DartsNetwork, operations
from search_spaces.operations import FactorizedReduce


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def published() -> dict[str, Any]:
    path = SHARED / "genotypes.json"
    if not path.exists():
        return {}
    return {k: v for k, v in json.loads(path.read_text()).items() if v["kind"] == "cnn"}


GENOTYPES = published()
DARTS_V2 = Genotype.parse(
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)
# facts.md, section 4: parameters on CIFAR (C 36, 20 cells) and ImageNet (C 48, 14 cells).
COUNTS = {
    "DARTS_V1": (3_169_414, 4_510_432),
    "DARTS_V2": (3_349_342, 4_718_752),
    "PC_DARTS_cifar": (3_634_678, 5_270_560),
    "PC_DARTS_image": (3_721_510, 5_342_464),
    "PDARTS": (3_433_798, 4_944_352),
    "GDAS_V1": (3_368_782, 4_969_216),
    "NASNet": (3_830_950, None),
    "AmoebaNet": (3_145_078, None),
}
IMAGENET = {"channels": 48, "num_cells": 14, "num_classes": 1000, "stem": "imagenet"}


# Parameters


def test_weights_of_the_supernet() -> None:
    space = DartsCNN()
    assert count(space) == 1_930_618
    supernet = UnrolledDARTS().mutate_model(space)
    alphas = [p for n, p in supernet.named_parameters() if n.endswith("_arch_alpha")]
    assert count(supernet) == 1_930_618 + 2 * 14 * 8
    assert len(alphas) == 28
    assert {a.shape for a in alphas} == {(8,)}


def test_weights_of_the_supernet_of_pc_darts() -> None:
    space = DartsCNN(partial_channels=4, edge_weights=True)
    assert count(space) == 299_578
    # The network has its operations on all channels.
    frozen = space.freeze(DARTS_V2.to_sample())
    assert type(frozen) is DartsNetwork
    assert count(frozen) == count(DartsNetwork(DARTS_V2, 16, 8))
    supernet = UnrolledDARTS().mutate_model(space)
    betas = [p for n, p in supernet.named_parameters() if n.endswith("_arch_beta")]
    assert [len(beta) for beta in betas] == [2, 3, 4, 5] * 2
    assert count(supernet) == 299_578 + 2 * 14 * 8 + 2 * 14


def test_partial_channels_change_what_operations_see() -> None:
    space = DartsCNN(8, 3, partial_channels=2, num_nodes=2)
    for place, cell in enumerate(space.cells):
        for node in cell.nodes:
            for edge in node.edges:
                assert (edge.k, edge.channels) == (2, 8 * 2 ** (place))
                assert edge.operation["sep_conv_3x3"][1].in_channels == edge.channels // 2
                assert edge.operation["max_pool_3x3"][1].num_features == edge.channels // 2


def test_parameters_of_darts_v2() -> None:
    assert count(DartsNetwork(DARTS_V2)) == 3_349_342
    assert count(DartsNetwork(DARTS_V2, auxiliary=True)) == 3_349_342 + 476_426
    assert count(DartsNetwork(DARTS_V2, **IMAGENET)) == 4_718_752
    assert count(DartsNetwork(DARTS_V2, **IMAGENET, auxiliary=True)) == 4_718_752 + 1_260_776


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_of_published_genotypes(name: str) -> None:
    if name not in GENOTYPES:
        pytest.skip("../shared/genotypes.json is not here")
    genotype = Genotype.parse(json.dumps(GENOTYPES[name]))
    cifar, imagenet = COUNTS[name]
    assert count(DartsNetwork(genotype)) == cifar
    if imagenet is not None:
        assert count(DartsNetwork(genotype, **IMAGENET)) == imagenet


@pytest.mark.parametrize("name", GENOTYPES)
def test_published_genotypes_run_and_count_as_the_reference(name: str) -> None:
    genotype = Genotype.parse(json.dumps(GENOTYPES[name]))
    small = DartsNetwork(genotype, 8, 5, auxiliary=True, drop_path=0.2)
    logits, auxiliary = small(torch.randn(2, 3, 32, 32))
    assert logits.shape == auxiliary.shape == (2, 10)
    assert small.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    counts = json.loads((SHARED / "data/param_mac_counts.json").read_text())["counts"]
    for repository, by_name in counts.items():
        if name not in by_name:
            continue
        assert count(DartsNetwork(genotype)) == by_name[name]["cifar"]
        assert count(DartsNetwork(genotype, auxiliary=True)) == by_name[name]["cifar_aux"]
        assert count(DartsNetwork(genotype, **IMAGENET)) == by_name[name]["inet"]
        if repository != "chenxin061+pdarts":
            # That one puts back the last normalisation of ImageNet's auxiliary head.
            auxiliary = DartsNetwork(genotype, **IMAGENET, auxiliary=True)
            assert count(auxiliary) == by_name[name]["inet_aux"]


def test_freezing_gives_the_discrete_network() -> None:
    space = DartsCNN(36, 20)
    frozen = space.freeze(DARTS_V2.to_sample())
    assert isinstance(frozen, DartsNetwork)
    assert count(frozen) == 3_349_342
    assert frozen.genotype == DARTS_V2
    supernet = UnrolledDARTS().mutate_model(space)
    assert count(supernet.freeze(DARTS_V2.to_sample())) == 3_349_342
    with model_context(DARTS_V2.to_sample()):
        assert count(DartsCNN(36, num_cells=20)) == 3_349_342


# Structure


@pytest.mark.parametrize(("num_cells", "reductions"), [(8, [2, 5]), (20, [6, 13]), (14, [4, 9])])
def test_reductions_stand_at_two_places(num_cells: int, reductions: list[int]) -> None:
    # Trap 12; and trap 11: FactorizedReduce where the previous cell was a reduction, on c_{k-2}.
    for network in (DartsCNN(4, num_cells), DartsNetwork(DARTS_V2, 4, num_cells)):
        sizes = [x.shape[2] for x in network.cell_outputs(torch.randn(2, 3, 32, 32))]
        steps = [i for i in range(1, num_cells) if sizes[i] < sizes[i - 1]]
        assert steps == reductions
        reduced = [
            (i, j)
            for i, cell in enumerate(network.cells)
            for j, preprocess in enumerate(cell.inputs)
            if isinstance(preprocess, FactorizedReduce)
        ]
        assert reduced == [(i + 1, 0) for i in reductions if i + 1 < num_cells]


def test_first_cell_starts_at_c_channels_and_the_stem_is_three_times_as_wide() -> None:
    # Trap 14.
    space = DartsCNN(16)
    assert space.stem.both[0].out_channels == 48
    assert space.cells[0].inputs[0][1].out_channels == 16
    assert len(list(space.stem.parameters())) == 3


def test_labels() -> None:
    labels = list(DartsCNN(4, 3).simplify())
    assert len(labels) == 2 * (14 + 4)
    assert labels[:3] == ["normal_2_0", "normal_2_1", "normal_2"]
    assert not any("/" in label for label in labels)


def test_supernet_operations() -> None:
    supernet = UnrolledDARTS().mutate_model(DartsCNN(4, 3))
    (edge, *_) = [m for m in supernet.modules() if isinstance(m, LayerChoice)]
    assert tuple(edge.names) == PRIMITIVES
    # Pools are normalised, and nothing has scale, shift or running statistics (trap 25).
    for cell in supernet.cells:
        for module in cell.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight is None
                assert module.running_mean is None
    assert isinstance(edge["max_pool_3x3"][1], nn.BatchNorm2d)


def test_a_node_sums_its_edges_and_has_no_alphas() -> None:
    supernet = UnrolledDARTS().mutate_model(DartsCNN(4, 3))
    node = next(m for m in supernet.modules() if isinstance(m, MixedNode))
    states = [torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)]
    expected = torch.zeros(2, 4, 8, 8)
    for edge, state in zip(node.edges, states, strict=True):
        weights = edge._arch_alpha.softmax(0)
        for weight, operation in zip(weights, edge, strict=True):
            expected = expected + weight * operation(state)
    torch.testing.assert_close(node(states), expected)
    own = [n for n, _ in node.named_parameters() if "_arch_alpha" in n]
    assert len(own) == 2


@pytest.mark.parametrize("size", [15, 16])
def test_zero_and_factorized_reduce_agree_with_the_other_operations_on_sizes(size: int) -> None:
    x = torch.randn(2, 4, size, size)
    for stride in (1, 2):
        shapes = {
            operations.search_operation(name, 4, stride)(x).shape for name in operations.OPERATIONS
        }
        assert len(shapes) == 1
        assert not operations.search_operation("none", 4, stride)(x).any()


def test_drop_path_spares_the_identity_and_evaluation() -> None:
    network = DartsNetwork(DARTS_V2, 8, 5, drop_path=0.5)
    drops = [m for m in network.modules() if isinstance(m, operations.DropPath)]
    edges = sum(len(node.edges) for cell in network.cells for node in cell.nodes)
    identities = sum(isinstance(m, nn.Identity) for m in network.modules())
    assert len(drops) == edges - identities
    network.drop_path = 0.3
    assert {m.p for m in drops} == {0.3}
    x = torch.randn(2, 3, 16, 16)
    network.eval()
    assert torch.equal(network(x), network(x))


def test_drop_path_drops_whole_images_and_keeps_the_mean() -> None:
    drop = operations.DropPath(0.25)
    x = torch.ones(4000, 2, 3, 3)
    factors = drop(x)
    assert (factors == factors[:, :1, :1, :1]).all()
    by_image = factors[:, 0, 0, 0]
    torch.testing.assert_close(by_image.unique(), torch.tensor([0, 1 / 0.75]))
    assert abs(by_image.mean().item() - 1) < 0.03
    assert drop(x.bfloat16()).dtype == torch.bfloat16
    assert operations.DropPath(0.0)(x) is x
    assert drop.eval()(x) is x


def test_the_arguments_of_a_network_build_it_again() -> None:
    network = DartsNetwork(DARTS_V2, 4, 3, 7, auxiliary=True, stem="imagenet", in_channels=1)
    assert network.arguments == {
        "channels": 4,
        "num_cells": 3,
        "num_classes": 7,
        "auxiliary": True,
        "stem": "imagenet",
        "in_channels": 1,
    }
    again = DartsNetwork(DARTS_V2, **network.arguments)
    assert again.arguments == network.arguments
    again.load_state_dict(network.state_dict())
    again.auxiliary = None
    assert not again.arguments["auxiliary"]


class Nodes(ModelSpace):
    """A space of the user's, made of our nodes."""

    def __init__(self) -> None:
        super().__init__()
        edges = [
            LayerChoice({"none": operations.Zero(1), "conv": nn.Conv2d(3, 3, 1)}, label=f"e_{j}")
            for j in range(3)
        ]
        self.node = Node(edges, 2, label="n")
        self.head = nn.Linear(3, spaces.CLASSES)

    @staticmethod
    def extra_oneshot_hooks(strategy: Any) -> list[Any]:
        return [MixedNode.mutate]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.node([x, 2 * x, 3 * x]).mean((2, 3)))


def test_a_frozen_node_has_the_chosen_edges_only() -> None:
    space = Nodes()
    sample = {"n": [2, 0], "e_0": "conv", "e_2": "conv"}
    frozen = space.freeze(sample)
    assert isinstance(frozen.node, ChosenEdges)
    assert frozen.node.sources == (2, 0)
    assert count(frozen.node) == 2 * (3 * 3 + 3)
    with model_context(sample | {"e_1": "none"}):
        assert count(Nodes().node) == 2 * (3 * 3 + 3)
    with pytest.raises(Exception, match="e_2"):
        space.freeze({"n": [2, 0], "e_0": "conv"})


def test_a_hook_may_come_with_the_strategy_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Nodes, "extra_oneshot_hooks")
    strategy = UnrolledDARTS(mutation_hooks=[MixedNode.mutate])
    spaces.search(Nodes(), strategy)
    assert isinstance(strategy.supernet.node, MixedNode)
    _, sample = strategy.top_k(1)[0]
    assert len(sample["n"]) == 2
    assert {sample[f"e_{j}"] for j in sample["n"]} == {"conv"}


def test_nnis_own_strategy_derives_our_nodes_by_strength() -> None:
    strategy = DARTS()
    supernet = strategy.mutate_model(DartsCNN(4, 3))
    with torch.no_grad():
        for alpha in strategy._arch_parameters.values():
            alpha.zero_()
        strategy._arch_parameters["normal_4_2"].copy_(torch.tensor([9.0, 5, 0, 0, 0, 0, 0, 0]))
        strategy._arch_parameters["normal_4_3"].copy_(torch.tensor([0.0, 0, 0, 0, 3, 0, 0, 0]))
        strategy._arch_parameters["normal_4_0"].copy_(torch.tensor([0.0, 0, 0, 2, 0, 0, 0, 0]))
    sample: dict[str, Any] = {}
    for module in supernet.modules():
        if hasattr(module, "export"):
            sample.update(module.export(sample))
    # Trap 4: edge 2 has the largest alpha, but next to `none` it is weak.
    assert sample["normal_4"] == [3, 0]
    assert sample["normal_4_3"] == "sep_conv_3x3"
    assert "none" not in sample.values()


# Bad input


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"num_cells": 2}, "num_cells must be at least 3, got 2"),
        ({"channels": 7}, "channels must be divisible by 2 and positive, got 7"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"stem": "mnist"}, "stem must be 'cifar' or 'imagenet', got 'mnist'"),
        ({"num_nodes": 0}, "num_nodes must be at least 1, got 0"),
        ({"primitives": ["sep_conv_3x4", "none"]}, "did you mean 'sep_conv_3x3'?"),
        ({"primitives": ["none"]}, "an operation besides none"),
        ({"partial_channels": 3}, "partial_channels=3 must divide the 16 channels of an edge"),
        ({"partial_channels": 0}, "partial_channels must be at least 1, got 0"),
        ({"partial_channels": "4"}, "partial_channels must be"),
        ({"edge_weights": 1}, "edge_weights must be"),
        ({"primitives": ["skip_connect", "skip_connect"]}, "must be distinct"),
    ],
)
def test_bad_spaces(arguments: dict[str, Any], expected: str, message: Any) -> None:
    assert expected in message(ValueError, DartsCNN, **arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"num_cells": 2}, "num_cells must be at least 3, got 2"),
        ({"channels": 9}, "channels must be divisible by 2"),
        ({"drop_path": 1.0}, "drop_path must be in [0, 1), got 1.0"),
    ],
)
def test_bad_networks(arguments: dict[str, Any], expected: str, message: Any) -> None:
    assert expected in message(ValueError, DartsNetwork, DARTS_V2, **arguments)


def test_a_recurrent_genotype_is_no_cnn(message: Any) -> None:
    rnn = Genotype.parse("Genotype(recurrent=[('relu', 0)], concat=[1])")
    assert "normal and reduce cells is needed" in message(ValueError, DartsNetwork, rnn)


def test_an_operation_without_a_module_is_refused(message: Any) -> None:
    text = DARTS_V2.to_authors().replace("dil_conv_3x3", "dil_conv_9x9")
    genotype = Genotype.parse(text, operations=["dil_conv_9x9"])
    assert "unknown primitive 'dil_conv_9x9'" in message(ValueError, DartsNetwork, genotype)


def test_more_edges_than_predecessors(message: Any) -> None:
    def make() -> None:
        Node([nn.Identity(), nn.Identity()], 3, label="n")

    assert "has 2 predecessors and cannot keep 3" in message(ValueError, make)


def test_an_operation_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        operations.OPERATIONS, "blur", lambda channels, stride, norm: nn.AvgPool2d(5, stride, 2)
    )
    space = DartsCNN(4, 3, spaces.CLASSES, num_nodes=2, primitives=["blur", "skip_connect"])
    strategy = spaces.search(space)
    for model in strategy.list_models(limit=2):
        assert model.executable_model().eval()(torch.randn(1, 3, 8, 8)).shape == (1, 10)


@pytest.mark.parametrize(
    ("make", "weighted"),
    [
        (lambda: DartsCNN(channels=4, num_cells=3, num_nodes=2, in_channels=1), 94.778783),
        (lambda: DartsCNN(channels=4, num_cells=3, stem="imagenet"), -24.54789),
        (lambda: DartsNetwork(papers.get("DARTS_V2"), 4, 3, in_channels=1), 382.150001),
    ],
)
def test_a_seed_gives_the_weights_that_it_always_gave(
    make: Callable[[], nn.Module], weighted: float
) -> None:
    """The figures in the docs hang on it: the sums are those of the version before the rooms."""
    torch.manual_seed(0)
    parameters = enumerate(make().parameters())
    total = sum(float(p.detach().double().sum() * (i % 7 + 1)) for i, p in parameters)
    assert total == pytest.approx(weighted, abs=1e-4)
