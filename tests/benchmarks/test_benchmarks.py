"""benchmarks/: each runs at a tiny size; what they count and compare is sound."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

ROOT = Path(__file__).parents[2]
TINY = ["--channels", "2", "--num-cells", "3", "--image-size", "8", "--batch-size", "2"]
LOGGERS = ("nni", "pytorch_lightning", "lightning.pytorch")
Main = Callable[[list[str]], None]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    flags = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    torch.backends.cudnn.allow_tf32 = flags[0]
    torch.set_float32_matmul_precision(flags[1])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process of its own for each variant: importing NNI takes seconds."""
    import hypergradients
    import loader
    import methods
    import scale

    # What this process has held before may be more than any of them needs.
    growing = itertools.count(1.0)
    for module in (hypergradients, methods):
        monkeypatch.setattr(module, "peak_megabytes", lambda: next(growing))
    for module in (hypergradients, loader, methods, scale):
        monkeypatch.setattr(module, "isolated", lambda function, *args: function(*args))


# The count of kernels


def counted(run: Callable[[], Any]) -> dict[str, int]:
    from kernels import KernelCounter

    with KernelCounter() as counter:
        run()
    assert counter.total == sum(counter.by_name.values())
    return dict(counter.by_name)


@pytest.mark.parametrize("needs_grad", [False, True])
def test_counter_by_hand(needs_grad: bool) -> None:
    x = torch.randn(2, 3, 4, 4, requires_grad=needs_grad)
    w = torch.randn(5, 3, 3, 3, requires_grad=True)
    assert counted(lambda: F.relu(F.conv2d(x, w)).sum().backward()) == {
        "convolution": 1,
        "relu": 1,
        "sum": 1,
        "ones_like": 1,  # what the backward pass starts with
        "threshold_backward": 1,
        "convolution_backward": 1 + needs_grad,
    }


def test_views_and_memory_are_no_kernels() -> None:
    x = torch.randn(4, 6)
    assert counted(lambda: x.view(6, 4).t()[1:].expand(4, 3, 6).detach()) == {}
    assert counted(lambda: (torch.empty(3), x.new_empty(2), x.split(2), x.reshape(24))) == {}
    assert counted(lambda: x.t().reshape(24)) == {"clone": 1}  # must copy
    assert counted(lambda: x.relu_().add_(1)) == {"relu_": 1, "add_": 1}
    assert counted(lambda: torch._foreach_add_([x, x.clone()], 1.0)) == {
        "clone": 1,
        "_foreach_add_": 1,
    }


def test_kernels_of_the_supernet_are_the_same_every_time() -> None:
    from nni_darts import UnrolledDARTS
    from search_spaces import DartsCNN

    net = UnrolledDARTS().mutate_model(DartsCNN(2, 3))
    images = torch.randn(2, 3, 8, 8)
    first = counted(lambda: net(images).sum().backward())
    net.zero_grad()  # or the second pass would add to the gradients of the first
    assert counted(lambda: net(images).sum().backward()) == first


# In lockstep


class Recorded:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def begin(self) -> None:
        self.log.append(self.name)

    def end(self) -> None: ...


def looping(setting: bool | None = None, seen: list[Any] | None = None) -> Any:
    """A training that sets a flag of the process at its start, and looks at it in every step."""

    def fit(probe: Any, steps: int) -> None:
        if setting is not None:
            torch.backends.cudnn.benchmark = setting
        for _ in range(steps):
            probe.begin()
            if seen is not None:
                seen.append((setting, torch.backends.cudnn.benchmark))
            probe.end()
        raise AssertionError("it must rest after its last step, and never go on")

    return fit


def test_trainings_take_turns() -> None:
    from lockstep import interleaved

    log: list[str] = []
    probes = {name: Recorded(name, log) for name in "abc"}
    interleaved(dict.fromkeys("abc", looping()), probes, rounds=3, warm_up=2)
    assert "".join(log) == "aabbcc" + "abc" + "cba" + "abc"


def test_flags_of_one_training_are_not_those_of_another() -> None:
    from lockstep import interleaved

    seen: list[Any] = []
    fits = {str(on): looping(on, seen) for on in (True, False)}
    interleaved(fits, {name: Recorded(name, []) for name in fits}, rounds=3, warm_up=1)
    assert len(seen) == 8
    assert all(meant == found for meant, found in seen)
    torch.backends.cudnn.benchmark = False


