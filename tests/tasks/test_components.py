from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from nni_darts.tasks.components import Component, Data, Relaxation, as_given

RELAXATION: TypeAdapter[Any] = TypeAdapter(Relaxation)


@pytest.mark.parametrize("given", ["gumbel", {"name": "gumbel", "tau": 1}, "my.own.Relaxation"])
def test_a_part_is_given_back_as_it_came(given: Any) -> None:
    part = RELAXATION.validate_python(given)
    assert as_given(part) == given
    assert RELAXATION.validate_python(part) == part


def test_a_part_that_there_is_not() -> None:
    with pytest.raises(ValidationError, match=r"input should be softmax, .*did you mean 'gumbel'"):
        RELAXATION.validate_python("gumbl")


def test_arguments_of_data_are_without_its_task() -> None:
    data = Data(name="x", size=3, task="a.b.C")
    assert (data.task_class, data.arguments) == ("a.b.C", {"size": 3})
    assert Component(name="x", size=3, task="a.b.C").arguments == {"size": 3, "task": "a.b.C"}
