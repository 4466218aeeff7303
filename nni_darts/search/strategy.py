"""UnrolledDARTS: the one-shot strategy of NNI with the second-order architect."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nni.nas.nn.pytorch import ModelSpace
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedCell
from nni.nas.space import RawFormatModelSpace
from nni.nas.strategy import DARTS

from nni_darts._common import limits
from nni_darts._common.checks import (
    CLIP,
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITY,
    instance,
    number,
    several,
    size,
    truth,
)
from nni_darts._common.messages import shown
from nni_darts._common.schedule import Schedule
from nni_darts.search.eigenvalue import Eigenvalue
from nni_darts.search.hypergradient import Hypergradient, Unrolled
from nni_darts.search.loader import BilevelLoader, only, shuffled
from nni_darts.search.method import Method
from nni_darts.search.module import UnrolledDartsModule
from nni_darts.search.parts import (
    HYPERGRADIENTS,
    PERTURBATIONS,
    REGULARISERS,
    RELAXATIONS,
    SELECTIONS,
)
from nni_darts.search.penalties import penalty_of
from nni_darts.search.perturbation import Perturbation
from nni_darts.search.regulariser import Regulariser
from nni_darts.search.selection import Selection
from nni_darts.search.skip_dropout import SkipDropout
from nni_darts.supernet import mixed_operations
from nni_darts.supernet.drawn import run_drawn_only
from nni_darts.supernet.fused.fuse import fuse
from nni_darts.supernet.mixed import Ranked
from nni_darts.supernet.mixture import relax
from nni_darts.supernet.nni_cell import MixedCell
from nni_darts.supernet.nodes import recompute
from nni_darts.supernet.relaxable import refuse_dangling, require_categorical, require_decided
from nni_darts.supernet.relaxation import OneHot, Relaxation


class UnrolledDARTS(DARTS):
    """DARTS with the unrolled architect (Liu et al., arXiv 1806.09055), for NNI's model spaces.

    It takes spaces whose choices are in NNI's `LayerChoice`, `InputChoice`, `Repeat`, `Cell` and
    mutable operations, or in nodes of ours; it refuses others before anything is trained.

    In every step the architect first moves alpha along the gradient of the validation loss after
    one virtual step of the weights, then the weights are trained at the new alpha. It works with
    every Lightning evaluator whose `training_step` returns a loss, in float32, float64 or with bf16
    autocast, on one device. Unrolled, the evaluator must train its weights with `torch.optim.SGD`,
    as published, or with its `Adam` or `AdamW`.

    The evaluator's validation data is what alpha is learnt on, reshuffled each epoch if it comes in
    fixed order; a data module may bring a method `alpha_dataloader` to give other batches of it
    (augmented ones, say). It also serves for a validation metric each epoch.

    Args:
        hypergradient: "finite_difference" (the published algorithm), "exact" (double backward: more
            memory, and not disturbed by the kinks of ReLU and max pooling), "first_order" or
            "neumann" (implicit differentiation); or one of these with its options, as in
            {"name": "neumann", "terms": 5}, a class of yours as "package.module.Class", or an
            object, as `Neumann(terms=5)`.
        fused: run the edges of a cell together: the same results to rounding, several times faster,
            from the same parameters. It takes cells whose nodes are in
            `nni_darts.supernet.nodes.Nodes`, as those of `search_spaces`; other cells, and
            operations that it does not know, run as they are. Without, every operation runs by
            itself.
        recompute: drop what is computed inside cells and compute it again in the backward pass:
            less memory for more time. The space must have such cells.
        relaxation: how alphas become mixing weights: "softmax" (the published one), "sigmoid",
            "gumbel", "dirichlet", or a class of yours or an object, given as a hypergradient is.
            What it draws is mixed with only: architectures are ranked and reported by its
            probabilities.
        regularisers: terms in alpha that are added to the validation loss, a list: each by name
            ("beta_decay", "kl", "l2", "zero_one"), with its options, a class of yours or an object.
        perturbation: what a step of the weights sees in place of the mixing weights:
            "random_smoothing" or "adversarial", with or without its options, a class of yours or an
            object; None for the mixing weights themselves.
        selection: how architectures are ranked: "strongest" (the most probable ones),
            "perturbation" (what the supernet misses most, decided in further epochs), "subnets"
            (drawn ones that validate best), "skip_limit" (those of few skip connections), with or
            without options, a class of yours or an object.
        skip_dropout: rate of dropout after the skip connections of the supernet that have no
            weights, in [0, 1): a number, [start, end] for one that changes with the epochs, or a
            schedule.
        eigenvalue: how the largest eigenvalue of the Hessian of the validation loss in alpha is
            measured at the end of an epoch (`nni_darts.search.eigenvalue.Eigenvalue`), and logged
            as `eigenvalue`; None for never.
        arc_learning_rate: learning rate of alpha's Adam, positive.
        arc_betas: betas of alpha's Adam.
        arc_weight_decay: weight decay of alpha's Adam.
        gradient_clip_val: norm that the weights' gradient is clipped to, None for no clipping.
        virtual_clip: norm that the gradient of the virtual step is clipped to, None for no
            clipping, as the reference has it for convolutional cells; for recurrent ones it has
            that of `gradient_clip_val`. Not with "first_order"; an object has its own.
        log_prob_every_n_step: log all mixing weights every so many steps, None for never.
        warmup_epochs: epochs at the start in which alpha rests.
        penalty: NNI's `ExpectationProfilerPenalty`, or its arguments; unlike in NNI's own strategy
            its gradient reaches alpha.
        mutation_hooks: NNI's hooks for primitives of your own.
        cuda_graphs: capture the step once and launch it as a whole afterwards; where that cannot
            be, the steps run as usual and a line says why. What Python does in `training_step`
            besides logging tensors and counting torchmetrics is then done at the capture only.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        hypergradient: str | Mapping[str, Any] | Hypergradient = "finite_difference",
        fused: bool = True,
        recompute: bool = False,
        relaxation: str | Mapping[str, Any] | Relaxation = "softmax",
        regularisers: Sequence[str | Mapping[str, Any] | Regulariser] = (),
        perturbation: str | Mapping[str, Any] | Perturbation | None = None,
        selection: str | Mapping[str, Any] | Selection = "strongest",
        skip_dropout: float | Sequence[float] | Schedule = 0.0,
        eigenvalue: Eigenvalue | None = None,
        arc_learning_rate: float = 3.0e-4,
        arc_betas: tuple[float, float] = (0.5, 0.999),
        arc_weight_decay: float = 1.0e-3,
        gradient_clip_val: float | None = None,
        virtual_clip: float | None = None,
        log_prob_every_n_step: int | None = None,
        warmup_epochs: int = 0,
        penalty: Any = None,
        mutation_hooks: list[Any] | None = None,
        cuda_graphs: bool = False,
    ) -> None:
        architect = HYPERGRADIENTS.make(hypergradient)
        mixing = RELAXATIONS.make(relaxation)
        rule = SELECTIONS.make(selection)
        terms = REGULARISERS.make_all("regularisers", regularisers)
        for term in terms:
            term.require(mixing)
        smoothing = None if perturbation is None else PERTURBATIONS.make(perturbation)
        dropout = SkipDropout(skip_dropout)  # type: ignore[arg-type]
        if eigenvalue is not None:
            instance("eigenvalue", eigenvalue, Eigenvalue, "an Eigenvalue, or None")
        if gradient_clip_val is not None:
            gradient_clip_val = number("gradient_clip_val", gradient_clip_val, CLIP)
        if virtual_clip is not None:
            virtual_clip = number("virtual_clip", virtual_clip, CLIP)
            architect = _clipped(architect, hypergradient, virtual_clip)
        if log_prob_every_n_step is not None:
            name = "log_prob_every_n_step"
            log_prob_every_n_step = size(name, log_prob_every_n_step, 1, limits.STEPS)
        arc_learning_rate = number("arc_learning_rate", arc_learning_rate, POSITIVE)
        arc_weight_decay = number("arc_weight_decay", arc_weight_decay, NOT_NEGATIVE)
        arc_betas = _betas(arc_betas)
        warmup_epochs = size("warmup_epochs", warmup_epochs, 0, limits.EPOCHS)
        fused, recompute = truth("fused", fused), truth("recompute", recompute)
        cuda_graphs = truth("cuda_graphs", cuda_graphs)
        if mutation_hooks is not None:
            mutation_hooks = _hooks(mutation_hooks)
        penalty = penalty_of(penalty)
        super().__init__(
            arc_learning_rate=arc_learning_rate,
            gradient_clip_val=gradient_clip_val,
            log_prob_every_n_step=log_prob_every_n_step,  # type: ignore[arg-type]
            warmup_epochs=warmup_epochs,
            penalty=penalty,
            mutation_hooks=mutation_hooks,
        )
        self.hypergradient = hypergradient
        self.fused = fused
        self.recompute = recompute
        self.virtual_clip = virtual_clip
        self.architect = architect
        self.relaxation = relaxation
        self.mixing = mixing
        self.regularisers = regularisers
        self.terms = terms
        self.perturbation = perturbation
        self.smoothing = smoothing
        self.selection = selection
        self.rule = rule
        self.skip_dropout = skip_dropout
        self.dropout = dropout if dropout.drops else None
        self.eigenvalue = eigenvalue
        self.arc_betas = arc_betas
        self.arc_weight_decay = arc_weight_decay
        self.cuda_graphs = cuda_graphs
        self._alpha_dataloader: Any = None

    def extra_repr(self) -> str:
        own = inspect.signature(UnrolledDARTS).parameters
        values = {**vars(self), "mutation_hooks": self.extra_mutation_hooks}
        return ", ".join(f"{name}={values[name]!r}" for name in own)

    def configure_oneshot_module(self, training_module: Any) -> UnrolledDartsModule:
        return UnrolledDartsModule(
            training_module,
            hypergradient=self.architect,
            arc_learning_rate=self.arc_learning_rate,
            arc_betas=self.arc_betas,
            arc_weight_decay=self.arc_weight_decay,
            method=Method(self.terms, self.smoothing, self.dropout),
            selection=self.rule,
            eigenvalue=self.eigenvalue,
            cuda_graphs=self.cuda_graphs,
            gradient_clip_val=self.gradient_clip_val,
            log_prob_every_n_step=self.log_prob_every_n_step,
            warmup_epochs=self.warmup_epochs,
            penalty=self.penalty,
        )

    def default_mutation_hooks(self) -> list[Any]:
        # NNI's last one refuses what is left, in other words.
        *hooks, _ = super().default_mutation_hooks()
        ours = {DifferentiableMixedCell.mutate: MixedCell.mutate, **mixed_operations.HOOKS}
        return [*(ours.get(hook, hook) for hook in hooks), refuse_dangling]

    def mutate_model(self, model: Any) -> Any:
        if not isinstance(model, ModelSpace):
            raise TypeError(
                f"the search takes an nni.nas.nn.pytorch.ModelSpace, got {type(model).__name__}"
            )
        require_categorical(model)
        supernet = super().mutate_model(model)
        require_decided(supernet)
        relax(supernet, self.mixing)
        if isinstance(self.mixing, OneHot):
            run_drawn_only(supernet)
        if self.dropout is not None:
            self.dropout.put_into(supernet)
        if self.fused:
            fuse(supernet)
        if self.recompute:
            recompute(supernet)
        return supernet

    def mutate_evaluator(self, evaluator: Any) -> Any:
        self._alpha_dataloader = getattr(evaluator.datamodule, "alpha_dataloader", None)
        return super().mutate_evaluator(evaluator)

    def _run(self) -> None:
        super()._run()
        module = self.oneshot_module
        if module.closing.unfinished:
            evaluator: Any = self._mutated_model_space.evaluator
            data = evaluator.datamodule or evaluator.val_dataloaders
            evaluator.trainer.validate(module, data, verbose=False)

    def train_dataloader(self, train_dataloader_fn: Any, val_dataloader_fn: Any) -> BilevelLoader:
        if self._alpha_dataloader is not None:
            val = self._alpha_dataloader()
        else:
            val = shuffled(only(val_dataloader_fn()))
        # Asked for when the first batch is, because a loader may be made before the module is.
        return BilevelLoader(
            only(train_dataloader_fn()), val, lambda: self.oneshot_module.before_epoch()
        )

    def val_dataloader(self, train_dataloader_fn: Any, val_dataloader_fn: Any) -> Any:
        return val_dataloader_fn()

    def list_models(
        self, sort: bool = True, limit: int | None = 1
    ) -> Iterator[RawFormatModelSpace]:
        """The `limit` most probable distinct architectures, best first (None: the best one).

        Raises:
            ValueError: `limit` is below 1, or `sort` is False.
        """
        if not sort:
            raise ValueError("the architectures of a search come best first; leave sort=True")
        for _, sample in self.top_k(1 if limit is None else _limit(limit)):
            yield _Chosen(self.model_space.model_space, self.model_space.evaluator).freeze(sample)

    def top_k(self, limit: int) -> Ranked:
        """Best distinct architectures by the selection, as (score, sample), at most `limit`.

        By "strongest" they are the most probable ones, and the score is the log probability of the
        choices made, at most 0. A sample names every label of the space. There are fewer than
        `limit` if the space is smaller.
        """
        limit = _limit(limit)
        self.oneshot_module.set_model(self.supernet)
        strongest = self.oneshot_module.export()
        ranked = self.oneshot_module.closing.rank(self.supernet, limit)
        return [(score, {**strongest, **part}) for score, part in ranked]


