"""Progressive searches with evaluators of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nni.nas.evaluator.pytorch import Lightning
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.nn.pytorch import ModelSpace
from nni.nas.space import RawFormatModelSpace

from nni_darts.search.progressive import Kept, Progressive, SearchStage, edges_in
from nni_darts.search.strategy import UnrolledDARTS

__all__ = ["left_by", "progressive_search", "require"]


def progressive_search(
    method: Progressive,
    space: Callable[..., ModelSpace],
    evaluator: Callable[[SearchStage], Lightning],
    strategy: Callable[..., UnrolledDARTS] = UnrolledDARTS,
) -> UnrolledDARTS:
    """Search stage by stage; returns the last stage's strategy, whose `top_k` has the result.

    Each stage is made anew::

        progressive_search(
            PDarts(cells=(5, 11, 17)),
            functools.partial(DartsCNN, channels=16),
            lambda stage: Lightning(Recipe(), Trainer(max_epochs=stage.epochs), datamodule=data()),
            functools.partial(UnrolledDARTS, hypergradient="first_order"),
        )

    Args:
        method: `nni_darts.search.pdarts.PDarts`, or one of your own.
        space: makes the space, given the arguments that the stage sets, such as `num_cells` and
            `primitives`.
        evaluator: makes the evaluator of a stage, with a new trainer of as many epochs and a
            new training module.
        strategy: makes the strategy, given the arguments that the stage sets, such as
            `warmup_epochs` and `selection`.

    Raises:
        ValueError: the space cannot be searched so; nothing was trained.
    """
    kept: Kept | None = None
    for number in range(method.num_stages):
        stage = method.stage(number, kept)
        made = space(**stage.space)
        if number == 0:
            require(method, made)
        found = strategy(**stage.strategy)
        found(RawFormatModelSpace(made, evaluator(stage)), SequentialExecutionEngine())
        if number + 1 < method.num_stages:
            kept = left_by(method, number, found)
    return found


def require(method: Progressive, space: ModelSpace) -> None:
    """Raise ValueError, in one line, for a space that cannot be searched so."""
    edges = edges_in(space.simplify())
    if not edges:
        raise ValueError(
            f"{type(space).__name__} has no edges of cells, with labels like normal_2_0, whose "
            "operations a progressive search could cut"
        )
    method.require({label: list(choice.values) for label, choice in edges.items()})


def left_by(method: Progressive, number: int, strategy: UnrolledDARTS) -> Kept:
    """Operations that a stage leaves after its search."""
    probabilities: dict[str, Any] = strategy.oneshot_module.export_probs()
    return method.kept(number, edges_in(probabilities))
