import itertools
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest

from nni_darts.genotypes.derivation import derive, derived_cell, strength, strengths, top_k
from nni_darts.genotypes.genotype import PRIMITIVES, RNN_PRIMITIVES, Cell, Edge, Genotype

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "genotypes_cnn.json"


def _alphas(seed, num_edges=14, num_ops=8, scale=1.0):
    return np.random.default_rng(seed).normal(size=(num_edges, num_ops), scale=scale)


def _softmax(alphas):
    p = np.exp(np.asarray(alphas, dtype=float))
    return p / p.sum(axis=1, keepdims=True)


# Deriving


def test_the_references_genotypes():
    if not GOLDEN.exists():
        pytest.skip(f"{GOLDEN} is not part of the repository")
    cases = json.loads(GOLDEN.read_text())
    assert len(cases) == 20
    for case in cases:
        expected = Genotype.parse(json.dumps({k: v for k, v in case.items() if "alpha" not in k}))
        alphas = {kind: np.array(case[f"alphas_{kind}"]) for kind in ("normal", "reduce")}
        for kind in alphas:  # edges in the reference's order, too
            assert derive(alphas[kind], PRIMITIVES, 2, kind) == expected[kind]
        assert top_k(alphas, PRIMITIVES, 1)[0][1] == expected


# Edge 0 has the larger raw alpha, edge 1 the larger probability, because of edge 0's `none`.
RAW_MISLEADS = np.array([[3.0, 2.0, 0.0], [0.0, 1.0, 0.0]])


def test_trap_4_strength_counts_none_in_the_denominator():
    names = ("none", "relu", "tanh")
    values, operations = strength(RAW_MISLEADS, names)
    assert operations == ("relu", "relu")
    np.testing.assert_allclose(values, _softmax(RAW_MISLEADS)[:, 1], rtol=1e-14)
    assert values[1] > values[0]
    # One more row: node 2 of an RNN chooses between these two edges.
    alphas = np.vstack([[0.0, 1.0, 0.0], RAW_MISLEADS])
    cell = derive(alphas, names, kind="recurrent")
    assert cell.nodes[1] == (Edge("relu", 1),)  # by raw alpha, and without none: Edge("relu", 0)


def test_trap_4_in_top_k():
    names = ("none", "relu", "tanh")
    alphas = np.vstack([[0.0, 1.0, 0.0], RAW_MISLEADS])
    (_, first), *_ = top_k({"recurrent": alphas}, names, 1)
    assert first.recurrent.nodes[1] == (Edge("relu", 1),)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [False, True])
def test_trap_5_none_is_found_by_name(seed, ties):
    alphas = _alphas(seed)
    if ties:
        alphas = np.round(alphas)
    alphas[:, 0] += 2  # none is often the strongest: whoever drops another column chooses it
    expected = derive(alphas, PRIMITIVES)
    assert all(edge.operation != "none" for node in expected.nodes for edge in node)
    for place in (3, 7):  # in the middle, and last as in pt.darts
        order = [*range(1, place + 1), 0, *range(place + 1, 8)]
        names = [PRIMITIVES[i] for i in order]
        assert derive(alphas[:, order], names) == expected
        both = {"normal": alphas[:, order], "reduce": alphas[:, order]}
        assert top_k(both, names, 1)[0][1].normal == expected
        assert strength(alphas[:, order], names)[1] == strength(alphas, PRIMITIVES)[1]
        np.testing.assert_array_equal(
            strength(alphas[:, order], names)[0], strength(alphas, PRIMITIVES)[0]
        )


def test_trap_5_none_may_be_absent():
    alphas = np.array([[2.0, 0.0], [0.0, 1.0]])
    assert derive(alphas, ["a", "b"]).nodes == ((Edge("a", 0), Edge("b", 1)),)
    values, operations = strength(alphas, ["a", "b"])
    assert operations == ("a", "b")
    np.testing.assert_allclose(values, _softmax(alphas).max(axis=1), rtol=1e-14)


