"""NNI's hub of model spaces, tiny: which of them can be searched, with which hypergradient.

python tests/support/hub_spaces.py      writes docs/hub-spaces.md
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nni.nas.hub.pytorch as hub
import spaces
import torch
from nni.nas.space import model_context
from torch.utils.data import DataLoader, TensorDataset

from nni_darts import UnrolledDARTS

PAGE = Path(__file__).parents[2] / "docs" / "hub-spaces.md"
WORKS = "yes"
COLUMNS = ("finite_difference", "exact", "neumann", "first_order")

_TEXT = """\
# NNI's hub of model spaces

Each space was built as small as it goes, searched for one step with each hypergradient, and its
best network taken out as an instance: that network gives the very numbers of one that was built
from the sample and given the same weights, and each of its parameters gets a gradient. This page is
written by `python tests/support/hub_spaces.py` and held by `tests/search/test_hub_spaces.py`.

"""

Make = Callable[[], Any]
_cells = {"width": 4, "num_cells": 3, "dataset": "cifar"}
# What is made, and the height and width of its images.
SPACES: dict[str, tuple[Make, int]] = {
    "AmoebaNet": (lambda: hub.AmoebaNet(**_cells), 16),
    "AutoFormer": (
        lambda: hub.AutoFormer(
            search_embed_dim=(8, 16),
            search_mlp_ratio=(1.0, 2.0),
            search_num_heads=(2,),
            search_depth=(1, 2),
            img_size=16,
            patch_size=8,
            num_labels=spaces.CLASSES,
        ),
        16,
    ),
    "DARTS": (lambda: hub.DARTS(**_cells), 16),
    "ENAS": (lambda: hub.ENAS(**_cells), 16),
    "MobileNetV3Space": (
        lambda: hub.MobileNetV3Space(
            num_labels=spaces.CLASSES,
            base_widths=(8,) * 9,
            width_multipliers=(0.5, 1.0),
            expand_ratios=(1.0, 2.0),
        ),
        32,
    ),
    "NASNet": (lambda: hub.NASNet(**_cells), 16),
    "NasBench101": (lambda: hub.NasBench101(num_labels=spaces.CLASSES), 32),
    "NasBench201": (
        lambda: hub.NasBench201(
            num_labels=spaces.CLASSES, stem_out_channels=4, num_modules_per_stack=1
        ),
        16,
    ),
    "PNAS": (lambda: hub.PNAS(**_cells), 16),
    "ProxylessNAS": (
        lambda: hub.ProxylessNAS(num_labels=spaces.CLASSES, base_widths=(8,) * 9),
        32,
    ),
    "ShuffleNetSpace": (lambda: hub.ShuffleNetSpace(num_labels=spaces.CLASSES), 64),
}


def outcome(name: str, hypergradient: str) -> str:
    """`WORKS`, or the line that says why the space is not searched so."""
    make, size = SPACES[name]
    torch.manual_seed(0)
    x, y = torch.randn(8, 3, size, size), torch.randint(0, spaces.CLASSES, (8,))
    data = DataLoader(TensorDataset(x, y), batch_size=4)
    strategy = UnrolledDARTS(hypergradient=hypergradient, arc_learning_rate=0.1)
    try:
        spaces.search(make(), strategy, train=data, val=data, limit_train_batches=1)
    except (TypeError, ValueError) as error:
        return str(error)
    (model,) = strategy.list_models()
    instance = model.executable_model()
    with model_context(model.sample):
        rebuilt = make()
    # Parameters come in one order, but their names differ where a part was left out.
    weights = instance.state_dict().values()
    rebuilt.load_state_dict(dict(zip(rebuilt.state_dict(), weights, strict=True)))
    assert torch.equal(instance.eval()(x), rebuilt.eval()(x))
    instance.train()(x).sum().backward()
    assert [n for n, p in instance.named_parameters() if p.grad is None] == []
    return WORKS


def outcomes(name: str) -> list[str]:
    return [outcome(name, hypergradient) for hypergradient in COLUMNS]


def page(found: dict[str, list[str]]) -> str:
    heads = [f"`{hypergradient}`" for hypergradient in COLUMNS]
    rows = [["space", *heads], ["---"] * (1 + len(heads))]
    notes: dict[str, None] = {}
    for name, lines in found.items():
        short = [WORKS if line == WORKS else "no" for line in lines]
        rows.append([f"`{name}`", *short])
        notes |= {f"`{name}`: {line}.": None for line in lines if line != WORKS}
    table = "".join("| " + " | ".join(row) + " |\n" for row in rows)
    return _TEXT + table + "\nWhat is said of the others:\n\n" + "".join(f"- {n}\n" for n in notes)


if __name__ == "__main__":
    PAGE.write_text(page({name: outcomes(name) for name in SPACES}), encoding="utf-8")
