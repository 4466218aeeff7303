"""The Lightning module of the search: first alpha by the architect, then w at the new alpha.

It wraps the user's own module (paper, Algorithm 1). The architect's passes call the user's
`training_step` too; what that logs or counts meanwhile is dropped, and its buffers and the random
state are as if those passes had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from nni.nas.oneshot.pytorch.differentiable import DartsLightningModule
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Adam, Optimizer

from nni_darts._common.schedule import Moment, WarmUp
from nni_darts.search import random_state
from nni_darts.search.bilevel_step import BilevelStep, Loss
from nni_darts.search.closing_epochs import KEY, ClosingEpochs
from nni_darts.search.cuda_graph import StepGraph, capturable
from nni_darts.search.curvature import Curvature
from nni_darts.search.eigenvalue import Eigenvalue
from nni_darts.search.hypergradient import FirstOrder, Hypergradient
from nni_darts.search.method import Method
from nni_darts.search.selection import Selection, Strongest
from nni_darts.search.side_effects import evaluating, unlogged
from nni_darts.search.state_difference import state_difference
from nni_darts.supernet import architectures
from nni_darts.training.finite_losses import FiniteWatch
from nni_darts.training.precision import require_bearable


class UnrolledDartsModule(DartsLightningModule):
    """The search around a training module. Made by `UnrolledDARTS`, which has the arguments."""

    def __init__(
        self,
        training_module: Any,
        *,
        hypergradient: Hypergradient,
        arc_betas: tuple[float, float],
        arc_weight_decay: float,
        method: Method | None = None,
        eigenvalue: Eigenvalue | None = None,
        selection: Selection | None = None,
        cuda_graphs: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(training_module, **kwargs)
        self.hypergradient = hypergradient
        self.arc_betas = arc_betas
        self.arc_weight_decay = arc_weight_decay
        self.method = Method() if method is None else method
        self.curvature = None if eigenvalue is None else Curvature(eigenvalue)
        self.closing = ClosingEpochs(selection or Strongest())
        self.graph = StepGraph(self) if cuda_graphs else None
        self.finite = FiniteWatch()
        self._batch_idx = 0
        self._shaped = False
        self._frozen: list[nn.Parameter] | None = None
        self._resumed_random_state: dict[str, Any] | None = None

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.method.put_to_work(model)

    # What is learnt, in an order that is the same in every process.

    def arch_parameters(self) -> list[nn.Parameter]:
        """The alphas in declaration order, each once."""
        modules = [m for m in self.supernet_modules() if hasattr(m, "arch_parameters")]
        return list(dict.fromkeys(p for m in modules for p in cast(Any, m).arch_parameters()))

    def export_probs(self) -> dict[str, dict[Any, float]]:
        """The mixing weight of every choice under every label."""
        found = architectures.probabilities(self.model)
        return {label: {c: p.item() for c, p in row.items()} for label, row in found.items()}

    def configure_architecture_optimizers(self) -> Optimizer:
        alphas = self.arch_parameters()
        if not alphas:
            raise ValueError("the model space has no choices: there is nothing to search")
        if not any(alpha.requires_grad for alpha in alphas):
            raise ValueError("all alphas are frozen: there is nothing to search; let one learn")
        return Adam(
            alphas, self.arc_learning_rate, self.arc_betas, weight_decay=self.arc_weight_decay
        )

    def configure_optimizers(self) -> Any:
        configured = super().configure_optimizers()
        for optimizer in _optimizers(configured):
            if not getattr(optimizer, "is_arch_optimizer", False):
                self.hypergradient.require(optimizer)
        return configured

    def _optimizer(self, arch: bool) -> Optimizer:
        # The raw optimisers: alpha's steps do not count as the trainer's global steps.
        found = [
            o for o in self.trainer.optimizers if getattr(o, "is_arch_optimizer", False) is arch
        ]
        if len(found) != 1:
            raise ValueError(f"exactly one optimiser of the weights is needed, got {len(found)}")
        return found[0]

    # One step.

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Any:
        """Algorithm 1: 1. alpha <- Adam(alpha, g)  2. w <- step(w, dw L_train(w, alpha))."""
        self._batch_idx = batch_idx
        self.method.end_pass()
        if not self._shaped:
            self._shape(batch["train"], batch_idx)
        output = (self.graph or self).step(batch, batch_idx)
        searching = self.searching and self.closing.epoch(self) is None
        if self.curvature is not None and searching:
            self.curvature.after_step(self, batch["val"], batch_idx)
        if self.trainer.is_last_batch:
            self.finite.raise_if_bad()
        if self.closing.epoch(self) is None:
            self.advance_lr_schedulers(batch_idx)
        if self.log_prob_every_n_step and batch_idx % self.log_prob_every_n_step == 0:
            # Tensors: numbers would have to be waited for.
            self.log_probs(architectures.probabilities(self.model))
        return output

    def _shape(self, batch: Any, batch_idx: int) -> None:
        """Run a first pass once for lazy modules, whose parameters get their shape from it."""
        if any(is_lazy(parameter) for parameter in self.parameters()):
            with torch.no_grad():
                self._rehearsed(batch, batch_idx)
        self._shaped = True

    @property
    def moment(self) -> Moment:
        """The present moment; a search without an end has one epoch more than it has done.

        In the closing of a search it stays the last epoch.
        """
        epoch, epochs = self.trainer.current_epoch, self.closing.search_epochs(self)
        if epochs is None or epochs < 0:
            return Moment(epoch, epoch + 1)
        return Moment(min(epoch, max(epochs - 1, 0)), epochs)

    @property
    def searching(self) -> bool:
        """True if alpha is learnt, False while it rests."""
        learns = self.closing.selection.learns_alpha
        return learns and WarmUp(self.warmup_epochs)(self.moment) > 0

    @property
    def parts_now(self) -> tuple[Any, ...]:
        """The parts of the method that a step is computed with, as they are in this epoch."""
        return self.method.now(self.moment)

    def step(self, batch: dict[str, Any], batch_idx: int) -> Any:
        """Compute a step on the device, without waiting for the device."""
        if self.searching:
            self._architecture_step(batch["train"], batch["val"], batch_idx)
            self.method.pass_over()
        with self.method.perturbed(self.moment, lambda: self._rehearsed(batch["train"], batch_idx)):
            output = self.training_module.training_step(batch["train"], batch_idx)
        loss = _loss(output)
        self.see("training loss", loss)
        self.advance_optimization(loss, batch_idx, self.gradient_clip_val)
        return output

    def see(self, what: str, loss: Tensor) -> None:
        """Record a loss; a bad one raises DivergedError, perhaps only later."""
        self.finite.record(what, loss, self.trainer.current_epoch, self._batch_idx)

    def _architecture_step(self, train_batch: Any, val_batch: Any, batch_idx: int) -> None:
        seen: list[Tensor] = []

        def train_loss() -> Tensor:
            return self.loss(train_batch, batch_idx)

        def val_loss() -> Tensor:
            loss = self.loss(val_batch, batch_idx)
            seen.append(loss.detach())
            return loss if self.penalty is None else self._penalised(loss)

        arch_optimizer, step = self._optimizer(arch=True), self.bilevel(train_loss, val_loss)
        # Weights that are all frozen are where the virtual step would leave them.
        hypergradient = self.hypergradient if step.weights else FirstOrder()
        with unlogged(self.training_module):
            gradients = hypergradient(step)
        self.see("validation loss of the architect", seen[-1])
        gradients, norms = self.method.regularised(self.moment, step.alphas, gradients)
        for name, norm in norms.items():
            self.log(f"gradient/{name}", norm, on_step=False, on_epoch=True)
        for alpha, gradient in zip(step.alphas, gradients, strict=True):
            alpha.grad = gradient
        arch_optimizer.step()
        torch.clear_autocast_cache()
        self.log("architect_loss", seen[-1], on_step=False, on_epoch=True)

    def bilevel(self, train_loss: Loss, val_loss: Loss) -> BilevelStep:
        """The step that the optimiser of the weights is about to take, with these losses."""
        optimizer = self._optimizer(arch=False)
        weights = [w for g in optimizer.param_groups for w in g["params"] if w.requires_grad]
        alphas = [alpha for alpha in self.arch_parameters() if alpha.requires_grad]
        return BilevelStep(train_loss, val_loss, weights, alphas, optimizer, [self.training_module])

    def _rehearsed(self, batch: Any, batch_idx: int) -> Tensor:
        """Training loss in evaluation mode; nothing is logged or counted."""
        module = self.training_module
        with evaluating(module), unlogged(module):
            return self.loss(batch, batch_idx)

    def loss(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of the user's training step on a batch."""
        return _loss(self.training_module.training_step(batch, batch_idx))

    def _penalised(self, loss: Tensor) -> Tensor:
        """Loss plus NNI's penalty, on weights that lead back to the alphas (NNI's own do not)."""
        penalty = cast(Callable[..., tuple[Tensor, dict[str, Any]]], self.penalty)
        total, details = penalty(loss, architectures.probabilities(self.model))
        self.log_dict({f"penalty/{k}": torch.as_tensor(v).detach() for k, v in details.items()})
        return total

    # Validation, which NNI's one-shot modules leave out.

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self.training_module.validation_step(batch, batch_idx)

    def on_validation_start(self) -> None:
        if self.trainer.state.fn == "validate":
            self.closing.finish(self)

    def on_validation_epoch_start(self) -> None:
        self.training_module.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        self.training_module.on_validation_epoch_end()

    def on_validation_end(self) -> None:
        self.closing.look(self.trainer.callback_metrics)

    # Stop and resume.

    def on_fit_start(self) -> None:
        if self.trainer.world_size > 1:
            raise ValueError(
                f"the search runs on one device, got {self.trainer.world_size}; pass devices=1 to "
                "the trainer and run several seeds side by side instead"
            )
        self.closing.prepare(self)
        epochs = self.closing.search_epochs(self)
        # -1: without end.
        if self.warmup_epochs and epochs is not None and 0 <= epochs <= self.warmup_epochs:
            raise ValueError(
                f"warmup_epochs must be below the {epochs} epochs of the search, got "
                f"{self.warmup_epochs}: alpha would never learn; lower it or raise max_epochs"
            )
        require_bearable(self.trainer.precision, self.named_parameters())
        self.method.require_an_end(self.trainer.max_epochs)
        self.method.at(self.moment)
        super().on_fit_start()

    def on_train_epoch_start(self) -> None:
        # Warm-up freezes all alphas, and lets all of them learn afterwards.
        if self._frozen is None:
            rest = not self.closing.selection.learns_alpha
            self._frozen = [a for a in self.arch_parameters() if rest or not a.requires_grad]
        super().on_train_epoch_start()
        if self.curvature is not None:
            self.curvature.begin_epoch(self)
        self.method.at(self.moment)
        for option, number in self.method.options(self.moment).items():
            self.log(f"schedule/{option}", number, on_epoch=True)
        for alpha in self._frozen:
            alpha.requires_grad_(False)
        self.closing.begin_epoch(self)

    def before_epoch(self) -> None:
        """Restore the random state of a checkpoint at the moment where the next epoch draws."""
        if self._resumed_random_state is not None:
            random_state.set_state(self._resumed_random_state)
            self._resumed_random_state = None

    def on_train_start(self) -> None:
        self.closing.require(self)
        if self.device.type == "cpu":
            # A checkpoint of a search with CUDA graphs says otherwise.
            for optimizer in self.trainer.optimizers:
                capturable(optimizer, False)
        super().on_train_start()

    def on_train_end(self) -> None:
        self.finite.raise_if_bad()
        if self.graph is not None:
            self.graph.close()
        super().on_train_end()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.finite.raise_if_bad()
        self.training_module.on_save_checkpoint(checkpoint)
        checkpoint["nni_darts_random_state"] = random_state.get_state()
        if self.closing.state:
            checkpoint[KEY] = self.closing.state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise ValueError for a checkpoint of another space, saying what differs."""
        if difference := state_difference(checkpoint["state_dict"], self.state_dict()):
            raise ValueError(
                f"the checkpoint is of another search: {difference}; resume with the space and "
                "model that it was written with, or start afresh in another directory"
            )
        self._resumed_random_state = checkpoint.get("nni_darts_random_state")
        self.closing.load(checkpoint.get(KEY))
        self.training_module.on_load_checkpoint(checkpoint)


def _loss(output: Any) -> Tensor:
    loss = output["loss"] if isinstance(output, dict) else output
    if not isinstance(loss, Tensor):
        raise TypeError(
            "training_step must return a loss tensor or a dict with the key 'loss', "
            f"got {type(loss).__name__}"
        )
    return loss


def _optimizers(configured: Any) -> Iterator[Optimizer]:
    """Optimisers in whatever form Lightning allows `configure_optimizers` to return."""
    if isinstance(configured, Optimizer):
        yield configured
    elif isinstance(configured, dict):
        yield from _optimizers(configured.get("optimizer"))
    elif isinstance(configured, list | tuple):
        for item in configured:
            yield from _optimizers(item)
