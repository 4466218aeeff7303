"""TensorBoard event files of a run: scalars and, of a search, pictures of its alphas and cells."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nni_darts.history.keys import short_keys
from nni_darts.history.record import EpochRecord
from nni_darts.pictures.animation import frames_of
from nni_darts.pictures.cell_figure import figure_of_cells
from nni_darts.pictures.choice_figure import figure_of_choices
from nni_darts.pictures.search_figure import heat_maps
from nni_darts.training.run_folder import TENSORBOARD

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

_DPI = 80


class Events:
    """Writer of event files in a folder, an epoch at a time.

    Epochs that a resumed run does again replace the ones before. A picture that cannot be drawn is
    said once and left out: it must not end a search.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = None
        self._complained = False

    def add(self, record: EpochRecord) -> None:
        """Add an epoch; weights of edges and of other choices become pictures.

        Raises:
            OSError: one line, for what could not be written.
        """
        _leave_errors_of_writers()
        try:
            self._add(record)
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot write event files to {self.folder} ({error.strerror}): make room (or put "
                "right what the system says) and run again",
            ) from error

    def _add(self, record: EpochRecord) -> None:
        if self._writer is None:
            # It takes seconds to import.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), purge_step=record.epoch)
        for name, value in _scalars(record).items():
            self._writer.add_scalar(name, value, record.epoch)
        if record.weights:
            try:
                self._add_pictures(record)
            except Exception as error:  # whatever it is, the search is worth more
                if not self._complained:
                    print(f"TensorBoard goes without pictures: {error}", flush=True)
                self._complained = True
        self._writer.flush()

    def _add_pictures(self, record: EpochRecord) -> None:
        figures = {"alphas": heat_maps(record)} if record.cells else {}
        for frame in frames_of([record]):
            if frame.cells:
                figures["cells"] = figure_of_cells(frame.cells, frame.strengths)
        if record.choices:
            figures["choices"] = figure_of_choices(record.choices)
        for name, figure in figures.items():
            self._add_figure(name, figure, record.epoch)

    def _add_figure(self, name: str, figure: Figure, epoch: int) -> None:
        assert self._writer is not None
        figure.set_dpi(_DPI)
        self._writer.add_figure(name, figure, epoch, close=False)


def _scalars(record: EpochRecord) -> dict[str, float]:
    """The metrics, and the weights of choices that are no edges of cells, by NNI's keys."""
    metrics = {name: value for name, value in record.metrics.items() if name != "seed"}
    choices = record.choices
    keys = short_keys({place: list(row) for place, row in record.weights.items()})
    weights = {k: choices[p][o] for (p, o), k in keys.items() if isinstance(p, str)}
    return {"default": record.default, **metrics, **weights}


@functools.cache
def _leave_errors_of_writers() -> None:
    """Let a writer's thread print no traceback of an error that `flush` raises once more."""
    told = threading.excepthook

    def tell(failed: threading.ExceptHookArgs) -> None:
        writer = type(failed.thread).__module__.startswith("tensorboard.")
        if not (writer and isinstance(failed.exc_value, OSError)):
            told(failed)

    threading.excepthook = tell


def show_in_nni(events: Path, experiment: Path, trial: str) -> None:
    """Put the event files where the TensorBoard button of NNI's web UI looks for them.

    Args:
        events: the folder that they are in, or will be.
        experiment: the experiment's folder, on the machine of its manager.
        trial: its id.
    """
    place = experiment / "trials" / trial / "output" / TENSORBOARD
    events.mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()  # of the run that the trial did before it was resumed
    if not place.exists():
        place.symlink_to(events, target_is_directory=True)
