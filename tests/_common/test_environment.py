from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from nni_darts._common import environment

REQUIRED = ["pydantic", "torch", "pytorch_lightning"]


def test_what_is_said() -> None:
    text = environment.lacking(ModuleNotFoundError("x", name="yaml.nodes"))
    assert text is not None
    assert f"{sys.executable}, version {platform.python_version()}" in text
    assert "lacks yaml.nodes" in text
    assert f"{sys.executable} -m pip install 'PyYAML'" in text
    assert environment.lacking(ModuleNotFoundError("x", name="mypkg")) is None


def test_what_is_not_ours_is_raised() -> None:
    with pytest.raises(ModuleNotFoundError, match="mypkg"):
        environment.unable(ModuleNotFoundError("no mypkg", name="mypkg"))


def test_all_that_is_required_has_a_name() -> None:
    setup = (Path(__file__).parents[2] / "setup.cfg").read_text()
    wanted = setup.partition("install_requires =")[2].partition("[")[0]
    lines = [line.strip() for line in wanted.splitlines()]
    packages = {line.partition(">")[0].partition("<")[0] for line in lines if line[:1] not in "#"}
    assert packages - {"", "setuptools"} == set(environment.PACKAGES.values())


@pytest.mark.parametrize("module", REQUIRED)
def test_a_trial_says_what_its_python_lacks(module: str, tmp_path: Path) -> None:
    """The module is hidden from the trial; it gets its parameters as NNI's standalone mode."""
    (tmp_path / "hidden.py").write_text(
        f"""
import runpy, sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
import nni
nni.trial._params = {{"parameter_id": 0, "parameters": {{
    "stage": "search", "seed": 0, "space": {{"name": "DartsCNN"}}, "data": {{"name": "digits"}}}}}}
nni.get_next_parameter = lambda: nni.trial._params["parameters"]
import nni.runtime.trial_command_channel as channel
class Channel:
    def send_metric(self, kind, parameter, trial, sequence, value):
        print("sent", kind, value)
channel.get_default_trial_command_channel = Channel
runpy.run_module("nni_darts.trial", run_name="__main__")
"""
    )
    run = subprocess.run(
        [sys.executable, str(tmp_path / "hidden.py")],
        env={**os.environ, "NNI_OUTPUT_DIR": str(tmp_path / "env" / "trials" / "a")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    line = run.stderr.splitlines()[-1]
    assert line.startswith(f"error: this Python, {sys.executable}, version ")
    assert f"lacks {module}" in line
    # The tuner hears of it.
    assert f"sent PERIODICAL {{{environment.UNABLE!r}: " in run.stdout
    assert environment.last_words(run.stderr) == line.removeprefix("error: ")


@pytest.mark.parametrize("command", ["-m nni_darts.trial", "-c 'import nni_darts.trial'"])
def test_a_python_without_us(command: str, tmp_path: Path) -> None:
    """As it stands in the standard error of a local trial, of which the tuner hears nothing."""
    python = f"exec {sys.executable} -I -S {command} 2>&1"
    run = subprocess.run(["sh", "-c", python], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    said = environment.last_words(run.stdout)
    if command.startswith("-m"):
        assert said is not None
        assert f"the trial's Python, {sys.executable}, lacks nni-darts; install it there" in said
    else:  # a traceback of something else
        assert said is None
