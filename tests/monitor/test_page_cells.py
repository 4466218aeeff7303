from __future__ import annotations

import json
from typing import Any

import pytest
from layouts import require_clear

from nni_darts.genotypes.cell import KINDS, PRIMITIVES, RNN_PRIMITIVES
from nni_darts.monitor.page_cells import layout_of
from nni_darts.pictures.layered_layout import Layout, Rectangle


def edges(kind: str, num_nodes: int) -> list[tuple[int, int]]:
    first = KINDS[kind].num_inputs
    return [(node, source) for node in range(first, first + num_nodes) for source in range(node)]


def read(values: dict[str, Any]) -> tuple[Layout, list[tuple[int, int]]]:
    """What the page draws, and the boxes at the ends of each link."""
    boxes = [Rectangle(*box[3:]) for box in values["boxes"]]
    room = [max(label[i] for label in values["labels"]) for i in (1, 2)]
    labels, routes, ends = [], [], []
    for _, points, *at in values["links"]:
        route = list(zip(points[::2], points[1::2], strict=True))
        labels.append(Rectangle(*at, *room) if at else None)
        (first,) = [i for i, box in enumerate(boxes) if touches(box.right, box, route[0])]
        (last,) = [i for i, box in enumerate(boxes) if touches(box.left, box, route[-1])]
        ends.append((first, last))
        # Rounded for the page; what is asked of a layout is exact.
        route[0] = (boxes[first].right, route[0][1])
        route[-1] = (boxes[last].left, route[-1][1])
        routes.append(route)
    width, height = values["width"] + 0.1, values["height"] + 0.1
    return Layout(width, height, boxes, labels, routes), ends


def touches(side: float, box: Rectangle, point: tuple[float, float]) -> bool:
    return abs(side - point[0]) < 0.2 and abs(box.y - point[1]) < box.height / 2


@pytest.mark.parametrize(
    ("kind", "num_nodes", "operations"),
    [
        ("normal", 4, PRIMITIVES),
        ("reduce", 2, PRIMITIVES),
        ("normal", 6, [*PRIMITIVES, "an_operation_of_a_user_that_has_a_long_name"]),
        ("recurrent", 8, RNN_PRIMITIVES),
        ("recurrent", 3, ["none", "x"]),
    ],
)
def test_nothing_covers_anything(kind: str, num_nodes: int, operations: list[str]) -> None:
    every = edges(kind, num_nodes)
    values = layout_of(kind, every, operations)
    assert values is not None
    layout, ends = read(values)
    require_clear(layout, ends)
    placed = [link[0] for link in values["links"] if link[0] >= 0]
    assert sorted(placed) == list(range(len(every)))
    # From the source of the edge into its node.
    first = KINDS[kind].num_inputs
    names = [box[0] if box[0] in "xhc" else int(box[0]) for box in values["boxes"]]
    for (edge, *_), (start, end) in zip(values["links"], ends, strict=True):
        if edge >= 0:
            node, source = every[edge]
            shift = 0 if first == 1 else first
            assert names[end] == node - shift
            assert source < shift or names[start] == source - shift
    assert json.loads(json.dumps(values)) == values


def test_the_boxes_are_named_as_the_paper_does() -> None:
    values = layout_of("normal", edges("normal", 2), PRIMITIVES)
    assert values is not None
    assert [box[:3] for box in values["boxes"]] == [
        ["c", "k-2", "input"],
        ["c", "k-1", "input"],
        ["0", "", "node"],
        ["1", "", "node"],
        ["c", "k", "output"],
    ]
    assert [lines for lines, *_ in values["labels"]][1] == ["max_pool", "3x3"]


def test_edges_without_weights_are_not_drawn_but_keep_their_room() -> None:
    every = edges("normal", 4)
    whole, part = (layout_of("normal", e, PRIMITIVES) for e in (every, every[:4] + every[5:]))
    assert whole is not None
    assert part is not None
    assert whole["boxes"] == part["boxes"]
    assert len(whole["links"]) == len(part["links"]) + 1


def test_a_cell_that_is_too_large_has_no_layout() -> None:
    assert layout_of("normal", [(99, 0)], ["relu"]) is None


def test_names_are_clipped_and_printable() -> None:
    values = layout_of("normal", edges("normal", 1), ["x" * 999, "a\x1b\u202eb"])
    assert values is not None
    for lines, *_ in values["labels"]:
        assert all(line.isprintable() and len(line) < 40 for line in lines)
    assert values["width"] < 500
