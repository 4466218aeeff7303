"""The search steps that are compared, by name; ours and NNI's run in the real trainer.

The name is whose code it is and the hypergradient. `ours` is the fused supernet, `graphs` that in
CUDA graphs, `recompute` that with cells computed again in the backward pass, `plain` the one that
is not fused. `nni` is NNI's own strategy on our space and with our recipe, `hub` the same on NNI's
hub space of DARTS. `channels_last` keeps weights and images so in memory, as fused cells always do.
What has the name of a method, such as `ours_gdas`, is first order.
"""

from __future__ import annotations

import logging
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import nni.nas.strategy
import pytorch_lightning as pl
import torch
from lockstep import Fit, Probe
from measure import Work
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.hub.pytorch import DARTS as HubSpace
from nni.nas.space import RawFormatModelSpace
from peers import NUM_CLASSES, authors, batch, pt_darts
from torch.utils.data import DataLoader

from nni_darts import UnrolledDARTS
from nni_darts.runs.evaluator import search_evaluator
from nni_darts.tasks.images.batches import as_it_is
from nni_darts.tasks.images.search_module import SearchRecipe
from nni_darts.tasks.images.settings import ImageSearch
from search_spaces import DartsCNN

HYPERGRADIENTS = {
    "second": "finite_difference",
    "exact": "exact",
    "first": "first_order",
}
_PRECISIONS = {"float32": "32-true", "tf32": "tf32", "bf16": "bf16-mixed"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "ours": {"fused": True},
    "graphs": {"fused": True, "cuda_graphs": True},
    "recompute": {"fused": True, "recompute": True},
    "plain": {"fused": False},
    "plain_channels_last": {"fused": False},
}
METHODS: dict[str, dict[str, Any]] = {
    "sigmoid": {"relaxation": "sigmoid", "regularisers": ["zero_one"]},
    "gdas": {"relaxation": {"name": "gumbel", "tau": 1.0}},
    "drnas": {"relaxation": "dirichlet"},
    "drnas_kl": {"relaxation": "dirichlet", "regularisers": ["kl"]},
    "beta_decay": {"regularisers": [{"name": "beta_decay", "weight": 1.0}]},
    "sdarts_rs": {"perturbation": {"name": "random_smoothing", "epsilon": 0.3}},
}
"""Methods by the arguments in which they differ from first-order softmax."""


def variants(work: Work) -> dict[str, Fit]:
    """All that can be had with this device and these checkouts."""
    # What they say about every training.
    for talkative in ("nni", "pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
    found: dict[str, Fit] = {}
    if work.darts_repo is not None:
        for order in ("second", "first"):
            unrolled = order == "second"
            found[f"authors_{order}"] = authors(work, work.darts_repo, unrolled=unrolled)
    if work.pt_darts_repo is not None:
        found["pt_darts_second"] = pt_darts(work, work.pt_darts_repo)
    found["nni_first"] = partial(_nni, work)
    found["hub_first"] = partial(_nni, work, hub=True)
    for whose in _OPTIONS:
        if whose == "graphs" and work.device != "cuda":
            continue
        for order, hypergradient in HYPERGRADIENTS.items():
            found[f"{whose}_{order}"] = partial(_ours, work, whose, hypergradient, {})
    for whose in ("ours", "plain"):
        for name, method in METHODS.items():
            found[f"{whose}_{name}"] = partial(_ours, work, whose, "first_order", method)
    return found


def _ours(
    work: Work, whose: str, hypergradient: str, method: dict[str, Any], probe: Probe, steps: int
) -> None:
    settings = _settings(work)
    strategy = UnrolledDARTS(
        hypergradient=hypergradient,
        arc_learning_rate=settings.arc_learning_rate,
        arc_betas=settings.arc_betas,
        arc_weight_decay=settings.arc_weight_decay,
        gradient_clip_val=settings.gradient_clip,
        **_OPTIONS[whose],
        **method,
    )
    space = _space_channels_last if whose.endswith("channels_last") else _space
    _search(work, space, strategy, probe, steps)


def _space_channels_last(work: Work) -> Any:
    return _space(work).to(memory_format=torch.channels_last)


def _nni(work: Work, probe: Probe, steps: int, *, hub: bool = False) -> None:
    strategy = nni.nas.strategy.DARTS(gradient_clip_val=_settings(work).gradient_clip)
    _search(work, _hub_space if hub else _space, strategy, probe, steps)


def _space(work: Work) -> Any:
    return DartsCNN(work.channels, work.num_cells, NUM_CLASSES)


def _hub_space(work: Work) -> Any:
    return HubSpace(width=work.channels, num_cells=work.num_cells, dataset="cifar")


def _settings(work: Work) -> ImageSearch:
    given = {"batch_size": work.batch_size, "precision": _PRECISIONS[work.precision]}
    return ImageSearch.model_validate({"epochs": 1, **given})


def _search(work: Work, space: Any, strategy: Any, probe: Probe, steps: int) -> None:
    """As `nni_darts.runs.stages.search` does it."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        evaluator = search_evaluator(
            SearchRecipe(_settings(work), NUM_CLASSES),
            _settings(work),
            _SameBatches(work, steps),
            Path(folder),
            torch.device(work.device, 0) if work.device == "cuda" else torch.device("cpu"),
            [_Probed(probe)],
            progress_bar=False,
        )
        if not isinstance(strategy, UnrolledDARTS):
            # Ours trains reproducibly at a price on a GPU; who takes NNI's own does not pay it.
            torch.use_deterministic_algorithms(False)
        strategy(RawFormatModelSpace(space(work), evaluator), SequentialExecutionEngine())


class _Probed(pl.Callback):
    """A step is what the trainer does with a batch that is on the device."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def on_train_batch_start(self, *args: Any) -> None:
        self.probe.begin()

    def on_train_batch_end(self, *args: Any) -> None:
        self.probe.end()


class _SameBatches(pl.LightningDataModule):
    """One batch for w and one for alpha, in every step."""

    num_classes = NUM_CLASSES

    def __init__(self, work: Work, steps: int) -> None:
        super().__init__()
        self.work = work
        self.steps = steps

    def train_dataloader(self) -> Any:
        return self._loader(0)

    def alpha_dataloader(self) -> Any:
        return self._loader(1)

    # What NNI's own strategy learns alpha on.
    val_dataloader = alpha_dataloader

    def _loader(self, seed: int) -> Any:
        same = [batch(self.work, seed)] * self.steps
        return DataLoader(same, batch_size=None, collate_fn=as_it_is)  # type: ignore[arg-type]
