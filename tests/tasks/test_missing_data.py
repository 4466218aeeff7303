from __future__ import annotations

from nni_darts.tasks.missing_data import MissingDataError


def test_missing_data_is_a_mistake_of_the_users() -> None:
    assert issubclass(MissingDataError, ValueError)
