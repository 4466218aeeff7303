"""What is asked of a picture that was written."""

from __future__ import annotations

import xml.dom.minidom

EVIL = "cost $5 $x^ \x1b[31m \u202e \x07"


def require_harmless(svg: bytes) -> None:
    xml.dom.minidom.parseString(svg)
    text = svg.decode()
    assert not {c for c in text if not c.isprintable()} - {"\n"}
