from __future__ import annotations

import pytest

from nni_darts.genotypes.cell import PRIMITIVES, Cell
from nni_darts.pictures.cell_graph import candidates, graph_of
from nni_darts.pictures.cell_layout import LABEL_SIZE, LINE, WIDEST, Estimate, label_room, placed


class Typewriter:
    """Every letter is 4 points wide; a name takes 100."""

    def name(self, name: str) -> float:
        return 100.0

    def line(self, text: str) -> float:
        return 4.0 * len(text)


WIDE = Typewriter()


def test_a_label_has_room_for_its_widest_line_and_for_all_lines() -> None:
    assert label_room("identity", WIDE) == (4 * 8 + 5, LABEL_SIZE * LINE + 5)
    assert label_room("sep_conv_3x3", WIDE) == (4 * 8 + 5, 2 * LABEL_SIZE * LINE + 5)


@pytest.mark.parametrize("operation", PRIMITIVES)
def test_no_label_of_the_papers_needs_more_room_than_is_kept(operation: str) -> None:
    room, kept = (label_room(name, Estimate()) for name in (operation, WIDEST))
    assert room[0] <= kept[0]
    assert room[1] <= kept[1]


def test_marks_of_formulas_take_no_room() -> None:
    assert Estimate().name("a_b") == Estimate().name("ab")
    assert Estimate().line("a_b") > Estimate().line("ab")


def test_room_is_kept_for_operations_that_are_still_to_come() -> None:
    graph = candidates("normal", 2)
    least, most = (placed(graph, WIDE, (side, 9.0)) for side in (10.0, 60.0))
    assert {(label.width, label.height) for label in most.labels if label} == {(60.0, 9.0)}
    assert most.width > least.width
    # Without a word on it, that of the widest.
    assert placed(graph, WIDE) == placed(graph, WIDE, label_room(WIDEST, WIDE))


def test_boxes_are_as_wide_as_names_and_as_high_as_their_arrows() -> None:
    nodes = [[("skip_connect", 0), ("skip_connect", 1)], [("skip_connect", 0)]]
    few = placed(graph_of(Cell("normal", nodes, [2, 3])), WIDE)
    assert {box.width for box in few.boxes} == {111.0}
    assert {box.height for box in few.boxes} == {22.0}
    many = placed(candidates("normal", 7), WIDE)
    # Seven arrows lead to the output, and 5 points are for each; as many to the sixth node.
    assert many.boxes[-1].height == 35.0
