"""Pictures of cells and of searches, as files.

Everything stands on a white background that the picture brings along, so that it is as legible on a
dark page. Files are written as a whole or not at all.
"""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nni_darts._common import files
from nni_darts._common.checks import instance
from nni_darts._common.messages import line, shown
from nni_darts.genotypes.genotype import Genotype
from nni_darts.history.record import EpochRecord
from nni_darts.pictures.cell_figure import figure_of_cell, figure_of_cells
from nni_darts.pictures.search_figure import figure_of_history, heat_maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FORMATS",
    "draw",
    "figure_of_cell",
    "figure_of_cells",
    "figure_of_history",
    "format_of",
    "heat_maps",
    "plot_history",
    "rendered",
    "require_writable",
    "save",
    "write_bytes",
]

FORMATS = ("svg", "png", "pdf")


def draw(genotype: Genotype, path: str | Path, *, title: str | None = None) -> None:
    """Draw the cells of a genotype as the paper does, into a file.

    Args:
        genotype: convolutional or recurrent.
        path: its suffix, .svg, .png or .pdf, says in which format.
        title: above the cells.

    Raises:
        ValueError: one line, for another suffix, or where the file cannot be written.
    """
    instance("genotype", genotype, Genotype, "a Genotype (a text is read by Genotype.parse)")
    if title is not None:
        instance("title", title, str, "a text")
    format_of(path)
    save(figure_of_cells(genotype.cells, title=title), path)


def plot_history(records: Iterable[EpochRecord], path: str | Path) -> None:
    """Draw the weights of all edges over the epochs of a search, see `figure_of_history`.

    Raises:
        ValueError: as `draw`, and for records without weights.
    """
    format_of(path)
    save(figure_of_history(records), path)


def format_of(path: str | Path, formats: Collection[str] = FORMATS) -> str:
    """The format that a file's suffix asks for; ValueError with one line for any other."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a path, got {shown(path)}")
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in formats:
        known = ", ".join(f".{name}" for name in formats)
        raise ValueError(f"the name of a picture must end in one of {known}; got {str(path)!r}")
    return suffix


def require_writable(path: str | Path) -> None:
    """ValueError where a file could not be written, before it is drawn."""
    if problem := files.unwritable_file(Path(path)):
        raise ValueError(f"cannot write {line(str(path))}: {problem}")


def rendered(figure: Figure, format: str) -> bytes:
    """A figure as the content of a file: the same bytes for the same figure."""
    import matplotlib

    # SVG has the time and random names otherwise.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "nni-darts"}):
        figure.savefig(buffer, format=format, dpi=200, metadata=metadata)
    return buffer.getvalue()


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format of its suffix; ValueError as `draw`."""
    if not hasattr(figure, "savefig"):
        raise TypeError(f"figure must be a matplotlib Figure, got {shown(figure)}")
    write_bytes(path, rendered(figure, format_of(path)))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Replace a file as a whole, in a folder that is made if need be; ValueError as `draw`."""
    path = Path(path)
    require_writable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, content)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from None