def test_a_training_that_fails_or_ends_is_told_of() -> None:
    from lockstep import first_steps, interleaved

    def failing(probe: Any, steps: int) -> None:
        raise ValueError("no such thing")

    def short(probe: Any, steps: int) -> None:
        probe.begin()
        probe.end()

    probe = Recorded("", [])
    with pytest.raises(ValueError, match="no such thing"):
        interleaved({"": failing}, {"": probe}, 1, 1)
    with pytest.raises(RuntimeError, match="ended before its 2 steps"):
        interleaved({"": short}, {"": probe}, 1, 1)
    with pytest.raises(RuntimeError, match="ended before its 2 steps"):
        first_steps(short, probe, 2)


def test_no_more_steps_than_asked_for() -> None:
    from lockstep import first_steps

    log: list[str] = []
    first_steps(looping(), Recorded("a", log), 3)
    assert log == ["a"] * 3


# Tables


def test_table_and_cell() -> None:
    from measure import cell, table

    assert cell([0.5]) == "0.50"
    assert cell([3, 1, 2], 1) == "2.0 (1.0-3.0)"
    assert table([{"": "a", "s": "1.5"}, {"": "bc", "s": "2"}]).splitlines() == [
        "|    | s   |",
        "|----|-----|",
        "| a  | 1.5 |",
        "| bc | 2   |",
    ]


def test_ratios_are_of_the_same_round() -> None:
    from step import rows

    # The machine was four times slower in the second round; the ratio is 0.5 in both.
    seconds = {"nni_first": [2.0, 8.0], "plain_second": [1.0, 4.0]}
    scales = {"nni_first": {"MB": 30.0, "kernels": 9}, "plain_second": {"MB": 15.0, "kernels": 7}}
    row = rows(seconds, scales)[1]
    assert row["x nni_first"] == "0.50 (0.50-0.50)"
    assert row["MB x nni_first"] == "0.50"
    assert (row["MB"], row["kernels"]) == ("15", "7")


def test_memory_per_image() -> None:
    from scale import per_image

    assert per_image([(4, 140.0), (8, 180.0), (16, 260.0)]) == pytest.approx((10, 100))
    assert per_image([(4, 140.0), (4, 140.0)]) is None


# Each benchmark, tiny


def run(main: Main, arguments: list[str], tmp_path: Path, capsys: Any) -> tuple[str, Any]:
    """What it prints and what it writes; whatever it is, it says what it was measured on."""
    file = tmp_path / "figures.json"
    main([*arguments, "--json", str(file)])
    figures = json.loads(file.read_text())
    assert {"command", "date", "machine", "versions", "work"} <= set(figures)
    assert arguments[0] in figures["command"]
    assert figures["versions"]["torch"] in torch.__version__
    printed = capsys.readouterr().out
    assert figures["command"] in printed
    assert figures["machine"] in printed
    return printed, figures


def test_step(tmp_path: Path, capsys: Any) -> None:
    from step import main

    names = ["nni_first", "plain_second"]
    arguments = [*TINY, "--rounds", "2", "--time-only", "--variants", *names]
    printed, figures = run(main, arguments, tmp_path, capsys)
    assert {name: len(s) for name, s in figures["seconds"].items()} == dict.fromkeys(names, 2)
    assert "x nni_first" in printed


@pytest.mark.usefixtures("here")
def test_methods(tmp_path: Path, capsys: Any) -> None:
    from methods import main

    arguments = [*TINY, "--rounds", "2", "--methods", "gdas", "sdarts_rs"]
    printed, figures = run(main, arguments, tmp_path, capsys)
    names = [f"{w}_{m}" for w in ("ours", "plain") for m in ("first", "gdas", "sdarts_rs")]
    assert {name: len(s) for name, s in figures["seconds"].items()} == dict.fromkeys(names, 2)
    assert list(figures["MB"]) == names
    assert "MB x softmax" in printed
    with pytest.raises(SystemExit):
        main([*TINY, "--methods", "gda"])
    assert "no gda; there are sigmoid, gdas" in capsys.readouterr().err


def test_a_method_is_beside_softmax_of_its_sort() -> None:
    from methods import rows

    seconds = {
        "ours_first": [1.0, 2.0],
        "ours_gdas": [0.5, 1.0],
        "plain_first": [4.0, 8.0],
        "plain_gdas": [1.0, 2.0],
    }
    found = rows(seconds, dict(zip(seconds, (10.0, 4.0, 20.0, 5.0), strict=True)))
    assert [row["x softmax"][:4] for row in found] == ["1.00", "0.50", "1.00", "0.25"]
    assert [row["MB x softmax"] for row in found] == ["1.00", "0.40", "1.00", "0.25"]


def test_step_names_the_variants(capsys: Any) -> None:
    from step import main

    with pytest.raises(SystemExit):
        main([*TINY, "--variants", "nni_second"])
    assert "no nni_second here; there are nni_first, hub_first" in capsys.readouterr().err