def test_trap_6_edges_of_a_node_have_distinct_predecessors():
    # The two strongest operations of node 3 are on one edge, from state 1: it takes one of them.
    names = ("none", "skip_connect", "sep_conv_3x3")
    alphas = np.zeros((5, 3))
    alphas[3] = [-9, 5, 5]
    alphas[4] = [0, 0, 0.1]
    cell = derive(alphas, names)
    assert cell.nodes[1] == (Edge("skip_connect", 1), Edge("sep_conv_3x3", 2))
    for _, genotype in top_k({"normal": alphas, "reduce": alphas}, names, 50):
        for node in (*genotype.normal.nodes, *genotype.reduce.nodes):
            assert len({edge.source for edge in node}) == len(node) == 2


def test_order_within_a_node_is_strongest_first_then_source():
    names = ("none", "skip_connect", "sep_conv_3x3")
    assert derive([[0, 1, 0], [0, 0, 2]], names).nodes == (
        (Edge("sep_conv_3x3", 1), Edge("skip_connect", 0)),
    )
    assert derive(np.zeros((5, 3)), names).nodes == (
        (Edge("skip_connect", 0), Edge("skip_connect", 1)),
        (Edge("skip_connect", 0), Edge("skip_connect", 1)),
    )


@pytest.mark.parametrize(
    ("num_edges", "kind", "k", "num_nodes"),
    [(2, "normal", 1, 1), (14, "reduce", 2, 4), (20, "normal", None, 5), (36, "recurrent", 1, 8)],
)
def test_size_of_the_cell_follows_from_the_edges(num_edges, kind, k, num_nodes):
    cell = derive(_alphas(0, num_edges, 5), RNN_PRIMITIVES, k, kind)
    first = cell.num_inputs
    assert cell.kind == kind
    assert cell.concat == tuple(range(first, first + num_nodes))
    assert [len(node) for node in cell.nodes] == [k or 2] * num_nodes


def test_own_primitives():
    cell = derive([[0.0, 1.0], [1.0, 0.0]], ["my_conv", "my_pool"])
    assert cell.nodes == ((Edge("my_pool", 0), Edge("my_conv", 1)),)


def test_extreme_alphas():
    alphas = np.array([[-1e4, 0.0, -np.inf], [1e4, -1e4, 0.0]])
    values, operations = strength(alphas, ("none", "relu", "tanh"))
    assert operations == ("relu", "tanh")
    np.testing.assert_array_equal(values, [1.0, 0.0])
    # Both strengths of 0 are e^-1000 and e^-1001 in truth: ranked by their logarithm.
    weak = np.array([[1001.0, 0.0], [1000.0, 0.0]])
    assert derive(weak, ("none", "relu"), 1).nodes == ((Edge("relu", 1),),)


@pytest.mark.parametrize(
    ("alphas", "primitives", "options", "message"),
    [
        (np.zeros((13, 8)), PRIMITIVES, {}, "13 rows, .* 3 nodes has 9 edges, and of 4 nodes 14"),
        (np.zeros((3, 8)), PRIMITIVES, {}, "1 nodes has 2 edges"),
        (np.zeros((0, 8)), PRIMITIVES, {}, r"\(num_edges, 8\).*got \(0, 8\)"),
        (np.zeros((14, 7)), PRIMITIVES, {}, r"got \(14, 7\)"),
        (np.zeros(8), PRIMITIVES, {}, r"got \(8,\)"),
        (np.zeros((14, 8)), PRIMITIVES, {"k": 3}, "k must be between 1 and 2, .* got k=3"),
        (np.zeros((14, 8)), PRIMITIVES, {"k": 0}, "got k=0"),
        (np.zeros((36, 5)), RNN_PRIMITIVES, {"k": 2, "kind": "recurrent"}, "between 1 and 1"),
        (np.zeros((14, 8)), PRIMITIVES, {"kind": "norml"}, "'norml'; did you mean 'normal"),
        (np.zeros((2, 2)), ("none", "none"), {}, "primitives must be distinct"),
        (np.zeros((2, 2)), ("relu", "relu"), {}, "primitives must be distinct"),
        (np.zeros((2, 1)), ("none",), {}, "one of them other than none"),
        ([[0.0, math.nan], [0.0, 1.0]], ("relu", "tanh"), {}, "NaN.*in row 0"),
        ([[0.0, 1.0], [0.0, math.inf]], ("relu", "tanh"), {}, r"\+inf.*in row 1"),
        ([[0.0, 1.0], [-math.inf, -math.inf]], ("relu", "tanh"), {}, "-inf.*in row 1"),
    ],
)
def test_bad_alphas(alphas, primitives, options, message):
    with pytest.raises(ValueError, match=message):
        derive(alphas, primitives, **options)


