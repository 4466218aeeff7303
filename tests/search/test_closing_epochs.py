from __future__ import annotations

import pytest
import spaces

from nni_darts import UnrolledDARTS
from nni_darts.search.closing_epochs import ClosingEpochs
from nni_darts.search.selection import Strongest
from nni_darts.search.subnets import Subnets
from nni_darts.supernet.architectures import top_k


def test_a_selection_without_work_of_its_own_changes_nothing() -> None:
    strategy = spaces.search(spaces.Plain(), max_epochs=2)
    closing = strategy.oneshot_module.closing
    assert strategy.oneshot_module.trainer.current_epoch == 2
    assert (closing.closing, closing.state, closing.unfinished) == (None, {}, False)
    assert closing.rank(strategy.supernet, 2) == top_k(strategy.supernet, 2)


def test_a_rehearsal_finds_a_metric_that_is_not_logged() -> None:
    supernet = UnrolledDARTS().mutate_model(spaces.Plain())
    ClosingEpochs(Strongest()).rehearse(supernet, {})
    with pytest.raises(ValueError, match="the selection is by accuracy, and the validation step"):
        ClosingEpochs(Subnets()).rehearse(supernet, {"val_loss": 1.0, "train_acc": 1.0})