def test_the_clock_of_the_cpu_is_for_one_thread(capsys: Any) -> None:
    from step import Stopwatch, main

    with pytest.raises(SystemExit):
        main([*TINY, "--threads", "2", "--clock", "cpu"])
    assert "with one thread only" in capsys.readouterr().err
    resting = Stopwatch("resting", "cpu", "cpu")
    working = Stopwatch("working", "cpu", "wall")
    for watch in (resting, working):
        watch.begin()
        time.sleep(0.05)
        watch.end()
    assert resting.seconds[0] < 0.05 <= working.seconds[0]


@pytest.mark.usefixtures("here")
def test_scale(tmp_path: Path, capsys: Any) -> None:
    from scale import main

    arguments = [*TINY, "--rounds", "1", "--variants", "plain_first", "--grid", "channels", "4"]
    _, figures = run(main, arguments, tmp_path, capsys)
    (result,) = figures["results"]
    assert (result["channels"], result["batch_size"], len(result["seconds"])) == (4, 2, 1)
    assert result["kernels"] > 0


def test_scale_varies_one_thing_at_a_time() -> None:
    from measure import Work
    from scale import settings

    made = settings(Work(channels=8, batch_size=4), {"channels": (4, 8), "batch_size": (4, 16)})
    assert [(w.channels, w.batch_size) for w in made] == [(4, 4), (8, 4), (8, 16)]


@pytest.mark.usefixtures("here")
def test_loader(tmp_path: Path, capsys: Any) -> None:
    from loader import main

    arguments = ["--batch-size", "2", "--images", "80", "--batches", "2", "--rounds", "1"]
    tiny = ["--channels", "2", "--num-cells", "3", "--variant", "plain_first"]
    printed, figures = run(main, [*arguments, *tiny], tmp_path, capsys)
    assert len(figures["seconds"]) == 4
    assert printed.count(" %") == 3


@pytest.mark.usefixtures("here")
def test_hypergradients(tmp_path: Path, capsys: Any) -> None:
    from hypergradients import main

    _, figures = run(main, [*TINY, "--repeats", "1"], tmp_path, capsys)
    assert set(figures["results"]) == {"first_order", "finite_difference", "exact"}


def test_precision(tmp_path: Path, capsys: Any) -> None:
    from precision import main

    _, figures = run(main, TINY, tmp_path, capsys)
    errors = figures["errors"]
    assert set(errors) == {"float32", "bf16"}
    for what, error in errors["bf16"].items():
        assert 0 < errors["float32"][what] < error


@pytest.mark.slow
def test_step_as_a_command(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    script = str(ROOT / "benchmarks/step.py")
    options = [*TINY, "--rounds", "1", "--variants", "nni_first", "hub_first", "plain_exact"]
    command = [sys.executable, script, *options, "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures = json.loads(file.read_text())
    assert all(scale["MB"] > 1 for scale in figures["scales"].values())
    assert "kernels" in done.stdout


# Checkouts of others


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/net.py").write_text("import utils\nfrom models import ops\nX = ops.Y\n")
    (tmp_path / "models/ops.py").write_text("from utils import *\nY = answer.cuda()\n")
    (tmp_path / "utils.py").write_text("answer = 7\n")
    return tmp_path


def test_a_checkout_is_imported_changed_and_apart(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from checkouts import modules

    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    files = sorted(checkout.rglob("*"))
    monkeypatch.setitem(sys.modules, "utils", json)  # someone else's
    net, utils = modules(checkout, ["models.net", "utils"], {".cuda()": " + 1"})
    assert (net.X, utils.answer) == (8, 7)
    assert sys.modules["utils"] is json
    assert not {"models", "models.net", "models.ops"} & set(sys.modules)
    assert sorted(checkout.rglob("*")) == files
    with pytest.raises(ModuleNotFoundError):
        import models.net  # noqa: F401


def test_what_is_no_checkout_is_refused(tmp_path: Path, message: Callable[..., str]) -> None:
    from checkouts import modules

    text = message(ValueError, modules, tmp_path, ["model_search"], {})
    assert text.endswith("model_search.py is missing; give the path of a checkout of the project")


@pytest.mark.parametrize(
    ("variable", "option", "variants"),
    [
        ("DARTS_REPO", "darts_repo", ["authors_second", "authors_first"]),
        ("PT_DARTS_REPO", "pt_darts_repo", ["pt_darts_second"]),
    ],
)
def test_others_run(variable: str, option: str, variants: list[str]) -> None:
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set to a checkout")
    from measure import Work
    from step import timed

    repo: Any = {option: Path(os.environ[variable])}
    work = Work(channels=2, num_cells=3, image_size=8, batch_size=2, **repo)
    assert all(len(seconds) == 1 for seconds in timed(variants, work, 1).values())
