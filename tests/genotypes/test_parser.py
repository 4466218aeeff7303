from __future__ import annotations

import pytest

from nni_darts.genotypes.genotype import Genotype


@pytest.mark.parametrize(
    "text",
    [
        "Genotype(normal=open('{path}', 'w').close(), normal_concat=[2])",
        "__import__('pathlib').Path('{path}').touch()",
        "Genotype(normal=[(__import__('pathlib').Path('{path}').touch(), 0)], normal_concat=[2])",
        "A = [open('{path}', 'w')]",
        "Genotype(**open('{path}', 'w'))",
    ],
)
def test_trap_21_text_is_never_executed(text, tmp_path):
    trace = tmp_path / "executed"
    with pytest.raises(ValueError, match="not a genotype"):
        Genotype.parse(text.replace("{path}", trace.as_posix()))
    assert not trace.exists()