# Top-k


def _all_cells(alphas, primitives, kind, k):
    """(score, cell) of every cell, by brute force."""
    first = 1 if kind == "recurrent" else 2
    p = _softmax(alphas)
    nodes, start = [], 0
    while start < len(p):
        state = first + len(nodes)
        choices = []
        for sources in itertools.combinations(range(state), k):
            columns = [i for i, name in enumerate(primitives) if name != "none"]
            for ops in itertools.product(columns, repeat=k):
                edges = sorted((-p[start + s, o], s, o) for s, o in zip(sources, ops, strict=True))
                score = sum(math.log(-negative) for negative, _, _ in edges)
                choices.append((score, tuple(Edge(primitives[o], s) for _, s, o in edges)))
        nodes.append(choices)
        start += state
    concat = tuple(range(first, first + len(nodes)))
    for combination in itertools.product(*nodes):
        yield (
            sum(score for score, _ in combination),
            Cell(kind, tuple(edges for _, edges in combination), concat, primitives),
        )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 2])
def test_top_k_equals_enumeration(seed, k):
    names = ("relu", "none", "tanh")
    alphas = {"normal": _alphas(seed, 5, 3), "reduce": _alphas(seed + 100, 2, 3)}
    cells = [list(_all_cells(a, names, kind, k)) for kind, a in alphas.items()]
    expected = sorted(
        ((s + t, Genotype((a, b))) for (s, a), (t, b) in itertools.product(*cells)),
        key=lambda pair: -pair[0],
    )
    for n in (1, 7, 60):
        found = top_k(alphas, names, n, k)
        assert [genotype for _, genotype in found] == [g for _, g in expected[:n]]
        np.testing.assert_allclose([s for s, _ in found], [s for s, _ in expected[:n]], rtol=1e-12)
    found = top_k(alphas, names, 100_000, k)  # all of them, once
    assert len(found) == len(expected) == len({genotype for _, genotype in found})


@pytest.mark.parametrize("seed", range(3))
def test_top_k_of_a_recurrent_cell(seed):
    alphas = _alphas(seed, 6, 5)
    expected = sorted(_all_cells(alphas, RNN_PRIMITIVES, "recurrent", 1), key=lambda x: -x[0])
    found = top_k({"recurrent": alphas}, RNN_PRIMITIVES, 25)
    assert [g.recurrent for _, g in found] == [cell for _, cell in expected[:25]]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("decimals", [0, 1, 12])  # the first two give many ties
def test_top_k_begins_with_derive_and_is_distinct(seed, decimals):
    alphas = {
        kind: np.round(_alphas(seed + i), decimals) for i, kind in enumerate(("reduce", "normal"))
    }
    found = top_k(alphas, PRIMITIVES, 20)
    assert found == top_k(alphas, PRIMITIVES, 20)
    assert len({genotype for _, genotype in found}) == 20
    scores = [score for score, _ in found]
    assert scores == sorted(scores, reverse=True)
    for kind, values in alphas.items():
        assert found[0][1][kind] == derive(values, PRIMITIVES, kind=kind)


def test_top_k_takes_milliseconds():
    alphas = {"normal": _alphas(0), "reduce": _alphas(1)}
    start = time.perf_counter()
    assert len(top_k(alphas, PRIMITIVES, 10)) == 10
    assert time.perf_counter() - start < 0.5  # 1.3 ms measured; the margin is for a loaded machine


