from __future__ import annotations

import torch

from nni_darts.supernet.relaxation import Relaxation, Softmax


def test_softmax_mixes_and_ranks_by_the_same_numbers() -> None:
    alpha = torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    e = torch.tensor([1, torch.e, torch.e**2], dtype=torch.float64)
    expected = torch.stack([e / e.sum(), torch.full((3,), 1 / 3, dtype=torch.float64)])
    torch.testing.assert_close(Softmax().weights(alpha), expected)
    torch.testing.assert_close(Softmax().probabilities(alpha), expected)


def test_a_relaxation_is_taken_to_draw_unless_it_says_so() -> None:
    assert Relaxation.draws
    assert not Softmax.draws
