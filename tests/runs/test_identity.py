from __future__ import annotations

from pathlib import Path

import pytest
from own_runs import RUN, relaxed

from nni_darts._common.validation import SettingsError
from nni_darts.runs.identity import of_run
from nni_darts.tasks.registry import parse_run


def test_a_relaxation_is_of_the_identity_of_a_run_if_it_is_not_the_published_one() -> None:
    plain = of_run(parse_run(RUN)).digest
    assert of_run(relaxed("softmax")).digest == plain
    assert of_run(relaxed("test_build.Uniform")).digest != plain
    # As it was when there was nothing but softmax.
    assert plain == "e631e282308dba5a"
    of_run(parse_run(RUN)).require(of_run(relaxed("softmax")).what, Path("x"))
    for one, other in (("softmax", "test_build.Uniform"), ("test_build.Uniform", "softmax")):
        with pytest.raises(SettingsError, match=r"another run \(relaxation is"):
            of_run(relaxed(one)).require(of_run(relaxed(other)).what, Path("x"))