@pytest.mark.parametrize(
    ("alphas", "n", "message"),
    [
        ({"normal": np.zeros((14, 8))}, 3, "one normal and one reduce cell, .* got normal"),
        ({"normal": np.zeros((14, 8)), "recurrent": np.zeros((1, 8))}, 3, "got normal, recurrent"),
        ({}, 3, "got no cell"),
        ({"normal": np.zeros((14, 8)), "reduce": np.zeros((14, 8))}, 0, "got n=0"),
    ],
)
def test_bad_top_k(alphas, n, message):
    with pytest.raises(ValueError, match=message):
        top_k(alphas, PRIMITIVES, n)


# Mixing weights by their names


@pytest.mark.parametrize(
    ("kind", "primitives", "inputs", "nodes"),
    [("normal", PRIMITIVES, 2, 4), ("recurrent", RNN_PRIMITIVES, 1, 8)],
)
def test_the_derived_cell_is_that_of_the_alphas(
    kind: str, primitives: tuple[str, ...], inputs: int, nodes: int
) -> None:
    rng = np.random.default_rng(0)
    edges = [(node, source) for node in range(inputs, inputs + nodes) for source in range(node)]
    for _ in range(20):
        alphas = 3 * rng.standard_normal((len(edges), len(primitives)))
        weights = np.exp(alphas) / np.exp(alphas).sum(axis=1, keepdims=True)
        rows = {
            edge: dict(zip(primitives, row, strict=True))
            for edge, row in zip(edges, weights.tolist(), strict=True)
        }
        assert derived_cell(kind, rows) == derive(alphas, primitives, kind=kind)
        expected = strength(alphas, primitives).values
        assert list(strengths(rows).values()) == pytest.approx(expected.tolist())


def test_a_cell_derived_by_hand() -> None:
    sure = {"none": 0.1, "skip_connect": 0.2, "sep_conv_3x3": 0.7}
    unsure = {"none": 0.8, "skip_connect": 0.15, "sep_conv_3x3": 0.05}
    even = {"none": 0.2, "skip_connect": 0.5, "sep_conv_3x3": 0.3}
    edges = {(2, 0): unsure, (2, 1): sure, (3, 0): unsure, (3, 1): even, (3, 2): sure}
    cell = derived_cell("normal", edges)
    assert cell.nodes == (
        (("sep_conv_3x3", 1), ("skip_connect", 0)),
        (("sep_conv_3x3", 2), ("skip_connect", 1)),
    )
    assert strengths(edges)[3, 0] == 0.15


def test_weights_that_do_not_compete_count_as_they_are() -> None:
    edges = {
        (2, 0): {"none": 0.1, "skip_connect": 0.2, "sep_conv_3x3": 0.3},
        (2, 1): {"none": 0.9, "skip_connect": 0.9, "sep_conv_3x3": 0.8},
        (3, 0): {"none": 0.0, "skip_connect": 0.0, "sep_conv_3x3": 0.1},
        (3, 1): {"none": 0.9, "skip_connect": 0.7, "sep_conv_3x3": 0.8},
        (3, 2): {"none": 0.9, "skip_connect": 0.7, "sep_conv_3x3": 0.6},
    }
    cell = derived_cell("normal", edges)
    assert cell.nodes == (
        (("skip_connect", 1), ("sep_conv_3x3", 0)),
        (("sep_conv_3x3", 1), ("skip_connect", 2)),
    )


def test_weights_that_were_rounded_to_nothing() -> None:
    gone = {"none": 1.0, "skip_connect": 0.0}
    cell = derived_cell("normal", {(2, 0): gone, (2, 1): gone})
    assert [edge.source for edge in cell.nodes[0]] == [0, 1]
    nothing = {"none": 0.0, "skip_connect": 0.0}
    derived_cell("normal", {(2, 0): nothing, (2, 1): nothing})


