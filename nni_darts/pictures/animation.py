"""The evolution of the cells and the other choices over a search, as an animated GIF.

matplotlib and Pillow are imported where they are used.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nni_darts._common.checks import several
from nni_darts.genotypes.cell import KINDS, Cell
from nni_darts.history.cells import cell_of, strengths_of
from nni_darts.history.record import Choices, EpochRecord
from nni_darts.pictures.cell_figure import DRAWN, figure_of_cells
from nni_darts.pictures.choice_figure import DRAWN as DRAWN_OF_CHOICES
from nni_darts.pictures.choice_figure import figure_of_choices
from nni_darts.pictures.colours import LIGHT, NODES, colour_of, colours_among

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ["Frame", "animation", "frames_of"]

_DPI = 90
_MILLISECONDS = 300  # per epoch, less for very long searches
_LONGEST = 30_000
_LAST = 3_000


@dataclass(frozen=True)
class Frame:
    """An epoch: its cells, the strength of each edge of each cell, and the other choices.

    Strengths are by (node, source); the other choices have the weights of their candidates.
    """

    epoch: int  # from 0
    title: str
    cells: tuple[Cell, ...]
    strengths: tuple[Mapping[tuple[int, int], float], ...]
    choices: Choices = field(default_factory=dict)


def frames_of(records: Iterable[EpochRecord]) -> list[Frame]:
    """Frames of the epochs that are complete; incomplete epochs are left out.

    An epoch is complete if its cells can be derived with as many nodes as in any other, and no
    candidate of its other choices is missing.

    Args:
        records: records of one search, in the order of their epochs.
    """
    frames = []
    for record in several("records", records, EpochRecord, "records of epochs"):
        try:
            cells = tuple(cell_of(record, kind) for kind in record.cells)
        except ValueError:
            continue
        strong = tuple(strengths_of(record, cell.kind) for cell in cells)
        frames.append(Frame(record.epoch, _title(record), cells, strong, record.choices))
    # Boxes must not jump: all frames show the same boxes.
    shapes = [{cell.kind: len(cell.nodes) for cell in frame.cells} for frame in frames]
    whole = {k: max((shape.get(k, 0) for shape in shapes), default=0) for k in KINDS}
    whole = {kind: count for kind, count in whole.items() if count}
    candidates: dict[str, set[str]] = {}
    for frame in frames:
        for label, row in frame.choices.items():
            candidates.setdefault(label, set()).update(row)
    return [
        frame
        for frame, shape in zip(frames, shapes, strict=True)
        if shape == whole
        and {label: set(row) for label, row in frame.choices.items()} == candidates
        and (frame.cells or frame.choices)
    ]


def _title(record: EpochRecord) -> str:
    parts = [f"epoch {record.epoch + 1}"]
    if (value := record.validation) is not None:
        parts.append(f"val {record.metric.name} {record.metric.written(value)}")
    entropy = record.metrics.get("entropy", math.nan)
    if math.isfinite(entropy):
        parts.append(f"entropy {entropy:.3f}")
    return "    ".join(parts)


def animation(frames: Sequence[Frame]) -> bytes:
    """GIF of the frames, at least one, that repeats for ever; the last frame stays longer."""
    from PIL.Image import Dither

    frames = several("frames", frames, Frame, "frames, see frames_of")
    if not frames:
        raise ValueError("frames must hold at least one, got none")
    images = [_image(frame) for frame in frames]
    palette = _palette(frames)
    images = [image.quantize(palette=palette, dither=Dither.NONE) for image in images]
    pause = min(_MILLISECONDS, _LONGEST // len(images))
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=[pause] * (len(images) - 1) + [_LAST],
        loop=0,
        # What does not change from frame to frame is stored once.
        disposal=1,
        optimize=False,
    )
    return buffer.getvalue()


def _image(frame: Frame) -> Image:
    """Picture of the cells, with the other choices below them."""
    from PIL import Image

    figures = []
    if frame.cells:
        figures.append(figure_of_cells(frame.cells, frame.strengths, title=frame.title))
    if frame.choices:
        title = None if frame.cells else frame.title
        figures.append(figure_of_choices(frame.choices, title=title))
    images = [_rendered(figure) for figure in figures]
    if len(images) == 1:
        return images[0]
    size = max(image.width for image in images), sum(image.height for image in images)
    whole = Image.new("RGB", size, LIGHT)
    top = 0
    for image in images:
        whole.paste(image, ((whole.width - image.width) // 2, top))
        top += image.height
    return whole


def _rendered(figure: Figure) -> Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(_DPI)
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib leaves its methods untyped
    canvas.draw()
    size = canvas.get_width_height()
    return Image.frombytes("RGBA", size, bytes(canvas.buffer_rgba())).convert("RGB")


def _palette(frames: Sequence[Frame]) -> Image:
    """Palette of at most 256 colours for all frames: the drawn ones, and steps to white.

    One palette for all keeps what does not change the same to the bit.
    """
    from PIL import Image

    names = {name for f in frames for cell in f.cells for name in _operations(cell)}
    drawn = [colour_of(name).light for name in sorted(names)]
    rows = [row for frame in frames[:1] for row in frame.choices.values()]
    for row in rows:
        drawn += [c.light for c in colours_among(list(row)) if c.light not in drawn]
    drawn += DRAWN_OF_CHOICES if rows else ()
    drawn += [colour for pair in NODES.values() for colour in pair]
    drawn += ["#000000", *DRAWN]
    steps = max(1, min(10, 255 // len(drawn)))
    colours = [_towards_white(colour, step / steps) for step in range(steps) for colour in drawn]
    # What is nearly white would do for white, as Pillow looks colours up.
    colours = [LIGHT] + [c for c in colours if min(c[1:3], c[3:5], c[5:7]) < "F2"]
    values = [int(colour[i : i + 2], 16) for colour in colours[:256] for i in (1, 3, 5)]
    image = Image.new("P", (1, 1))
    image.putpalette(values + values[:3] * (256 - len(values) // 3))
    return image


def _operations(cell: Cell) -> list[str]:
    return [edge.operation for node in cell.nodes for edge in node]


def _towards_white(colour: str, share: float) -> str:
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 - part) * share):02X}" for part in parts)
