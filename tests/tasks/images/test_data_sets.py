from __future__ import annotations

import pytest
import torch
from image_sets import _moments, halves, ready

from nni_darts.tasks.images.augmentation import normalise
from nni_darts.tasks.images.data_sets import DATA_SETS, check, check_test


def test_digits_are_normalised() -> None:
    data = ready("digits", batch_size=718)
    everything = torch.cat(halves(data))
    images = normalise(everything, *_moments("digits"))
    assert images.mean().item() == pytest.approx(0, abs=1e-3)
    assert images.std().item() == pytest.approx(1, abs=1e-3)


def test_digits_are_never_mirrored_and_the_others_are() -> None:
    flips = {name: getattr(entry.transform, "flip", True) for name, entry in DATA_SETS.items()}
    assert [name for name, flip in flips.items() if not flip] == ["digits"]


def test_check_names() -> None:
    check("digits")
    check("cifar10")
    with pytest.raises(ValueError, match=r"unknown data set 'digit'; did you mean 'digits'"):
        check("digit")


def test_the_others_always_have_a_test_part() -> None:
    for name in DATA_SETS.keys() - {"image_folder"}:
        check_test(name)
    with pytest.raises(ValueError, match=r"unknown data set 'digit'"):
        check_test("digit")
