from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import clip_grad_norm_
from waiting import NoWaiting

from nni_darts import UnrolledDARTS
from nni_darts.tasks.images.search_module import SearchRecipe
from nni_darts.tasks.images.settings import ImageSearch
from search_spaces import DartsCNN


@pytest.mark.parametrize("fused", [True, False])
def test_on_a_gpu_nothing_is_copied_to_it_or_waited_for(
    fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Forward and update; autograd refuses to go back on a GPU that is not there. A supernet
    # without memory has no layout either.
    monkeypatch.setattr(nn.Module, "to", lambda self, memory_format: self)
    recipe = SearchRecipe(ImageSearch(), 10)
    logged: dict[str, Any] = {}
    recipe.log = lambda name, value, **options: logged.update({name: value})  # type: ignore
    with FakeTensorMode() as mode:
        recipe._apply(lambda t: mode.from_tensor(t).to("cuda"))
        with torch.device("cuda"):
            space = DartsCNN(4, 3, num_nodes=2)
            recipe.set_model(UnrolledDARTS(fused=fused).mutate_model(space))
            batch = torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64)
        (sgd,), _ = recipe.configure_optimizers()
        with NoWaiting():
            for batch_idx in range(2):
                loss = recipe.training_step(batch, batch_idx)
                for parameter in recipe.parameters():
                    parameter.grad = torch.ones_like(parameter)
                clip_grad_norm_(list(recipe.parameters()), 5.0)
                sgd.step()
    assert loss.device.type == logged["train_acc"].tp.device.type == "cuda"
    assert logged["train_loss"] is loss


def test_accuracy_is_computed_once_an_epoch() -> None:
    recipe = SearchRecipe(ImageSearch(), 10)
    recipe.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    recipe.set_model(nn.Flatten())
    computed = recipe.train_accuracy.compute
    recipe.train_accuracy.compute = lambda: 1 / 0  # type: ignore[assignment]
    for x in (torch.eye(10), torch.eye(10).flip(0)):
        recipe.training_step((x, torch.arange(10)), 0)
    assert computed() == 0.5
