"""Width of a text as matplotlib writes it, and text shortened to a width."""

from __future__ import annotations

import functools

from nni_darts._common.messages import printable

__all__ = ["fitting", "width_of"]

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_MOST = 400  # characters that are measured at all


@functools.lru_cache(maxsize=2048)
def width_of(text: str, size: float, is_name: bool = False, bold: bool = False) -> float:
    """Width of a text in points; a name that begins with a dollar sign is read as a formula."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(
        text,
        FontProperties(size=size, weight="bold" if bold else "normal"),
        ismath=is_name and text.startswith("$"),
    )
    return float(width)


@functools.lru_cache(maxsize=2048)
def fitting(text: str, size: float, width: float, bold: bool = False) -> str:
    """Text as it may be shown, see `printable`, with an ellipsis in the middle if it is too wide.

    Labels often differ in their last letters only.
    """
    text = printable(text)
    if len(text) <= _MOST and width_of(text, size, bold=bold) <= width:
        return text
    least, most = 0, min(len(text), _MOST) - 1  # letters that are kept
    while least < most:
        kept = (least + most + 1) // 2
        if width_of(_shortened(text, kept), size, bold=bold) <= width:
            least = kept
        else:
            most = kept - 1
    return _shortened(text, least)


def _shortened(text: str, kept: int) -> str:
    end = kept // 2
    return text[: kept - end] + _ELLIPSIS + (text[-end:] if end else "")
