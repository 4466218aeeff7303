"""The parts of a method that work in the supernet, or on its alphas, in every step of a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nni_darts._common.schedule import Moment, Scheduled
from nni_darts.search.perturbation import Perturbation, WeightStep
from nni_darts.search.regulariser import Regulariser, Row, gradient
from nni_darts.search.skip_dropout import SkipDropout
from nni_darts.supernet.architectures import each_alpha
from nni_darts.supernet.mixture import Mixture, mixture_of, probabilities


class Method:
    """Regularisers, perturbation and dropout of a search, and the mixing weights of its supernet.

    Args:
        regularisers: terms of the loss that alpha is learnt by.
        perturbation: what the steps of the weights see; None for the mixing weights themselves.
        skip_dropout: dropout after skip connections; None for none.
    """

    def __init__(
        self,
        regularisers: Sequence[Regulariser] = (),
        perturbation: Perturbation | None = None,
        skip_dropout: SkipDropout | None = None,
    ) -> None:
        self.regularisers = tuple(regularisers)
        self.perturbation = perturbation
        self.skip_dropout = skip_dropout
        self.mixture: Mixture | None = None
        self._supernet: nn.Module | None = None

    def put_to_work(self, supernet: nn.Module) -> None:
        """Take a supernet to work in."""
        self._supernet = supernet
        self.mixture = mixture_of(supernet)

    # Moments of a search.

    def at(self, moment: Moment) -> None:
        """Go to a moment of the search."""
        if self.mixture is not None:
            self.mixture.at(moment)
        if self.skip_dropout is not None and self._supernet is not None:
            self.skip_dropout.set_in(self._supernet, moment)

    def now(self, moment: Moment) -> tuple[Any, ...]:
        """All parts as they are at a moment: steps that differ in them compute other things."""
        mixture = self.mixture and (self.mixture.relaxation, self.mixture.restrictions)
        return (mixture, *(part.at(moment) for part in self._steered()))

    def options(self, moment: Moment) -> dict[str, float]:
        """Values of the options that change with the epochs, by part and option."""
        return {
            f"{type(part).__name__}.{option}": number
            for part in self._scheduled()
            for option, number in part.scheduled_at(moment).items()
        }

    def require_an_end(self, epochs: int | None) -> None:
        """Raise ValueError for an option that changes until an end that there is not.

        Args:
            epochs: of the search; None or -1 if it has no end.
        """
        changing = next((type(p).__name__ for p in self._scheduled() if p.changes), None)
        if changing is not None and epochs in (None, -1):
            raise ValueError(
                f"{changing} changes until the last epoch, and the search has none; give the "
                f"trainer max_epochs, or {changing} a constant"
            )

    def _steered(self) -> Iterator[Scheduled]:
        if self.perturbation is not None:
            yield self.perturbation
        if self.skip_dropout is not None:
            yield self.skip_dropout
        yield from self.regularisers

    def _scheduled(self) -> Iterator[Scheduled]:
        """Yield every part with its schedules."""
        if self.mixture is not None:
            yield self.mixture.scheduled
        yield from self._steered()

    # Passes of a step.

    def end_pass(self) -> None:
        """Forget what the last pass has drawn."""
        if self.mixture is not None:
            self.mixture.end()

    def pass_over(self) -> None:
        """Let the step of the weights draw other mixing weights than the architect has."""
        if self.mixture is not None:
            self.mixture.pass_over()

    def regularised(
        self, moment: Moment, alphas: Sequence[Tensor], gradients: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        """Gradients plus those of the regularisers, and the norm of each; none without any.

        Args:
            moment: of the search.
            alphas: those that are learnt.
            gradients: of the loss, one for each alpha.
        """
        if not self.regularisers or self._supernet is None:
            return gradients, {}
        rows = [Row(a, probabilities(module, a)) for module, a in each_alpha(self._supernet)]
        parts = {"loss": gradients}
        for number, regulariser in enumerate(self.regularisers, 1):
            name = type(regulariser).__name__
            unique = f"{name}~{number}" if name in parts else name
            parts[unique] = gradient(regulariser.at(moment), rows, alphas)
        norms = {
            name: torch.stack(torch._foreach_norm(list(part))).norm()
            for name, part in parts.items()
        }
        total = tuple(torch.stack(each).sum(0) for each in zip(*parts.values(), strict=True))
        return total, norms

    @contextmanager
    def perturbed(self, moment: Moment, loss: Callable[[], Tensor]) -> Iterator[None]:
        """Let the mixing weights be perturbed within, where there is a perturbation.

        Args:
            moment: of the search.
            loss: computes the training loss of the step at the mixing weights that there are.
        """
        mixture = self.mixture
        if self.perturbation is None or mixture is None:
            yield
            return

        def loss_at(rows: Sequence[Tensor]) -> Tensor:
            with mixture.held(rows):
                return loss()

        with torch.no_grad():
            rows = mixture.rows()
        with mixture.held(self.perturbation.at(moment)(WeightStep(rows, loss_at))):
            yield