def test_edges_without_weights_are_never_chosen() -> None:
    row = {"none": 0.5, "skip_connect": 0.5}
    cell = derived_cell("normal", {(2, 0): row, (3, 0): row, (3, 2): row})
    assert [[edge.source for edge in node] for node in cell.nodes] == [[0], [0, 2]]
    with pytest.raises(ValueError, match="no weights of the edges into node 2"):
        derived_cell("normal", {(3, 0): row})
    with pytest.raises(ValueError, match="no weights of operations other than none"):
        derived_cell("normal", {(2, 0): {"none": 1.0}})


# Weights of edges


def test_edge_weights_by_hand():
    # Node 2 from states 0 and 1, node 3 from states 0, 1 and 2; softmax gives 0.9, 0.8, ...
    p = np.array([[0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6], [0.5, 0.5]])
    alphas, names = np.log(p), ("none", "relu")
    weights = [0.25, 0.75, 0.1, 0.2, 0.7]
    values, _ = strength(alphas, names, weights)
    np.testing.assert_allclose(values, [0.225, 0.6, 0.09, 0.12, 0.35], rtol=1e-12)
    cell = derive(alphas, names, edge_weights=weights)
    assert cell.nodes == (
        (Edge("relu", 1), Edge("relu", 0)),
        (Edge("relu", 2), Edge("relu", 1)),
    )
    assert derive(alphas, names).nodes[1] == (Edge("relu", 0), Edge("relu", 1))
    ((score, genotype),) = top_k(
        {"recurrent": alphas[:3]}, names, 1, edge_weights_by_cell={"recurrent": [1.0, 0.5, 0.6]}
    )
    assert genotype.recurrent.nodes == ((Edge("relu", 0),), (Edge("relu", 1),))
    assert score == pytest.approx(math.log(0.9) + math.log(0.6 * 0.9))


@pytest.mark.parametrize("seed", range(5))
def test_edge_weights_rank_as_all_genotypes_do(seed):
    rng = np.random.default_rng(seed)
    alphas, names = rng.normal(size=(5, 3)), ("none", "relu", "tanh")
    weights = rng.uniform(size=5)
    p = _softmax(alphas) * weights[:, None]
    every = [
        math.log(p[i, a]) + math.log(p[j, b]) + math.log(p[k, c]) + math.log(p[m, d])
        for i, j in itertools.combinations((0, 1), 2)
        for k, m in itertools.combinations((2, 3, 4), 2)
        for a, b, c, d in itertools.product((1, 2), repeat=4)
    ]
    both = {"normal": alphas, "reduce": alphas}
    # The reduction cell has edges without weights of their own, all of them 1.
    plain = top_k({"normal": alphas, "reduce": alphas}, names, 1)[0]
    found = top_k(both, names, 1, edge_weights_by_cell={"normal": weights})[0]
    assert found[1].reduce == plain[1].reduce
    rest = plain[0] / 2
    assert found[0] - rest == pytest.approx(max(every))
    assert found[1].normal == derive(alphas, names, edge_weights=weights)


def test_even_edge_weights_change_no_cell():
    for seed in range(10):
        alphas = _alphas(seed)
        assert derive(alphas, PRIMITIVES, edge_weights=[1.0] * 14) == derive(alphas, PRIMITIVES)


@pytest.mark.parametrize("seed", range(5))
def test_a_cell_is_the_same_by_table_and_by_names(seed):
    rng = np.random.default_rng(seed)
    alphas, weights = rng.normal(size=(14, 8)), rng.uniform(size=14)
    edges = [(node, source) for node in range(2, 6) for source in range(node)]
    rows = {
        edge: dict(zip(PRIMITIVES, row, strict=True))
        for edge, row in zip(edges, _softmax(alphas).tolist(), strict=True)
    }
    by_name = dict(zip(edges, weights.tolist(), strict=True))
    expected = derive(alphas, PRIMITIVES, edge_weights=weights)
    assert derived_cell("normal", rows, by_name) == expected
    values, _ = strength(alphas, PRIMITIVES, weights)
    assert list(strengths(rows, by_name).values()) == pytest.approx(values.tolist())


