from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import spaces
import torch
from nni.nas.evaluator.pytorch import Classification, DataLoader
from nni.nas.experiment import NasExperiment
from nni.nas.hub.pytorch import DARTS as HubDARTS
from torch.utils.data import TensorDataset

from nni_darts import UnrolledDARTS
from search_spaces import DartsCNN, DartsNetwork

ALL_SPACES: dict[str, Callable[[], Any]] = {
    **spaces.SPACES,
    "ours": lambda: DartsCNN(4, 3, spaces.CLASSES),
    "hub": lambda: HubDARTS(width=4, num_cells=3, dataset="cifar"),
}


@pytest.mark.parametrize("name", ALL_SPACES)
def test_each_hypergradient_gives_other_alphas_on_every_space(name: str) -> None:
    found = {}
    for hypergradient in ("first_order", "finite_difference", "exact"):
        torch.manual_seed(0)
        # SGD on alpha would show the gradients themselves; Adam's first steps show their signs
        # and then their sizes, so a few steps are needed.
        strategy = UnrolledDARTS(hypergradient=hypergradient, arc_learning_rate=0.1)
        spaces.search(ALL_SPACES[name](), strategy, max_epochs=2)
        found[hypergradient] = spaces.alphas(strategy)
        assert torch.isfinite(found[hypergradient]).all()
        assert found[hypergradient].abs().max() > 0.01
    assert not torch.equal(found["first_order"], found["finite_difference"])
    assert not torch.equal(found["first_order"], found["exact"])
    assert not torch.equal(found["finite_difference"], found["exact"])


def test_the_virtual_step_is_clipped_where_asked() -> None:
    found = []
    for clip in (None, 1e6, 1e-3):
        torch.manual_seed(0)
        strategy = UnrolledDARTS(arc_learning_rate=0.1, virtual_clip=clip)
        spaces.search(spaces.Plain(), strategy, max_epochs=2)
        found.append(spaces.alphas(strategy))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("name", ALL_SPACES)
def test_the_best_models_can_be_built_and_run(name: str) -> None:
    strategy = spaces.search(ALL_SPACES[name]())
    models = list(strategy.list_models(limit=3))
    assert len(models) == 3
    assert len({str(sorted(model.sample.items(), key=str)) for model in models}) == 3
    labels = strategy.supernet.simplify().keys()
    for model in models:
        assert labels <= model.sample.keys()
        network = model.executable_model().eval()
        assert network(torch.randn(2, 3, 8, 8)).shape[0] == 2


@pytest.mark.parametrize("name", ["plain", "repeat", "value", "cell"])
def test_each_network_has_weights_of_its_own(name: str) -> None:
    strategy = spaces.search(ALL_SPACES[name]())
    networks = [model.executable_model() for model in strategy.list_models(limit=2)]
    owners = [strategy.supernet, *networks]
    weights = [parameter.data_ptr() for net in owners for parameter in net.parameters()]
    assert len(weights) == len(set(weights))


def test_an_nni_experiment_from_start_to_end(home: Any) -> None:
    x, y = torch.randn(32, 3, 8, 8), torch.randint(0, 4, (32,))
    evaluator = Classification(
        num_classes=4,
        optimizer=torch.optim.SGD,
        learning_rate=0.05,
        train_dataloaders=DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True),
        val_dataloaders=DataLoader(TensorDataset(x, y), batch_size=8),
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    strategy = UnrolledDARTS(arc_learning_rate=0.1)
    experiment = NasExperiment(DartsCNN(4, 3, 4), evaluator, strategy)
    experiment.run()
    experiment.stop()
    samples = experiment.export_top_models(top_k=2, formatter="dict")
    networks = experiment.export_top_models(top_k=2, formatter="instance")
    assert samples[0] != samples[1]
    assert all(isinstance(network, DartsNetwork) for network in networks)
    assert networks[0].eval()(x[:2]).shape == (2, 4)
    assert "val_acc" in evaluator.trainer.callback_metrics


