from __future__ import annotations

import pytest
import torch

from search_spaces import operations


@pytest.mark.parametrize("size", [15, 16])
def test_zero_and_factorized_reduce_agree_with_the_other_operations_on_sizes(size: int) -> None:
    x = torch.randn(2, 4, size, size)
    for stride in (1, 2):
        shapes = {
            operations.search_operation(name, 4, stride)(x).shape for name in operations.OPERATIONS
        }
        assert len(shapes) == 1
        assert not operations.search_operation("none", 4, stride)(x).any()


def test_drop_path_drops_whole_images_and_keeps_the_mean() -> None:
    drop = operations.DropPath(0.25)
    x = torch.ones(4000, 2, 3, 3)
    factors = drop(x)
    assert (factors == factors[:, :1, :1, :1]).all()
    by_image = factors[:, 0, 0, 0]
    torch.testing.assert_close(by_image.unique(), torch.tensor([0, 1 / 0.75]))
    assert abs(by_image.mean().item() - 1) < 0.03
    assert drop(x.bfloat16()).dtype == torch.bfloat16
    assert operations.DropPath(0.0)(x) is x
    assert drop.eval()(x) is x
