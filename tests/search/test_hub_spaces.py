from __future__ import annotations

import nni.nas.hub.pytorch as hub
import pytest
from hub_spaces import PAGE, SPACES, WORKS, outcome, outcomes, page
from nni.nas.nn.pytorch import ModelSpace


def test_no_space_of_the_hub_is_left_out() -> None:
    spaces = {
        member.__name__
        for member in vars(hub).values()
        if isinstance(member, type) and issubclass(member, ModelSpace)
    }
    # The last is what spaces of cells derive from.
    assert spaces == {*SPACES, "NDS"}


def test_a_small_one() -> None:
    assert outcome("NasBench201", "finite_difference") == WORKS


@pytest.mark.slow
def test_the_page_says_what_is_so() -> None:
    found = {name: outcomes(name) for name in SPACES}
    assert page(found) == PAGE.read_text(encoding="utf-8")
