from __future__ import annotations

import subprocess
import sys

import pytest

from nni_darts.cli.main import main
from nni_darts.search.variants import VARIANTS


def test_a_line_for_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["variants"]) == 0
    head, *lines, _ = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "method"
    assert len(lines) == len(VARIANTS)
    (robust,) = (line for line in lines if line.startswith("Robust-DARTS"))
    assert robust.split()[-3:] == ["-", "1909.09656", "robust_darts_cifar10.yml"]
    (darts,) = (line for line in lines if line.startswith("DARTS  "))
    assert " 2.3  1806.09055  darts_cifar10.yml, " in darts


def test_it_starts_fast() -> None:
    code = (
        "import sys; from nni_darts.cli.main import main; main(['variants']); "
        "sys.exit('torch' in sys.modules or 'nni' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
