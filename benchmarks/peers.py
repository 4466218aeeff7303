"""The search steps of quark0/darts and khanrc/pt.darts, from a checkout, on current PyTorch.

Their networks and architects run as they are; only `.cuda()` becomes a move to the device. What
surrounds them is in scripts that cannot be imported, and written anew here: the optimisers with the
settings of theirs (all of them the paper's), the step of the weights, loss and accuracy as numbers.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkouts
import torch
from lockstep import Fit, Probe
from measure import Work
from torch import Tensor, nn

from nni_darts.tasks.images.settings import ImageSearch

PAPER = ImageSearch()
NUM_CLASSES = 10

Batch = tuple[Tensor, Tensor]


def batch(work: Work, seed: int) -> Batch:
    """Noise for images (B, 3, S, S), labels (B,)."""
    draws = torch.Generator().manual_seed(seed)
    size = (work.batch_size, 3, work.image_size, work.image_size)
    labels = torch.randint(0, NUM_CLASSES, (work.batch_size,), generator=draws)
    return torch.randn(size, generator=draws), labels


def authors(work: Work, repo: Path, *, unrolled: bool) -> Fit:
    """quark0/darts: `Architect.step`, then the weights, as in its cnn/train_search.py."""

    def fit(probe: Probe, steps: int) -> None:
        search, architects = checkouts.modules(
            repo / "cnn",
            ["model_search", "architect"],
            {".cuda()": f".to({work.device!r})"},
        )
        torch.manual_seed(0)
        criterion = nn.CrossEntropyLoss()
        net = search.Network(work.channels, NUM_CLASSES, work.num_cells, criterion).to(work.device)
        settings = Namespace(
            momentum=PAPER.momentum,
            weight_decay=PAPER.weight_decay,
            arch_learning_rate=PAPER.arc_learning_rate,
            arch_weight_decay=PAPER.arc_weight_decay,
        )
        architect = architects.Architect(net, settings)
        sgd = _sgd(net.parameters())

        def search_alpha(train: Batch, val: Batch) -> None:
            architect.step(*train, *val, PAPER.learning_rate, sgd, unrolled=unrolled)

        _train(work, search_alpha, net, list(net.parameters()), sgd, probe, steps)

    return fit


def pt_darts(work: Work, repo: Path) -> Fit:
    """khanrc/pt.darts: `Architect.unrolled_backward`, then the weights, as in its search.py."""

    def fit(probe: Probe, steps: int) -> None:
        cnn, architects = checkouts.modules(repo, ["models.search_cnn", "architect"], {})
        torch.manual_seed(0)
        controller = cnn.SearchCNNController(
            3, work.channels, NUM_CLASSES, work.num_cells, nn.CrossEntropyLoss(), device_ids=[0]
        ).to(work.device)
        architect = architects.Architect(controller, PAPER.momentum, PAPER.weight_decay)
        adam = torch.optim.Adam(
            controller.alphas(),
            PAPER.arc_learning_rate,
            PAPER.arc_betas,
            weight_decay=PAPER.arc_weight_decay,
        )
        weights = list(controller.weights())
        sgd = _sgd(weights)

        def search_alpha(train: Batch, val: Batch) -> None:
            adam.zero_grad()
            architect.unrolled_backward(*train, *val, PAPER.learning_rate, sgd)
            adam.step()

        _train(work, search_alpha, controller, weights, sgd, probe, steps)

    return fit


def _sgd(weights: Any) -> torch.optim.SGD:
    return torch.optim.SGD(
        weights, PAPER.learning_rate, PAPER.momentum, weight_decay=PAPER.weight_decay
    )


def _train(
    work: Work,
    search_alpha: Callable[[Batch, Batch], None],
    net: nn.Module,
    weights: list[nn.Parameter],
    sgd: torch.optim.SGD,
    probe: Probe,
    steps: int,
) -> None:
    # Both projects let cuDNN try out what is fastest.
    torch.backends.cudnn.benchmark = True
    train, val = (
        (images.to(work.device), labels.to(work.device))
        for images, labels in (batch(work, 0), batch(work, 1))
    )
    for _ in range(steps):
        probe.begin()
        with torch.autocast(work.device, torch.bfloat16, enabled=work.precision == "bf16"):
            search_alpha(train, val)
            sgd.zero_grad()
            logits = net(train[0])
            loss = nn.functional.cross_entropy(logits, train[1])
            loss.backward()
        nn.utils.clip_grad_norm_(weights, float(PAPER.gradient_clip or 0))
        sgd.step()
        # Both report them after every step.
        loss.item()
        (logits.argmax(1) == train[1]).float().mean().item()
        probe.end()
