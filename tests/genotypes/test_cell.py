from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nni_darts.genotypes.cell import OPERATIONS, PRIMITIVES, RNN_PRIMITIVES, Cell, Edge


def test_known_names():
    assert PRIMITIVES[0] == RNN_PRIMITIVES[0] == "none"
    assert len(PRIMITIVES) == 8
    assert len(OPERATIONS) == len(set(OPERATIONS)) == 8 + 4 + 2
    assert {"sep_conv_7x7", "conv_7x1_1x7", "tanh"} < set(OPERATIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("normall", [[("none", 0)]], [2]), "unknown kind of cell 'normall'; did you mean 'normal"),
        (
            ("normal", [[("sepconv_3x3", 0)]], [2]),
            "normal node 2: 'sepconv_3x3'; did you mean 'sep",
        ),
        (("normal", [[("qqq", 0)]], [2]), "'qqq' .known: none, max_pool_3x3"),
        (("normal", [[(3, 0)]], [2]), "unknown operation"),
        (("normal", [[("none", 2)]], [2]), r"normal node 2: .* in 0\.\.1, got 2"),
        (("normal", [[("none", -1)]], [2]), "got -1"),
        (("normal", [[("none", 0)], [("none", 3)]], [2]), r"normal node 3: .* 0\.\.2, got 3"),
        (("recurrent", [[("tanh", 1)]], [1]), r"recurrent node 1: .* in 0\.\.0, got 1"),
        (("normal", [[("none", True)]], [2]), "got True"),
        (("normal", [[("none", 1.0)]], [2]), "got 1.0"),
        (("normal", [[("none", 0, 1)]], [2]), "expected an edge"),
        (("normal", [["ab"]], [2]), "expected an edge"),
        (("normal", [[("none", 0)], []], [2]), "normal node 3: expected at least one edge"),
        (("normal", [], [2]), "expected at least one node"),
        (("normal", "ab", [2]), "expected a list, got 'ab'"),
        (("normal", [[("none", 0)]], []), "concat must be distinct nodes"),
        (("normal", [[("none", 0)]], [2, 2]), "concat must be distinct nodes"),
        (("normal", [[("none", 0)]], [1]), r"concat: .* in 2\.\.2, got 1"),
        (("normal", [[("none", 0)]], [3]), "got 3"),
        (("normal", [[("none", 0)]], 2), "expected a list, got 2"),
    ],
)
def test_bad_cells(arguments, message):
    with pytest.raises(ValueError, match=message):
        Cell(*arguments)


def test_lists_become_tuples_of_pythons_own_numbers() -> None:
    cell = Cell("normal", [[["none", np.int64(1)]], [("none", 2)]], range(2, 4))  # type: ignore[arg-type]
    assert cell.nodes == ((Edge("none", 1),), (Edge("none", 2),))
    assert type(cell.nodes[0][0].source) is int
    assert cell.concat == (2, 3)
    assert hash(cell) == hash(Cell("normal", cell.nodes, cell.concat))


def test_names_that_are_accepted_are_not_kept() -> None:
    edges: Any = [[("swish", 0)]]
    with pytest.raises(ValueError, match="unknown operation in recurrent node 1: 'swish'"):
        Cell("recurrent", edges, (1,))
    cell = Cell("recurrent", edges, (1,), ["swish"])
    assert cell == Cell("recurrent", edges, (1,), ["swish", "gelu"])
    with pytest.raises(ValueError, match="operations must be a list of names, got 'swish'"):
        Cell("recurrent", edges, (1,), "swish")


@pytest.mark.parametrize(("kind", "inputs"), [("normal", 2), ("reduce", 2), ("recurrent", 1)])
def test_the_first_node_comes_after_the_inputs(kind: str, inputs: int) -> None:
    cell = Cell(kind, ((Edge("none", inputs - 1),),), (inputs,))
    assert cell.num_inputs == inputs
