"""Settings of an experiment on text: language models of recurrent cells."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from nni_darts._common.fields import (
    BatchSize,
    Epochs,
    Features,
    NotNegative,
    Positive,
    Share,
    Steps,
)
from nni_darts.search.parts import HYPERGRADIENTS
from nni_darts.tasks.base import Task
from nni_darts.tasks.language.task import TEXT
from nni_darts.tasks.settings import Evaluate, Run, Search, Select, Settings, Training


class TextSearch(Search):
    """Settings of the search; the defaults are the paper's for Penn Treebank (3.1.2 and A.1.2).

    The dropouts are the space's.
    """

    batch_size: Annotated[BatchSize, Field(ge=2)] = 256
    """Parallel streams for w, and as many again for alpha; the supernet normalises over them."""
    bptt: Steps = 35
    """Words of each stream that are learnt from at a time, on the average."""
    learning_rate: Positive = 20.0
    """Learning rate of a batch of `bptt` words; of any other in proportion."""
    weight_decay: NotNegative = 5e-7
    gradient_clip: Positive | None = 0.25
    """Norm that the weights' gradient is clipped to, in the virtual step too."""
    activation: NotNegative = 0.0
    """Weight of the mean square of the states after dropout (Merity et al., AR)."""
    slowness: NotNegative = 1e-3
    """Weight of the mean square of the states' change from word to word (TAR)."""
    arc_learning_rate: Positive = 3e-3
    arc_betas: tuple[Share, Share] = (0.9, 0.999)

    for_data: ClassVar[tuple[str, ...]] = ("batch_size", "bptt")

    @property
    def own(self) -> dict[str, Any]:
        name, options = HYPERGRADIENTS.named(self.parts["hypergradient"])
        # A class of the user's is clipped as its own options say.
        clips = name in HYPERGRADIENTS and name != "first_order" and "clip" not in options
        return {"virtual_clip": self.gradient_clip if clips else None}


class TextTraining(Training):
    """Settings of a training from scratch; by default as the paper evaluates on Penn Treebank.

    SGD until the validation loss has not been below its minimum of more than `nonmonotone` epochs
    ago; from then on the running mean of the weights is what counts (averaged SGD).
    """

    task: ClassVar[Task] = TEXT
    for_data: ClassVar[tuple[str, ...]] = ("batch_size", "bptt")

    embedding: Features = 850
    """Size of the words' vectors; equal to `hidden`."""
    hidden: Features = 850
    """Size of the state."""
    epochs: Epochs = 8000
    """Highest number of epochs; the paper trains to convergence, the reference stops here."""
    batch_size: BatchSize = 64
    """Parallel streams."""
    bptt: Steps = 35
    """Words of each stream that are learnt from at a time, on the average."""
    learning_rate: Positive = 20.0
    """Learning rate of a batch of `bptt` words; of any other in proportion."""
    weight_decay: NotNegative = 8e-7
    gradient_clip: Positive | None = 0.25
    activation: NotNegative = 0.0
    """Weight of the mean square of the states after dropout."""
    slowness: NotNegative = 1e-3
    """Weight of the mean square of the states' change from word to word."""
    nonmonotone: Epochs | None = 5
    """Epochs of the non-monotone trigger; none for plain SGD to the end."""
    dropout_out: Share = 0.75
    """Dropout of the states before the decoder."""
    dropout_h: Share = 0.25
    """Dropout of the states within the cell."""
    dropout_x: Share = 0.75
    """Dropout of the cell's input."""
    dropout_i: Share = 0.2
    """Dropout of the embedded words."""
    dropout_e: Share = 0.1
    """Dropout of whole words."""

    @property
    def network(self) -> str:
        return f"{self.hidden} hidden units"


class TextSelect(TextTraining, Select):
    """Settings of `Select` on text."""

    epochs: Epochs = 300
    """Epochs of the selection, the paper's for recurrent cells (section 3.2)."""


class TextEvaluate(TextTraining, Evaluate):
    """Settings of `Evaluate` on text."""


class TextSettings(Settings):
    """Settings of an experiment on text, as the tuner and the trials need them."""

    task: ClassVar[Task] = TEXT

    search: TextSearch | None = None
    select: TextSelect | None = None
    evaluate: TextEvaluate | None = None


class TextRun(TextSettings, Run):
    """Parameters of one trial on text."""
