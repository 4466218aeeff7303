from __future__ import annotations

import io

from histories import records, reports
from PIL import Image

from nni_darts.genotypes.cell import RNN_PRIMITIVES
from nni_darts.pictures.animation import animation, frames_of


def test_frames_tell_the_epoch() -> None:
    made = reports(2)
    first, second = frames_of(records(made))
    assert first.title == f"epoch 1    val accuracy 50.00%    entropy {made[0]['entropy']:.3f}"
    assert second.epoch == 1
    del made[0]["default"], made[0]["entropy"]
    assert frames_of(records(made))[0].title == "epoch 1"


def test_one_cell_alone_and_recurrent_cells() -> None:
    for made in (reports(2, ["normal"], 2), reports(2, ["recurrent"], 3, RNN_PRIMITIVES)):
        shown = frames_of(records(made))
        assert len(shown) == 2
        with Image.open(io.BytesIO(animation(shown))) as image:
            assert image.n_frames == 2
