from __future__ import annotations

import subprocess
import sys


def test_outside_of_an_experiment_it_says_what_to_do() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "nni_darts.trial"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "nni-darts run FILE" in run.stderr
    assert "Traceback" not in run.stderr