@pytest.mark.parametrize(
    "weights", [[0.5], [[0.5] * 14], [0.5] * 13 + [1.5], [0.5] * 13 + [math.nan], "x", ["x"] * 14]
)
def test_edge_weights_that_are_none(weights):
    with pytest.raises(ValueError, match="edge_weights must be") as error:
        derive(_alphas(0), PRIMITIVES, edge_weights=weights)
    assert "\n" not in str(error.value)


# Betas (PC-DARTS)

PC_DARTS = GOLDEN.parent / "variants" / "pc_darts_genotypes.json"


def _pc_darts_cases():
    if not PC_DARTS.exists():
        pytest.skip(f"{PC_DARTS} is not part of the repository")
    golden = json.loads(PC_DARTS.read_text())
    assert len(golden["cases"]) == 20
    assert tuple(golden["primitives"]) == PRIMITIVES
    for case in golden["cases"]:
        alphas = {kind: np.array(case[f"alphas_{kind}"]) for kind in ("normal", "reduce")}
        betas = {kind: np.array(case[f"betas_{kind}"]) for kind in ("normal", "reduce")}
        normal, normal_concat, reduce, reduce_concat = case["genotype"]
        text = {"normal": normal, "normal_concat": normal_concat}
        text |= {"reduce": reduce, "reduce_concat": reduce_concat}
        yield alphas, betas, Genotype.parse(json.dumps(text))


def test_the_genotypes_of_pc_darts():
    # Traps 1 and 2: without betas, or with one softmax over all edges, cells are others.
    for alphas, betas, expected in _pc_darts_cases():
        for kind in ("normal", "reduce"):
            cell = derive(alphas[kind], PRIMITIVES, kind=kind, betas=betas[kind])
            assert cell == expected[kind]
        assert top_k(alphas, PRIMITIVES, 1, betas_by_cell=betas)[0][1] == expected
        assert top_k(alphas, PRIMITIVES, 1)[0][1] != expected


def test_betas_are_a_softmax_within_each_node():
    alphas, betas = _alphas(1), np.random.default_rng(2).normal(size=14)
    rows = np.split(betas, [2, 5, 9])
    weights = np.concatenate([np.exp(row) / np.exp(row).sum() for row in rows])
    both = dict.fromkeys(("normal", "reduce"), alphas)
    expected = top_k(both, PRIMITIVES, 30, edge_weights_by_cell=dict.fromkeys(both, weights))
    # A constant added to the betas of a node changes nothing.
    shifted = np.concatenate([row + 1000 * i for i, row in enumerate(rows)])
    for given in (betas, shifted):
        ranked = top_k(both, PRIMITIVES, 30, betas_by_cell={"reduce": given, "normal": betas})
        assert ranked[0][1] == expected[0][1]
        np.testing.assert_allclose([s for s, _ in ranked], [s for s, _ in expected], rtol=1e-10)


@pytest.mark.parametrize("betas", [[0.0] * 13, [math.nan] + [0.0] * 13, "beta", [[0.0] * 14]])
def test_betas_that_are_none(betas):
    with pytest.raises(ValueError, match=r"betas must be (14 )?finite numbers") as error:
        derive(_alphas(0), PRIMITIVES, betas=betas)
    assert len(str(error.value).splitlines()) == 1


def test_betas_and_edge_weights():
    with pytest.raises(ValueError, match="betas stand for edge_weights"):
        derive(_alphas(0), PRIMITIVES, edge_weights=[1.0] * 14, betas=[0.0] * 14)
    with pytest.raises(ValueError, match="alphas have 13 rows"):
        derive(_alphas(0, 13), PRIMITIVES, betas=[0.0] * 13)
    with pytest.raises(TypeError, match="betas_by_cell must be a mapping of kinds of cells"):
        top_k({"normal": _alphas(0)}, PRIMITIVES, 1, betas_by_cell=[0.0] * 14)
