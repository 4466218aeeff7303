"""How far each precision is from float64: one step of the supernet at its start.

    python benchmarks/precision.py [--channels 8] [--num-cells 4] [--batch-size 32] [--device cuda]

Relative errors (2-norm over all entries) of the logits, of the weights' gradient and of the
hypergradients, at the same weights, alphas and batches. TF32 is there on a GPU alone.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import Work, command, report

HYPER = ("first_order", "finite_difference", "exact")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    Work.arguments(
        parser,
        *("channels", "num_cells", "batch_size", "image_size", "threads", "device"),
        channels=8,
        num_cells=4,
        batch_size=32,
    )
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    options = parser.parse_args(arguments)
    work = Work.of(options)
    errors = measured(work)
    rows = [
        {"": precision, **{what: f"{error:.1e}" for what, error in found.items()}}
        for precision, found in errors.items()
    ]
    made = command("precision", arguments)
    report(rows, {"work": vars(work), "errors": errors}, work.device, made, options.json)


def measured(work: Work) -> dict[str, dict[str, float]]:
    """Relative errors by precision."""
    work.prepare()
    import torch
    from peers import batch

    from nni_darts import UnrolledDARTS
    from search_spaces import DartsCNN

    torch.manual_seed(0)
    start = UnrolledDARTS().mutate_model(DartsCNN(work.channels, work.num_cells)).to(work.device)
    batches = [batch(work, i) for i in range(2)]
    exact = numbers(start, batches, torch.float64, autocast=False)
    errors = {}
    for precision in ("float32", *(["tf32"] if work.device == "cuda" else []), "bf16"):
        tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = tf32
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        found = numbers(start, batches, torch.float32, autocast=precision == "bf16")
        errors[precision] = {
            what: ((value.double() - exact[what]).norm() / exact[what].norm()).item()
            for what, value in found.items()
        }
    return errors


def numbers(start: Any, batches: Sequence[Any], dtype: Any, *, autocast: bool) -> dict[str, Any]:
    """Logits and gradients, each as one vector."""
    import torch
    from torch import nn

    from nni_darts.search.bilevel_step import BilevelStep
    from nni_darts.search.parts import HYPERGRADIENTS

    net = copy.deepcopy(start).to(dtype)
    named = dict(net.named_parameters())
    alphas = [p for n, p in named.items() if n.endswith("_arch_alpha")]
    weights = [p for n, p in named.items() if not n.endswith("_arch_alpha")]
    sgd = torch.optim.SGD(weights, 0.025, 0.9, weight_decay=3e-4)

    def logits(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=autocast):
            found: torch.Tensor = net(images.to(dtype))
        return found

    def loss(which: int) -> torch.Tensor:
        images, labels = batches[which]
        return nn.functional.cross_entropy(logits(images).to(dtype), labels)

    def joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([t.detach().flatten() for t in tensors])

    step = BilevelStep(lambda: loss(0), lambda: loss(1), weights, alphas, sgd, [net])
    return {
        "logits": logits(batches[0][0]).detach().flatten(),
        "weights' gradient": joined(torch.autograd.grad(loss(0), weights)),
        **{name: joined(HYPERGRADIENTS[name]()(step)) for name in HYPER},
    }


if __name__ == "__main__":
    main(sys.argv[1:])