class _Chosen(RawFormatModelSpace):
    """Architecture of the space; each of its networks has weights of its own."""

    def executable_model(self) -> Any:
        # NNI's shares them with the supernet, and so with other networks: trained, all would move.
        return copy.deepcopy(super().executable_model())


def _clipped(architect: Hypergradient, given: Any, clip: float) -> Hypergradient:
    """The architect that was given by name, with a clip of its virtual step."""
    if given is architect:
        raise ValueError(
            f"virtual_clip={clip} is for a hypergradient that is given by name; give "
            f"{type(architect).__name__} its clip itself"
        )
    name, options = HYPERGRADIENTS.named(given)
    if not isinstance(architect, Unrolled):
        raise ValueError(
            f"{name} takes no virtual step that virtual_clip={clip} could clip; "
            "leave virtual_clip out or choose another hypergradient"
        )
    if "clip" in options:
        raise ValueError(
            f"hypergradient {name} has clip={options['clip']}; leave out virtual_clip={clip}"
        )
    return HYPERGRADIENTS.make({"name": name, **options, "clip": clip})


def _betas(value: Any) -> tuple[float, float]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"arc_betas must be two numbers in [0, 1), got {shown(value)}")
    first, second = (number("arc_betas", beta, PROBABILITY) for beta in value)
    return first, second


def _hooks(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        raise TypeError(f"mutation_hooks must be a list of functions, got {shown(value)}")
    kind: Any = Callable
    return several("mutation_hooks", value, kind, "functions")


def _limit(value: Any) -> int:
    # In these words, as several places ask for architectures.
    what = "limit: at least one architecture must be asked for"
    if isinstance(value, int) and not isinstance(value, bool) and value < 1:
        raise ValueError(f"{what}, got {shown(value)}")
    return size("limit", value, 1, limits.ARCHITECTURES)