@pytest.mark.parametrize("name", ["finite_difference", "exact"])
def test_adam_as_weight_optimiser(name: str) -> None:
    found = []
    for hypergradient in (name, "first_order"):
        torch.manual_seed(0)
        strategy = UnrolledDARTS(hypergradient=hypergradient, arc_learning_rate=0.1)
        recipe = spaces.Recipe(lr=0.01, optimizer=torch.optim.Adam)
        spaces.search(spaces.Plain(), strategy, module=recipe, max_epochs=2)
        found.append(spaces.alphas(strategy))
    assert torch.isfinite(found[0]).all()
    assert not torch.equal(found[0], found[1])


def test_other_weight_optimisers_are_refused_before_training() -> None:
    recipe = spaces.Recipe(optimizer=torch.optim.RMSprop)
    with pytest.raises(TypeError, match="weight optimiser RMSprop"):
        spaces.search(spaces.Plain(), module=recipe)
    strategy = UnrolledDARTS(hypergradient="first_order")
    spaces.search(spaces.Plain(), strategy, module=recipe)


def test_bf16_autocast() -> None:
    strategy = spaces.search(spaces.Plain(), precision="bf16-mixed", max_epochs=2)
    assert torch.isfinite(spaces.alphas(strategy)).all()
    assert spaces.alphas(strategy).abs().max() > 0.01


@pytest.mark.parametrize("precision", ["16-true", "bf16-true"])
def test_half_precision_is_refused(precision: str) -> None:
    with pytest.raises(ValueError, match=rf"'{precision}'.* choose 'bf16-mixed' or '32-true'"):
        spaces.search(spaces.Plain(), precision=precision)


def test_weights_in_half_precision_are_refused() -> None:
    space = spaces.Plain()
    space.head.to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"got .*head.weight in torch.bfloat16"):
        spaces.search(space)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"hypergradient": "finite_diference"}, "did you mean 'finite_difference'"),
        ({"arc_learning_rate": 0.0}, "arc_learning_rate must be positive, got 0.0"),
        ({"arc_weight_decay": -1.0}, "arc_weight_decay must be at least 0, got -1.0"),
        ({"warmup_epochs": -1}, "warmup_epochs must be at least 0, got -1"),
        ({"gradient_clip_val": 0.0}, "gradient_clip_val must be positive, or None .* got 0.0"),
        ({"virtual_clip": 0.0}, "virtual_clip must be positive, or None .* got 0.0"),
        ({"virtual_clip": 0.25, "hypergradient": "first_order"}, "leave virtual_clip out"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        UnrolledDARTS(**arguments)


def test_its_arguments_are_shown() -> None:
    shown = repr(UnrolledDARTS(hypergradient="exact", arc_betas=(0.9, 0.99)))
    assert shown.startswith("UnrolledDARTS(hypergradient='exact', fused=True, ")
    assert eval(shown).arc_betas == (0.9, 0.99)
    assert repr(eval(shown)) == shown


def test_bad_limits() -> None:
    strategy = spaces.search(spaces.Plain())
    with pytest.raises(ValueError, match="at least one architecture"):
        list(strategy.list_models(limit=0))
    with pytest.raises(ValueError, match="sort"):
        list(strategy.list_models(sort=False))
    assert len(list(strategy.list_models(limit=None))) == 1
    assert len(list(strategy.list_models(limit=100))) == 8


ORDER = """
import warnings; warnings.filterwarnings("ignore")
import sys; sys.path.insert(0, "tests/support")
import spaces, torch
from nni_darts import UnrolledDARTS
strategy = UnrolledDARTS()
spaces.start(spaces.{space}(), strategy, spaces.evaluator())
module = strategy.oneshot_module
module.set_model(strategy.supernet)
names = {{id(p): n for n, p in module.named_parameters()}}
print([names[id(p)] for p in module.arch_parameters()])
"""


@pytest.mark.parametrize("space", ["Repeated", "NniCell"])
def test_alphas_come_in_one_order_in_every_process(space: str) -> None:
    # Trap 26: NNI's list(set(...)) differs from process to process.
    printed = {
        subprocess.run(
            [sys.executable, "-c", ORDER.format(space=space)],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": str(seed), "PATH": "", "HOME": "/tmp"},
        ).stdout.splitlines()[-1]
        for seed in (1, 2)
    }
    assert len(printed) == 1
    assert "_arch_alpha" in printed.pop()
